//! From what a sender sends and what a receiver can take to what the receiver gets.
//!
//! A producer's parameters have the sender's own payload types and ids. Mapped to the router's they are the
//! *consumable* parameters, of which each consumer gets the part that its capabilities hold.

use shard_protocol::tables::{ConsumerTable, MediaKind, PayloadFormat, PayloadType, ProducerTable, Ssrc};

use super::capabilities::{ABS_CAPTURE_TIME, ABS_SEND_TIME, TRANSPORT_WIDE_CC};
use super::codec::{Layers, PROFILE_LEVEL_ID, StreamType, answer_profile, is_rtx, payload_format};
use super::error::OrtcError;
use super::parameters::{
    CodecParameters, PayloadTypeMapping, RtcpFeedback, RtcpParameters, RtpCapabilities, RtpCodecCapability,
    RtpCodecParameters, RtpEncodingParameters, RtpHeaderExtensionDirection, RtpHeaderExtensionParameters,
    RtpParameters, RtxParameters,
};
use super::tables::{consumer_table, producer_table, stream_type};

/// All that follows from a `produce`.
#[derive(Clone, Debug, PartialEq)]
pub struct NegotiatedProducer {
    /// Audio or video.
    pub kind: MediaKind,
    /// The sender's parameters, completed.
    pub parameters: RtpParameters,
    /// What the router calls the sender's payload types.
    pub mapping: Vec<PayloadTypeMapping>,
    /// The parameters that consumers take theirs from.
    pub consumable: RtpParameters,
    /// How the qualities are sent; that of its consumers too.
    pub stream_type: StreamType,
    /// For the shard.
    pub table: ProducerTable,
}

/// All that follows from a `consume`.
#[derive(Clone, Debug, PartialEq)]
pub struct NegotiatedConsumer {
    /// For the receiver.
    pub parameters: RtpParameters,
    /// For the shard.
    pub table: ConsumerTable,
}

/// The names that the caller gives to a consumer's streams.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsumerStreams {
    /// The MID, 1 to 16 bytes, used once a transport.
    pub mid: String,
    /// The SSRC of the media, used once a transport.
    pub ssrc: Ssrc,
    /// The SSRC of the retransmissions, used once a transport; `None` for a consumer without them.
    pub rtx_ssrc: Option<Ssrc>,
}

/// Carries out the negotiation of a `produce`; `cname` is the canonical name of the participant, the same for all its
/// streams, `bitrate_max_bps` the most that this one may send.
///
/// # Errors
/// A codec that `router` has not, a codec of the other kind, parameters that contradict themselves.
pub fn negotiate_producer(
    kind: MediaKind,
    mut parameters: RtpParameters,
    router: &RtpCapabilities,
    cname: &str,
    bitrate_max_bps: u32,
) -> Result<NegotiatedProducer, OrtcError> {
    if parameters.encodings.is_empty() {
        parameters.encodings.push(RtpEncodingParameters::default());
    }
    parameters.rtcp.cname = Some(cname.to_owned());
    let mapping = producer_mapping(&mut parameters, router)?;
    let consumable = consumable_parameters(kind, &parameters, router, &mapping);
    let table = producer_table(kind, &parameters, bitrate_max_bps)?;
    let stream_type = stream_type(&parameters)?;
    Ok(NegotiatedProducer { kind, parameters, mapping, consumable, stream_type, table })
}

/// Carries out the negotiation of a `consume`. Audio is sent without retransmissions.
///
/// # Errors
/// [`OrtcError::CannotConsume`], and a MID of a wrong length.
pub fn negotiate_consumer(
    producer: &NegotiatedProducer,
    receiver: &RtpCapabilities,
    mut streams: ConsumerStreams,
) -> Result<NegotiatedConsumer, OrtcError> {
    if producer.kind == MediaKind::Audio {
        streams.rtx_ssrc = None;
    }
    let parameters = consumer_parameters(&producer.consumable, receiver, streams)?;
    let table = consumer_table(producer, &parameters)?;
    Ok(NegotiatedConsumer { parameters, table })
}

/// Finds the router's payload type for each of the sender's, media codecs first.
///
/// Writes the agreed profile and level into the sender's H.264 parameters.
///
/// # Errors
/// A codec that the router has not, and an RTX codec without its media codec.
pub fn producer_mapping(
    parameters: &mut RtpParameters,
    router: &RtpCapabilities,
) -> Result<Vec<PayloadTypeMapping>, OrtcError> {
    let mut mapping = Vec::with_capacity(parameters.codecs.len());
    let mut router_types = vec![None; parameters.codecs.len()];
    for (index, codec) in parameters.codecs.iter_mut().enumerate() {
        if is_rtx(&codec.mime_type) {
            continue;
        }
        let matched = router.codecs.iter().find(|candidate| codec.identity().is_compatible(&candidate.identity()));
        let Some((matched, mapped_payload_type)) = matched.and_then(|own| Some((own, own.preferred_payload_type?)))
        else {
            return Err(unsupported(index, codec, "is not supported by the service"));
        };
        agree_on_profile(codec, matched);
        if let Some(slot) = router_types.get_mut(index) {
            *slot = Some(mapped_payload_type);
        }
        mapping.push(PayloadTypeMapping { payload_type: codec.payload_type, mapped_payload_type });
    }
    for (index, codec) in parameters.codecs.iter().enumerate().filter(|(_, codec)| is_rtx(&codec.mime_type)) {
        let apt = codec.identity().apt();
        let media = parameters.codecs.iter().position(|media| Some(i64::from(media.payload_type.0)) == apt);
        let Some(media_type) = media.and_then(|media| router_types.get(media).copied().flatten()) else {
            let path = format!("rtpParameters.codecs[{index}].parameters.apt");
            return Err(OrtcError::Invalid { path, expected: "must be the payload type of a media codec" });
        };
        let mapped_payload_type = rtx_of(router, media_type)
            .and_then(|rtx| rtx.preferred_payload_type)
            .ok_or_else(|| unsupported(index, codec, "is not supported for this codec"))?;
        mapping.push(PayloadTypeMapping { payload_type: codec.payload_type, mapped_payload_type });
    }
    Ok(mapping)
}

fn unsupported(index: usize, codec: &RtpCodecParameters, reason: &'static str) -> OrtcError {
    OrtcError::UnsupportedCodec {
        path: format!("rtpParameters.codecs[{index}]"),
        mime_type: codec.mime_type.clone(),
        reason,
    }
}

fn agree_on_profile(codec: &mut RtpCodecParameters, router_codec: &RtpCodecCapability) {
    if payload_format(&codec.mime_type) != Some(PayloadFormat::H264) {
        return;
    }
    match answer_profile(&codec.parameters, &router_codec.parameters) {
        Ok(Some(profile)) => {
            codec.parameters.insert(PROFILE_LEVEL_ID.to_owned(), profile.to_string().as_str().into());
        }
        Ok(None) | Err(_) => {
            codec.parameters.remove(PROFILE_LEVEL_ID);
        }
    }
}

/// The router's RTX codec for its media codec with `payload_type`.
fn rtx_of(router: &RtpCapabilities, payload_type: PayloadType) -> Option<&RtpCodecCapability> {
    router.codecs.iter().find(|codec| {
        let codec = codec.identity();
        codec.is_rtx() && codec.apt() == Some(i64::from(payload_type.0))
    })
}

/// The parameters that consumers take theirs from: the sender's streams with the router's payload types and ids.
pub fn consumable_parameters(
    kind: MediaKind,
    parameters: &RtpParameters,
    router: &RtpCapabilities,
    mapping: &[PayloadTypeMapping],
) -> RtpParameters {
    let mut codecs = Vec::with_capacity(parameters.codecs.len());
    for codec in parameters.codecs.iter().filter(|codec| !is_rtx(&codec.mime_type)) {
        let Some(payload_type) =
            mapping.iter().find(|row| row.payload_type == codec.payload_type).map(|row| row.mapped_payload_type)
        else {
            continue;
        };
        let own = router.codecs.iter().find(|own| own.preferred_payload_type == Some(payload_type));
        codecs.extend(own.map(|own| consumable_codec(own, payload_type, stereo_told(&codec.parameters, own))));
        let rtx = rtx_of(router, payload_type).and_then(|rtx| Some((rtx, rtx.preferred_payload_type?)));
        codecs.extend(rtx.map(|(rtx, payload_type)| consumable_codec(rtx, payload_type, rtx.parameters.clone())));
    }
    RtpParameters {
        mid: None,
        codecs,
        header_extensions: consumable_header_extensions(kind, parameters, router),
        encodings: parameters
            .encodings
            .iter()
            .map(|encoding| RtpEncodingParameters {
                dtx: encoding.dtx,
                scalability_mode: encoding.scalability_mode.clone(),
                max_bitrate: encoding.max_bitrate,
                ..RtpEncodingParameters::default()
            })
            .collect(),
        rtcp: RtcpParameters { cname: parameters.rtcp.cname.clone(), reduced_size: true },
        msid: parameters.msid.clone(),
    }
}

fn consumable_codec(
    own: &RtpCodecCapability,
    payload_type: PayloadType,
    parameters: CodecParameters,
) -> RtpCodecParameters {
    RtpCodecParameters {
        mime_type: own.mime_type.clone(),
        payload_type,
        clock_rate: own.clock_rate,
        channels: own.channels,
        parameters,
        rtcp_feedback: own.rtcp_feedback.clone(),
    }
}

/// A sender's codec parameters, with `sprop-stereo` where it says nothing of it and the router asks its senders for
/// stereo.
///
/// A browser that is asked for stereo sends it but does not say so in its parameters; a listener that is told nothing
/// decodes mono.
fn stereo_told(parameters: &CodecParameters, own: &RtpCodecCapability) -> CodecParameters {
    const SPROP_STEREO: &str = "sprop-stereo";
    let mut told = parameters.clone();
    if payload_format(&own.mime_type) == Some(PayloadFormat::Opus)
        && !told.contains_key(SPROP_STEREO)
        && own.parameters.get(SPROP_STEREO) == Some(&1.into())
    {
        told.insert(SPROP_STEREO.to_owned(), 1.into());
    }
    told
}

fn consumable_header_extensions(
    kind: MediaKind,
    parameters: &RtpParameters,
    router: &RtpCapabilities,
) -> Vec<RtpHeaderExtensionParameters> {
    use RtpHeaderExtensionDirection::{SendOnly, SendRecv};
    let is_sent_by_producer = |uri: &str| parameters.header_extensions.iter().any(|own| own.uri == uri);
    router
        .header_extensions
        .iter()
        .filter(|own| own.kind == kind && matches!(own.direction, SendRecv | SendOnly))
        // The time of capture is the sender's to tell: where it does not, a receiver would wait for it in vain.
        .filter(|own| own.uri != ABS_CAPTURE_TIME || is_sent_by_producer(ABS_CAPTURE_TIME))
        .map(|own| RtpHeaderExtensionParameters {
            uri: own.uri.clone(),
            id: own.preferred_id,
            encrypt: own.preferred_encrypt,
            parameters: CodecParameters::new(),
        })
        .collect()
}

/// Whether a receiver can take a stream.
pub fn can_consume(consumable: &RtpParameters, receiver: &RtpCapabilities) -> bool {
    let mut common = consumable.codecs.iter().filter(|codec| matching(codec, receiver).is_some());
    common.next().is_some_and(|first| !is_rtx(&first.mime_type))
}

fn matching<'a>(codec: &RtpCodecParameters, receiver: &'a RtpCapabilities) -> Option<&'a RtpCodecCapability> {
    receiver.codecs.iter().find(|candidate| candidate.identity().is_compatible(&codec.identity()))
}

/// The parameters of one consumer: one encoding, and of codecs, feedback and header extensions those that the receiver
/// has.
///
/// # Errors
/// [`OrtcError::CannotConsume`].
pub fn consumer_parameters(
    consumable: &RtpParameters,
    receiver: &RtpCapabilities,
    streams: ConsumerStreams,
) -> Result<RtpParameters, OrtcError> {
    let header_extensions: Vec<_> = consumable
        .header_extensions
        .iter()
        .filter(|own| receiver.header_extensions.iter().any(|its| its.preferred_id == own.id && its.uri == own.uri))
        .cloned()
        .collect();
    let mut codecs = consumer_codecs(consumable, receiver, streams.rtx_ssrc.is_some());
    if codecs.first().is_none_or(|first| is_rtx(&first.mime_type)) {
        return Err(OrtcError::CannotConsume);
    }
    let is_bandwidth_feedback_kept = bandwidth_feedback(&header_extensions);
    for codec in &mut codecs {
        codec.rtcp_feedback.retain(|feedback| is_bandwidth_feedback_kept(feedback));
    }
    let has_rtx = codecs.iter().any(|codec| is_rtx(&codec.mime_type));
    Ok(RtpParameters {
        mid: Some(streams.mid),
        codecs,
        header_extensions,
        encodings: vec![RtpEncodingParameters {
            ssrc: Some(streams.ssrc),
            rtx: streams.rtx_ssrc.filter(|_| has_rtx).map(|ssrc| RtxParameters { ssrc }),
            scalability_mode: consumer_scalability_mode(&consumable.encodings),
            max_bitrate: consumable.encodings.iter().filter_map(|encoding| encoding.max_bitrate).max(),
            ..RtpEncodingParameters::default()
        }],
        rtcp: consumable.rtcp.clone(),
        msid: consumable.msid.clone(),
    })
}

/// The codecs that both have, with the receiver's feedback. A codec without retransmissions has no NACK either.
fn consumer_codecs(
    consumable: &RtpParameters,
    receiver: &RtpCapabilities,
    has_retransmissions: bool,
) -> Vec<RtpCodecParameters> {
    let mut codecs: Vec<_> = consumable
        .codecs
        .iter()
        .filter(|codec| has_retransmissions || !is_rtx(&codec.mime_type))
        .filter_map(|codec| {
            let rtcp_feedback = matching(codec, receiver)?.rtcp_feedback.clone();
            Some(RtpCodecParameters { rtcp_feedback, ..codec.clone() })
        })
        .collect();
    let payload_types: Vec<_> = codecs.iter().map(|codec| i64::from(codec.payload_type.0)).collect();
    codecs.retain(|codec| {
        !is_rtx(&codec.mime_type) || codec.identity().apt().is_some_and(|apt| payload_types.contains(&apt))
    });
    let retransmitted: Vec<_> =
        codecs.iter().filter(|codec| is_rtx(&codec.mime_type)).filter_map(|codec| codec.identity().apt()).collect();
    for codec in codecs.iter_mut().filter(|codec| !is_rtx(&codec.mime_type)) {
        if !retransmitted.contains(&i64::from(codec.payload_type.0)) {
            codec.rtcp_feedback.retain(|feedback| feedback.feedback_type != "nack" || !feedback.parameter.is_empty());
        }
    }
    codecs
}

/// Tells which feedback stays: the bandwidth of a transport is estimated one way, transport-wide where that is agreed.
fn bandwidth_feedback(extensions: &[RtpHeaderExtensionParameters]) -> impl Fn(&RtcpFeedback) -> bool + use<> {
    let has = |uri: &str| extensions.iter().any(|extension| extension.uri == uri);
    let has_transport_cc = has(TRANSPORT_WIDE_CC);
    let has_remb = !has_transport_cc && has(ABS_SEND_TIME);
    move |feedback| match feedback.feedback_type.as_str() {
        "transport-cc" => has_transport_cc,
        "goog-remb" => has_remb,
        _ => true,
    }
}

/// The layers that a consumer can choose from: of simulcast, an encoding is a spatial layer.
fn consumer_scalability_mode(encodings: &[RtpEncodingParameters]) -> Option<String> {
    let mode = encodings.iter().find_map(|encoding| encoding.scalability_mode.clone());
    match encodings.len() {
        0 | 1 => mode,
        count => Some(format!("L{count}T{}", Layers::parse(mode.as_deref()).temporal)),
    }
}
