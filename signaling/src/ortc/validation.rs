//! From a client's JSON to checked parameters, defaults filled in.
//!
//! Accepts what the model accepts, and beyond that bounds every list, string and number.

use serde_json::Value;
use shard_protocol::limits::{CODECS_MAX, ENCODINGS_MAX, FINGERPRINTS_MAX};
use shard_protocol::tables::{MediaKind, PayloadType, Ssrc, StreamName};

use super::error::OrtcError;
use super::field::{Field, MAX_SAFE_INTEGER};
use super::parameters::{
    CodecParameters, ParameterValue, RtcpFeedback, RtcpParameters, RtpCapabilities, RtpCodecCapability,
    RtpCodecParameters, RtpEncodingParameters, RtpHeaderExtension, RtpHeaderExtensionDirection,
    RtpHeaderExtensionParameters, RtpParameters, RtxParameters, parse_kind,
};
use super::transport::{DtlsFingerprint, DtlsParameters, DtlsRole};

/// Codecs of an endpoint. Browsers list about fifty when nobody reduces them to the router's.
const CAPABILITY_CODECS_MAX: usize = 128;

/// Codecs of a stream: each media codec may have an RTX codec.
const STREAM_CODECS_MAX: usize = 2 * CODECS_MAX;

/// Header extensions of an endpoint or a stream. Browsers list about thirty over both kinds.
const HEADER_EXTENSIONS_MAX: usize = 64;

/// Kinds of RTCP feedback of a codec. Browsers list six.
const RTCP_FEEDBACK_MAX: usize = 16;

/// Parameters of a codec or a header extension. Opus, with the most, has eleven registered ones.
const CODEC_PARAMETERS_MAX: usize = 32;

/// Bytes of a MIME type, a parameter's name, a kind of feedback, a hash's name: several times the longest known.
const NAME_LEN_MAX: usize = 64;

/// Bytes of a header extension's URI; the longest known has 87.
const URI_LEN_MAX: usize = 256;

/// Bytes of a parameter's value; the longest of use, H.264's `sprop-parameter-sets`, stays below in real streams.
const VALUE_LEN_MAX: usize = 1024;

/// Bytes of a canonical name: what a source description item holds (RFC 3550 section 6.5).
const CNAME_LEN_MAX: usize = 255;

/// Bytes of an `msid`: two ids of at most 64 characters (RFC 8830 section 2), a space, and room for long-winded
/// clients.
const MSID_LEN_MAX: usize = 256;

/// Bytes of a fingerprint's value: 64 bytes of SHA-512 in hexadecimal with colons between.
const FINGERPRINT_LEN_MAX: usize = 64 * 3 - 1;

const PAYLOAD_TYPE: &str = "must be a payload type, 0 to 127";
const SSRC: &str = "must be an SSRC, 0 to 4294967295";
const EXTENSION_ID: &str = "must be a header extension id, 1 to 255";

impl RtpCapabilities {
    /// Reads the capabilities that a request calls `rtpCapabilities`.
    pub fn from_json(json: &Value) -> Result<Self, OrtcError> {
        let field = Field::root("rtpCapabilities", json);
        field.check_object()?;
        Ok(Self {
            codecs: field.child("codecs").list(CAPABILITY_CODECS_MAX, codec_capability)?,
            header_extensions: field.child("headerExtensions").list(HEADER_EXTENSIONS_MAX, header_extension)?,
        })
    }
}

impl RtpParameters {
    /// Reads the parameters that a request calls `rtpParameters`.
    pub fn from_json(json: &Value) -> Result<Self, OrtcError> {
        let field = Field::root("rtpParameters", json);
        field.check_object()?;
        if !field.child("codecs").value().is_array() {
            return Err(field.child("codecs").invalid("must be a list"));
        }
        Ok(Self {
            mid: field.child("mid").optional_text(StreamName::LEN_MAX)?,
            codecs: field.child("codecs").list(STREAM_CODECS_MAX, codec_parameters)?,
            header_extensions: field
                .child("headerExtensions")
                .list(HEADER_EXTENSIONS_MAX, header_extension_parameters)?,
            encodings: field.child("encodings").list(ENCODINGS_MAX, encoding)?,
            rtcp: rtcp(&field.child("rtcp"))?,
            msid: field.child("msid").optional_text(MSID_LEN_MAX)?,
        })
    }
}

impl DtlsParameters {
    /// Reads the parameters that a request calls `dtlsParameters`.
    pub fn from_json(json: &Value) -> Result<Self, OrtcError> {
        let field = Field::root("dtlsParameters", json);
        field.check_object()?;
        let role = match field.child("role") {
            role if role.is_left_out() => DtlsRole::Auto,
            role => match role.value().as_str() {
                Some("auto") => DtlsRole::Auto,
                Some("client") => DtlsRole::Client,
                Some("server") => DtlsRole::Server,
                _ => return Err(field.child("role").invalid("must be auto, client or server")),
            },
        };
        let fingerprints = field.child("fingerprints").list(FINGERPRINTS_MAX, |item| {
            item.check_object()?;
            Ok(DtlsFingerprint {
                algorithm: item.child("algorithm").text(NAME_LEN_MAX)?,
                value: item.child("value").text(FINGERPRINT_LEN_MAX)?,
            })
        })?;
        if fingerprints.is_empty() {
            return Err(field.child("fingerprints").invalid("must not be empty"));
        }
        Ok(Self { role, fingerprints })
    }
}

pub(super) fn codec_capability(field: &Field<'_>) -> Result<RtpCodecCapability, OrtcError> {
    field.check_object()?;
    let (kind, mime_type) = mime_type(&field.child("mimeType"))?;
    Ok(RtpCodecCapability {
        kind,
        mime_type,
        preferred_payload_type: optional_payload_type(&field.child("preferredPayloadType"))?,
        clock_rate: clock_rate(&field.child("clockRate"))?,
        channels: channels(kind, &field.child("channels"))?,
        parameters: parameters(&field.child("parameters"))?,
        rtcp_feedback: rtcp_feedback(&field.child("rtcpFeedback"))?,
    })
}

fn header_extension(field: &Field<'_>) -> Result<RtpHeaderExtension, OrtcError> {
    field.check_object()?;
    let kind = field.child("kind");
    let direction = field.child("direction");
    Ok(RtpHeaderExtension {
        kind: kind.value().as_str().and_then(parse_kind).ok_or_else(|| kind.invalid("must be audio or video"))?,
        uri: field.child("uri").text(URI_LEN_MAX)?,
        preferred_id: extension_id(&field.child("preferredId"))?,
        preferred_encrypt: field.child("preferredEncrypt").flag()?,
        direction: match direction.value().as_str() {
            Some("sendrecv") => RtpHeaderExtensionDirection::SendRecv,
            Some("sendonly") => RtpHeaderExtensionDirection::SendOnly,
            Some("recvonly") => RtpHeaderExtensionDirection::RecvOnly,
            Some("inactive") => RtpHeaderExtensionDirection::Inactive,
            _ if direction.is_left_out() => RtpHeaderExtensionDirection::SendRecv,
            _ => return Err(direction.invalid("must be sendrecv, sendonly, recvonly or inactive")),
        },
    })
}

fn codec_parameters(field: &Field<'_>) -> Result<RtpCodecParameters, OrtcError> {
    field.check_object()?;
    let (kind, mime_type) = mime_type(&field.child("mimeType"))?;
    Ok(RtpCodecParameters {
        mime_type,
        payload_type: payload_type(&field.child("payloadType"))?,
        clock_rate: clock_rate(&field.child("clockRate"))?,
        channels: channels(kind, &field.child("channels"))?,
        parameters: parameters(&field.child("parameters"))?,
        rtcp_feedback: rtcp_feedback(&field.child("rtcpFeedback"))?,
    })
}

fn header_extension_parameters(field: &Field<'_>) -> Result<RtpHeaderExtensionParameters, OrtcError> {
    field.check_object()?;
    Ok(RtpHeaderExtensionParameters {
        uri: field.child("uri").text(URI_LEN_MAX)?,
        id: extension_id(&field.child("id"))?,
        encrypt: field.child("encrypt").flag()?,
        parameters: parameters(&field.child("parameters"))?,
    })
}

fn encoding(field: &Field<'_>) -> Result<RtpEncodingParameters, OrtcError> {
    field.check_object()?;
    let rtx = field.child("rtx");
    Ok(RtpEncodingParameters {
        ssrc: field.child("ssrc").optional_integer(0..=u64::from(u32::MAX), SSRC)?.map(|ssrc| Ssrc(ssrc as u32)),
        rid: field.child("rid").optional_text(StreamName::LEN_MAX)?,
        codec_payload_type: optional_payload_type(&field.child("codecPayloadType"))?,
        rtx: if rtx.is_left_out() {
            None
        } else {
            rtx.check_object()?;
            Some(RtxParameters { ssrc: Ssrc(rtx.child("ssrc").integer(0..=u64::from(u32::MAX), SSRC)? as u32) })
        },
        dtx: Some(field.child("dtx").value() == &Value::Bool(true)),
        scalability_mode: field.child("scalabilityMode").optional_text(NAME_LEN_MAX)?,
        max_bitrate: field.child("maxBitrate").optional_integer(0..=MAX_SAFE_INTEGER, "must be in bits a second")?,
    })
}

fn rtcp(field: &Field<'_>) -> Result<RtcpParameters, OrtcError> {
    if field.is_left_out() {
        return Ok(RtcpParameters::default());
    }
    field.check_object()?;
    // The model takes reports of reduced size as agreed whatever the client says: all its clients do.
    Ok(RtcpParameters { cname: field.child("cname").optional_text(CNAME_LEN_MAX)?, reduced_size: true })
}

fn mime_type(field: &Field<'_>) -> Result<(MediaKind, String), OrtcError> {
    const EXPECTED: &str = "must be a MIME type of audio or video";
    let text = field.text(NAME_LEN_MAX)?;
    let (kind, subtype) = text.split_once('/').ok_or_else(|| field.invalid(EXPECTED))?;
    match parse_kind(&kind.to_ascii_lowercase()) {
        Some(kind) if !subtype.is_empty() => Ok((kind, text)),
        _ => Err(field.invalid(EXPECTED)),
    }
}

fn payload_type(field: &Field<'_>) -> Result<PayloadType, OrtcError> {
    field.integer(0..=127, PAYLOAD_TYPE).map(|number| PayloadType(number as u8))
}

/// Reads a payload type, of which 0 is one, where there is one.
fn optional_payload_type(field: &Field<'_>) -> Result<Option<PayloadType>, OrtcError> {
    if field.value().is_number() || !field.is_left_out() { payload_type(field).map(Some) } else { Ok(None) }
}

fn clock_rate(field: &Field<'_>) -> Result<u32, OrtcError> {
    field.integer(1..=u64::from(u32::MAX), "must be a clock rate in Hz").map(|number| number as u32)
}

/// Reads the channels of audio, of which there is one where the client says nothing sensible; video has none.
fn channels(kind: MediaKind, field: &Field<'_>) -> Result<Option<u8>, OrtcError> {
    match kind {
        MediaKind::Video => Ok(None),
        MediaKind::Audio if !field.value().is_number() => Ok(Some(1)),
        MediaKind::Audio => field.integer(1..=255, "must be 1 to 255 channels").map(|number| Some(number as u8)),
    }
}

fn extension_id(field: &Field<'_>) -> Result<u8, OrtcError> {
    field.integer(1..=255, EXTENSION_ID).map(|number| number as u8)
}

fn parameters(field: &Field<'_>) -> Result<CodecParameters, OrtcError> {
    let fields = match field.value() {
        Value::Object(fields) => fields,
        Value::Array(_) => return Err(field.invalid("must be an object")),
        _ => return Ok(CodecParameters::new()),
    };
    if fields.len() > CODEC_PARAMETERS_MAX {
        return Err(field.too_large(CODEC_PARAMETERS_MAX, "fields"));
    }
    fields.iter().map(|(key, _)| Ok((parameter_name(field, key)?, parameter_value(&field.child(key))?))).collect()
}

fn parameter_name(field: &Field<'_>, key: &str) -> Result<String, OrtcError> {
    field.check_text(key, NAME_LEN_MAX)?;
    Ok(key.to_owned())
}

fn parameter_value(field: &Field<'_>) -> Result<ParameterValue, OrtcError> {
    match field.value() {
        Value::Number(number) => Ok(number_value(number)),
        Value::String(_) if field.is_key("apt") => Err(field.invalid("must be a number")),
        Value::String(text) => {
            field.check_text(text, VALUE_LEN_MAX)?;
            Ok(ParameterValue::Text(text.clone()))
        }
        _ => Err(field.invalid("must be a string or a number")),
    }
}

/// Reads a number as JavaScript does, to which 1.0 and 1 are the same.
fn number_value(number: &serde_json::Number) -> ParameterValue {
    let safe = |number: &i64| number.unsigned_abs() <= MAX_SAFE_INTEGER;
    if let Some(number) = number.as_i64().filter(safe) {
        return ParameterValue::Integer(number);
    }
    let number = number.as_f64().unwrap_or_default();
    if number.fract() == 0.0 && number.abs() <= MAX_SAFE_INTEGER as f64 {
        ParameterValue::Integer(number as i64)
    } else {
        ParameterValue::Number(number)
    }
}

fn rtcp_feedback(field: &Field<'_>) -> Result<Vec<RtcpFeedback>, OrtcError> {
    if !field.value().is_array() {
        return Ok(Vec::new());
    }
    field.list(RTCP_FEEDBACK_MAX, |item| {
        item.check_object()?;
        let parameter = item.child("parameter");
        Ok(RtcpFeedback {
            feedback_type: item.child("type").text(NAME_LEN_MAX)?,
            parameter: match parameter.value() {
                Value::String(_) => parameter.optional_text(NAME_LEN_MAX)?.unwrap_or_default(),
                _ => String::new(),
            },
        })
    })
}
