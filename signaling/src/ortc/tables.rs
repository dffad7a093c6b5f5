//! From parameters to the number tables of a shard.
//!
//! What the model's media process checks when it makes a stream is checked here: one meaning for each payload type,
//! SSRC and header extension id.

use shard_protocol::limits::CODECS_MAX;
use shard_protocol::tables::{
    CodecMapping, CodecTable, ConsumerTable, DtlsRole as ServiceRole, DtlsTable, EncodingTable, Fingerprint,
    HeaderExtension, HeaderExtensionIds, MediaKind, PayloadType, ProducerTable, StreamName,
};

use super::codec::{Layers, StreamType, is_rtx, payload_format};
use super::error::OrtcError;
use super::negotiation::NegotiatedProducer;
use super::parameters::{
    RtpCodecParameters, RtpEncodingParameters, RtpHeaderExtensionParameters, RtpParameters, kind_name,
};
use super::transport::{DtlsParameters, DtlsRole};

/// The table of a producer with its own payload types and ids.
///
/// # Errors
/// Codecs of the other kind, a payload type, SSRC, RID or extension id with two meanings, encodings that cannot be told
/// apart, names of more than 16 bytes.
pub fn producer_table(
    kind: MediaKind,
    parameters: &RtpParameters,
    bitrate_max_bps: u32,
) -> Result<ProducerTable, OrtcError> {
    check_codecs(kind, &parameters.codecs)?;
    let media = parameters.codecs.iter().filter(|codec| !is_rtx(&codec.mime_type));
    let codecs: Vec<_> = media.filter_map(|codec| codec_table(codec, &parameters.codecs)).collect();
    if codecs.is_empty() {
        return Err(invalid("rtpParameters.codecs", "must have a media codec"));
    }
    if codecs.len() > CODECS_MAX {
        let path = "rtpParameters.codecs".to_owned();
        return Err(OrtcError::TooLarge { path, limit: CODECS_MAX, unit: "media codecs" });
    }
    check_encodings(parameters)?;
    Ok(ProducerTable {
        kind,
        mid: parameters.mid.as_deref().map(|mid| stream_name("rtpParameters.mid", mid)).transpose()?,
        codecs,
        encodings: encoding_tables(&parameters.encodings)?,
        header_extensions: extension_ids(&parameters.header_extensions)?,
        bitrate_max_bps,
    })
}

/// The table of a consumer: what becomes of each payload type of the producer.
///
/// # Errors
/// A MID of a wrong length, and parameters without an encoding: faults of the caller.
pub fn consumer_table(producer: &NegotiatedProducer, parameters: &RtpParameters) -> Result<ConsumerTable, OrtcError> {
    let mid = stream_name("rtpParameters.mid", parameters.mid.as_deref().unwrap_or_default())?;
    let encoding = parameters.encodings.first();
    let ssrc = encoding.and_then(|encoding| encoding.ssrc);
    let mapping = |payload_type: PayloadType| {
        producer.mapping.iter().find(|row| row.payload_type == payload_type).map(|row| row.mapped_payload_type)
    };
    let codec_mapping = |own: &CodecTable| {
        let payload_type = mapping(own.payload_type)?;
        let codec = parameters.codecs.iter().find(|codec| codec.payload_type == payload_type)?;
        Some(CodecMapping { producer_payload_type: own.payload_type, codec: codec_table(codec, &parameters.codecs)? })
    };
    Ok(ConsumerTable {
        kind: producer.kind,
        mid,
        ssrc: ssrc.ok_or_else(|| invalid("rtpParameters.encodings[0].ssrc", "must be an SSRC"))?,
        rtx_ssrc: encoding.and_then(|encoding| encoding.rtx).map(|rtx| rtx.ssrc),
        codecs: producer.table.codecs.iter().filter_map(codec_mapping).collect(),
        header_extensions: extension_ids(&parameters.header_extensions)?,
        cname: parameters.rtcp.cname.as_deref().unwrap_or_default().into(),
    })
}

/// How the qualities of a stream are sent.
///
/// # Errors
/// Several encodings, or layers in one, of a codec that is not sent so.
pub fn stream_type(parameters: &RtpParameters) -> Result<StreamType, OrtcError> {
    let stream_type = match parameters.encodings.as_slice() {
        [] => StreamType::Simple,
        [encoding] => match Layers::parse(encoding.scalability_mode.as_deref()) {
            Layers { spatial: 1, temporal: 1 } => StreamType::Simple,
            _ => StreamType::Svc,
        },
        _ => StreamType::Simulcast,
    };
    for (index, encoding) in parameters.encodings.iter().enumerate() {
        let Some(codec) = codec_of(encoding, &parameters.codecs) else {
            let path = format!("rtpParameters.encodings[{index}].codecPayloadType");
            return Err(OrtcError::Invalid { path, expected: "must be the payload type of a media codec" });
        };
        if !payload_format(&codec.mime_type).is_some_and(|format| stream_type.is_valid_for(format)) {
            return Err(OrtcError::UnsupportedCodec {
                path: format!("rtpParameters.encodings[{index}]"),
                mime_type: codec.mime_type.clone(),
                reason: match stream_type {
                    StreamType::Simulcast => "is not supported for several encodings",
                    StreamType::Simple | StreamType::Svc => "is not supported with layers",
                },
            });
        }
    }
    Ok(stream_type)
}

/// The table of a peer's DTLS parameters: the part that is left to the service, and the fingerprints that it can check.
///
/// # Errors
/// A fingerprint that is not written as its hash is, and none of a hash that the service knows.
pub fn dtls_table(parameters: &DtlsParameters) -> Result<DtlsTable, OrtcError> {
    let role = match parameters.role {
        DtlsRole::Client => ServiceRole::Server,
        DtlsRole::Server | DtlsRole::Auto => ServiceRole::Client,
    };
    let mut fingerprints = Vec::with_capacity(parameters.fingerprints.len());
    for (index, fingerprint) in parameters.fingerprints.iter().enumerate() {
        let value = &fingerprint.value;
        let read = match fingerprint.algorithm.to_ascii_lowercase().as_str() {
            "sha-256" => hash(value).map(Fingerprint::Sha256),
            "sha-384" => hash(value).map(Fingerprint::Sha384),
            "sha-512" => hash(value).map(Fingerprint::Sha512),
            // Weaker hashes may be listed beside; they prove nothing.
            _ => continue,
        };
        fingerprints.push(read.ok_or_else(|| OrtcError::Invalid {
            path: format!("dtlsParameters.fingerprints[{index}].value"),
            expected: "must be the bytes of the hash in hexadecimal with colons between",
        })?);
    }
    if fingerprints.is_empty() {
        return Err(invalid("dtlsParameters.fingerprints", "must have one of sha-256, sha-384 or sha-512"));
    }
    Ok(DtlsTable { role, fingerprints })
}

fn hash<const LEN: usize>(value: &str) -> Option<[u8; LEN]> {
    let mut hash = [0; LEN];
    let mut pairs = value.split(':');
    for byte in &mut hash {
        let pair = pairs.next().filter(|pair| pair.len() == 2 && pair.bytes().all(|b| b.is_ascii_hexdigit()))?;
        *byte = u8::from_str_radix(pair, 16).ok()?;
    }
    pairs.next().is_none().then_some(hash)
}

fn invalid(path: &str, expected: &'static str) -> OrtcError {
    OrtcError::Invalid { path: path.to_owned(), expected }
}

fn stream_name(path: &str, name: &str) -> Result<StreamName, OrtcError> {
    StreamName::new(name.as_bytes()).ok_or_else(|| match name {
        "" => invalid(path, "must not be empty"),
        _ => OrtcError::TooLarge { path: path.to_owned(), limit: StreamName::LEN_MAX, unit: "bytes" },
    })
}

/// Every codec is of `kind`, each payload type stands once, and RTX is of media.
fn check_codecs(kind: MediaKind, codecs: &[RtpCodecParameters]) -> Result<(), OrtcError> {
    for (index, codec) in codecs.iter().enumerate() {
        let path = |field: &str| format!("rtpParameters.codecs[{index}].{field}");
        let is_of_kind = codec.mime_type.split('/').next().is_some_and(|own| own.eq_ignore_ascii_case(kind_name(kind)));
        if !is_of_kind {
            return Err(invalid(&path("mimeType"), "must be of the stream's kind"));
        }
        if codecs.iter().take(index).any(|other| other.payload_type == codec.payload_type) {
            return Err(invalid(&path("payloadType"), "must not be that of another codec"));
        }
        let is_retransmitted = |media: &RtpCodecParameters| {
            !is_rtx(&media.mime_type) && codec.identity().apt() == Some(i64::from(media.payload_type.0))
        };
        if is_rtx(&codec.mime_type) && !codecs.iter().any(is_retransmitted) {
            return Err(invalid(&path("parameters.apt"), "must be the payload type of a media codec"));
        }
    }
    Ok(())
}

fn codec_table(codec: &RtpCodecParameters, codecs: &[RtpCodecParameters]) -> Option<CodecTable> {
    let apt = Some(i64::from(codec.payload_type.0));
    let rtx = codecs.iter().find(|rtx| is_rtx(&rtx.mime_type) && rtx.identity().apt() == apt);
    Some(CodecTable {
        payload_type: codec.payload_type,
        rtx_payload_type: rtx.map(|rtx| rtx.payload_type),
        format: payload_format(&codec.mime_type)?,
        clock_rate_hz: codec.clock_rate,
    })
}

/// The codec of an encoding: the one that it names, or the first media codec.
fn codec_of<'a>(encoding: &RtpEncodingParameters, codecs: &'a [RtpCodecParameters]) -> Option<&'a RtpCodecParameters> {
    let mut media = codecs.iter().filter(|codec| !is_rtx(&codec.mime_type));
    match encoding.codec_payload_type {
        Some(payload_type) => media.find(|codec| codec.payload_type == payload_type),
        None => media.next(),
    }
}

/// Each packet belongs to at most one encoding, and simulcast has no spatial layers within.
fn check_encodings(parameters: &RtpParameters) -> Result<(), OrtcError> {
    let encodings = &parameters.encodings;
    if encodings.is_empty() {
        return Err(invalid("rtpParameters.encodings", "must not be empty"));
    }
    let mut ssrcs = Vec::with_capacity(2 * encodings.len());
    for (index, encoding) in encodings.iter().enumerate() {
        let path = |field: &str| format!("rtpParameters.encodings[{index}]{field}");
        let is_named = encoding.ssrc.is_some() || encoding.rid.is_some();
        if !is_named && (encodings.len() > 1 || parameters.mid.is_none()) {
            return Err(invalid(&path(""), "must have an ssrc or a rid"));
        }
        if encodings.len() > 1 && Layers::parse(encoding.scalability_mode.as_deref()).spatial > 1 {
            return Err(invalid(&path(".scalabilityMode"), "must not have spatial layers beside other encodings"));
        }
        let own = [(encoding.ssrc, ".ssrc"), (encoding.rtx.map(|rtx| rtx.ssrc), ".rtx.ssrc")];
        for (ssrc, field) in own.into_iter().filter_map(|(ssrc, field)| Some((ssrc?, field))) {
            if ssrcs.contains(&ssrc) {
                return Err(OrtcError::DuplicateSsrc { path: path(field) });
            }
            ssrcs.push(ssrc);
        }
        if encoding.rid.is_some() && encodings.iter().take(index).any(|other| other.rid == encoding.rid) {
            return Err(OrtcError::DuplicateSsrc { path: path(".rid") });
        }
    }
    Ok(())
}

fn encoding_tables(encodings: &[RtpEncodingParameters]) -> Result<Vec<EncodingTable>, OrtcError> {
    let rid = |index: usize, rid: &str| stream_name(&format!("rtpParameters.encodings[{index}].rid"), rid);
    let table = |(index, encoding): (usize, &RtpEncodingParameters)| {
        Ok(EncodingTable {
            ssrc: encoding.ssrc,
            rtx_ssrc: encoding.rtx.map(|rtx| rtx.ssrc),
            rid: encoding.rid.as_deref().map(|name| rid(index, name)).transpose()?,
        })
    };
    encodings.iter().enumerate().map(table).collect()
}

/// The ids of the extensions that the service knows; the first of several for one extension counts.
fn extension_ids(extensions: &[RtpHeaderExtensionParameters]) -> Result<HeaderExtensionIds, OrtcError> {
    let mut ids = HeaderExtensionIds::default();
    for (index, extension) in extensions.iter().enumerate() {
        let Some(known) = header_extension(&extension.uri).filter(|known| ids.id(*known).is_none()) else { continue };
        if ids.0.contains(&extension.id) {
            let path = format!("rtpParameters.headerExtensions[{index}].id");
            return Err(OrtcError::Invalid { path, expected: "must not be that of another extension" });
        }
        ids.set(known, extension.id);
    }
    Ok(ids)
}

fn header_extension(uri: &str) -> Option<HeaderExtension> {
    Some(match uri {
        "urn:ietf:params:rtp-hdrext:sdes:mid" => HeaderExtension::Mid,
        "urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id" => HeaderExtension::RtpStreamId,
        "urn:ietf:params:rtp-hdrext:sdes:repaired-rtp-stream-id" => HeaderExtension::RepairedRtpStreamId,
        "http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time" => HeaderExtension::AbsSendTime,
        "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01" => HeaderExtension::TransportWideCc,
        "https://aomediacodec.github.io/av1-rtp-spec/#dependency-descriptor-rtp-header-extension" => {
            HeaderExtension::DependencyDescriptor
        }
        "urn:ietf:params:rtp-hdrext:ssrc-audio-level" => HeaderExtension::AudioLevel,
        "urn:3gpp:video-orientation" => HeaderExtension::VideoOrientation,
        "urn:ietf:params:rtp-hdrext:toffset" => HeaderExtension::TransmissionOffset,
        "http://www.webrtc.org/experiments/rtp-hdrext/abs-capture-time" => HeaderExtension::AbsCaptureTime,
        "http://www.webrtc.org/experiments/rtp-hdrext/playout-delay" => HeaderExtension::PlayoutDelay,
        _ => return None,
    })
}
