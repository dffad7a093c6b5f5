//! Whether two codecs are the same, and what kind of stream a codec's encodings make.

use h264_profile_level_id::{ProfileLevelId, generate_profile_level_id_for_answer};
use serde::Serialize;
use shard_protocol::tables::PayloadFormat;

use super::parameters::{CodecParameters, ParameterValue, RtpCodecCapability, RtpCodecParameters};

/// The parameter that an RTX codec names its media codec's payload type by, RFC 4588 section 8.1.
pub(super) const APT: &str = "apt";

/// The parameter that H.264 names its profile and level by, RFC 6184 section 8.1.
pub(super) const PROFILE_LEVEL_ID: &str = "profile-level-id";

/// What tells codecs apart.
#[derive(Clone, Copy)]
pub(super) struct CodecIdentity<'a> {
    mime_type: &'a str,
    clock_rate: u32,
    channels: Option<u8>,
    parameters: &'a CodecParameters,
}

impl RtpCodecCapability {
    pub(super) fn identity(&self) -> CodecIdentity<'_> {
        CodecIdentity {
            mime_type: &self.mime_type,
            clock_rate: self.clock_rate,
            channels: self.channels,
            parameters: &self.parameters,
        }
    }
}

impl RtpCodecParameters {
    pub(super) fn identity(&self) -> CodecIdentity<'_> {
        CodecIdentity {
            mime_type: &self.mime_type,
            clock_rate: self.clock_rate,
            channels: self.channels,
            parameters: &self.parameters,
        }
    }
}

impl CodecIdentity<'_> {
    /// Whether this is no media of its own but the retransmissions of another codec.
    pub(super) fn is_rtx(&self) -> bool {
        is_rtx(self.mime_type)
    }

    /// The payload type that an RTX codec retransmits.
    pub(super) fn apt(&self) -> Option<i64> {
        self.parameters.get(APT).and_then(ParameterValue::integer)
    }

    /// Whether both have one name, clock and number of channels.
    pub(super) fn is_same_codec(&self, other: &Self) -> bool {
        self.mime_type.to_lowercase() == other.mime_type.to_lowercase()
            && self.clock_rate == other.clock_rate
            && self.channels == other.channels
    }

    /// Whether a decoder of the one reads the other: the same codec, and the same profile where profiles differ in
    /// kind.
    pub(super) fn is_compatible(&self, other: &Self) -> bool {
        self.is_same_codec(other)
            && match payload_format(self.mime_type) {
                Some(PayloadFormat::H264) => {
                    self.equals_in(other, "packetization-mode")
                        && answer_profile(self.parameters, other.parameters).is_ok()
                }
                Some(PayloadFormat::Vp9) => self.equals_in(other, "profile-id"),
                _ => true,
            }
    }

    /// Whether both give the parameter `name` one value; left out is 0.
    fn equals_in(&self, other: &Self, name: &str) -> bool {
        let value = |parameters: &CodecParameters| {
            parameters.get(name).filter(|value| !value.is_left_out()).cloned().unwrap_or(ParameterValue::Integer(0))
        };
        value(self.parameters) == value(other.parameters)
    }
}

/// Two H.264 codecs have different profiles, or one has a profile that nobody knows.
pub(super) struct ProfileMismatch;

/// The profile and level that an answer to `own` by a peer with `remote` names, RFC 6184 section 8.2.2.
///
/// `None` where neither names one. A side that names none has constrained baseline 3.1.
pub(super) fn answer_profile(
    own: &CodecParameters,
    remote: &CodecParameters,
) -> Result<Option<ProfileLevelId>, ProfileMismatch> {
    let named = |parameters: &CodecParameters| match parameters.get(PROFILE_LEVEL_ID) {
        Some(ParameterValue::Text(text)) if !text.is_empty() => {
            text.parse::<ProfileLevelId>().map(Some).map_err(|_| ProfileMismatch)
        }
        Some(value) if !value.is_left_out() => Err(ProfileMismatch),
        _ => Ok(None),
    };
    let is_asymmetry_allowed = |parameters: &CodecParameters| {
        parameters
            .get("level-asymmetry-allowed")
            .is_some_and(|value| matches!(value, ParameterValue::Integer(1)) || *value == ParameterValue::from("1"))
    };
    let (own_profile, remote_profile) = (named(own)?, named(remote)?);
    if own_profile.is_none() && remote_profile.is_none() {
        return Ok(None);
    }
    generate_profile_level_id_for_answer(
        Some(own_profile.unwrap_or_default()),
        is_asymmetry_allowed(own),
        Some(remote_profile.unwrap_or_default()),
        is_asymmetry_allowed(remote),
    )
    .map(Some)
    .map_err(|_| ProfileMismatch)
}

/// Whether a MIME type is that of retransmissions.
pub(super) fn is_rtx(mime_type: &str) -> bool {
    mime_type.rsplit_once('/').is_some_and(|(_, subtype)| subtype.eq_ignore_ascii_case("rtx"))
}

/// How the payload of a MIME type is read; `None` for one that the service does not forward.
pub(super) fn payload_format(mime_type: &str) -> Option<PayloadFormat> {
    match mime_type.to_ascii_lowercase().as_str() {
        "audio/opus" => Some(PayloadFormat::Opus),
        "video/vp8" => Some(PayloadFormat::Vp8),
        "video/vp9" => Some(PayloadFormat::Vp9),
        "video/h264" => Some(PayloadFormat::H264),
        "video/av1" => Some(PayloadFormat::Av1),
        _ => None,
    }
}

/// How a stream's qualities are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum StreamType {
    /// One quality.
    Simple,
    /// Several encodings, each an SSRC of its own.
    Simulcast,
    /// One encoding with layers in it.
    Svc,
}

impl StreamType {
    /// Whether streams of this type are made with a codec.
    pub(super) fn is_valid_for(self, format: PayloadFormat) -> bool {
        match self {
            Self::Simple => true,
            Self::Simulcast => matches!(format, PayloadFormat::Vp8 | PayloadFormat::H264),
            Self::Svc => format != PayloadFormat::Opus,
        }
    }
}

/// How many layers a scalability mode names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Layers {
    /// Sizes of the picture.
    pub(super) spatial: u8,
    /// Frame rates.
    pub(super) temporal: u8,
}

impl Layers {
    /// Reads a mode such as `L3T3_KEY`; one layer of each where there is none or it is not understood.
    pub(super) fn parse(mode: Option<&str>) -> Self {
        mode.and_then(Self::try_parse).unwrap_or(Self { spatial: 1, temporal: 1 })
    }

    fn try_parse(mode: &str) -> Option<Self> {
        let (spatial, rest) = count(mode.strip_prefix(['L', 'S'])?)?;
        let (temporal, _) = count(rest.strip_prefix('T')?)?;
        Some(Self { spatial, temporal })
    }
}

/// Splits off a number of one or two digits that does not begin with 0.
fn count(text: &str) -> Option<(u8, &str)> {
    let digits = text.bytes().take(2).take_while(u8::is_ascii_digit).count();
    let (number, rest) = text.split_at_checked(digits)?;
    (!number.starts_with('0')).then(|| Some((number.parse().ok()?, rest)))?
}
