//! The parameter tables of virtual participants, as signaling would make them.

use shard_protocol::tables::{
    CodecMapping, CodecTable, ConsumerTable, EncodingTable, HeaderExtension, HeaderExtensionIds, MediaKind,
    PayloadFormat, PayloadType, ProducerTable, Ssrc, StreamName,
};

use crate::publisher::PublisherSetup;

/// The extension ids of virtual publishers.
pub(crate) mod ids {
    /// Audio level.
    pub(crate) const AUDIO_LEVEL: u8 = 1;
    /// abs-send-time.
    pub(crate) const ABS_SEND_TIME: u8 = 2;
    /// Transport-wide number.
    pub(crate) const TRANSPORT_SEQUENCE: u8 = 3;
    /// MID.
    pub(crate) const MID: u8 = 4;
    /// RID.
    pub(crate) const RID: u8 = 10;
    /// RID of what is sent again.
    pub(crate) const REPAIRED_RID: u8 = 11;
    /// AV1's dependency descriptor.
    pub(crate) const DEPENDENCY_DESCRIPTOR: u8 = 12;
}

/// A format's clock rate.
pub fn clock_rate_hz(format: PayloadFormat) -> u32 {
    if format == PayloadFormat::Opus { 48_000 } else { 90_000 }
}

/// The payload type that publishers give to a format; that of its retransmissions is one more.
pub fn producer_payload_type(format: PayloadFormat) -> u8 {
    match format {
        PayloadFormat::Opus => 111,
        PayloadFormat::Vp8 => 96,
        PayloadFormat::Vp9 => 98,
        PayloadFormat::H264 => 102,
        PayloadFormat::Av1 => 45,
    }
}

/// The payload type that receivers get a format with; that of its retransmissions is one more.
pub fn consumer_payload_type(format: PayloadFormat) -> u8 {
    match format {
        PayloadFormat::Opus => 100,
        PayloadFormat::Vp8 => 101,
        PayloadFormat::Vp9 => 103,
        PayloadFormat::H264 => 107,
        PayloadFormat::Av1 => 105,
    }
}

fn kind(format: PayloadFormat) -> MediaKind {
    if format == PayloadFormat::Opus { MediaKind::Audio } else { MediaKind::Video }
}

fn codec(format: PayloadFormat, payload_type: u8, has_retransmission: bool) -> CodecTable {
    CodecTable {
        payload_type: PayloadType(payload_type),
        rtx_payload_type: has_retransmission.then_some(PayloadType(payload_type + 1)),
        format,
        clock_rate_hz: clock_rate_hz(format),
    }
}

fn extension_ids(ids: &[(HeaderExtension, u8)]) -> HeaderExtensionIds {
    let mut header_extensions = HeaderExtensionIds::default();
    for (extension, id) in ids {
        header_extensions.set(*extension, *id);
    }
    header_extensions
}

/// The table of a publisher whose encodings have these SSRCs, of media and of retransmissions.
pub(crate) fn producer(setup: &PublisherSetup, ssrcs: &[(u32, u32)]) -> ProducerTable {
    let encoding = |(encoding, (ssrc, rtx_ssrc)): (&crate::EncodingSetup, &(u32, u32))| EncodingTable {
        ssrc: encoding.rid.is_none().then_some(Ssrc(*ssrc)),
        rtx_ssrc: (encoding.rid.is_none() && setup.has_retransmission).then_some(Ssrc(*rtx_ssrc)),
        rid: encoding.rid.and_then(|rid| StreamName::new(rid.as_bytes())),
    };
    let kind = kind(setup.format);
    ProducerTable {
        kind,
        mid: StreamName::new(setup.mid.as_bytes()),
        codecs: vec![codec(setup.format, producer_payload_type(setup.format), setup.has_retransmission)],
        encodings: setup.encodings.iter().zip(ssrcs).map(encoding).collect(),
        header_extensions: extension_ids(&[
            (HeaderExtension::AudioLevel, ids::AUDIO_LEVEL),
            (HeaderExtension::AbsSendTime, ids::ABS_SEND_TIME),
            (HeaderExtension::TransportWideCc, ids::TRANSPORT_SEQUENCE),
            (HeaderExtension::Mid, ids::MID),
            (HeaderExtension::RtpStreamId, ids::RID),
            (HeaderExtension::RepairedRtpStreamId, ids::REPAIRED_RID),
            (HeaderExtension::DependencyDescriptor, ids::DEPENDENCY_DESCRIPTOR),
        ]),
        bitrate_max_bps: if kind == MediaKind::Audio { 128_000 } else { 2_150_000 },
    }
}

/// How a receiver gets a stream of `format`; with `rtx_ssrc` it can be sent again.
pub fn consumer(format: PayloadFormat, mid: &str, ssrc: u32, rtx_ssrc: Option<u32>) -> ConsumerTable {
    ConsumerTable {
        kind: kind(format),
        mid: StreamName::new(mid.as_bytes()).expect("a MID of 1 to 16 bytes"),
        ssrc: Ssrc(ssrc),
        rtx_ssrc: rtx_ssrc.map(Ssrc),
        codecs: vec![CodecMapping {
            producer_payload_type: PayloadType(producer_payload_type(format)),
            codec: codec(format, consumer_payload_type(format), rtx_ssrc.is_some()),
        }],
        header_extensions: extension_ids(&[
            (HeaderExtension::Mid, 1),
            (HeaderExtension::AbsSendTime, 4),
            (HeaderExtension::TransportWideCc, 5),
            (HeaderExtension::DependencyDescriptor, 8),
        ]),
        cname: "cname".into(),
    }
}

/// A browser's microphone: Opus with payload type 111, MID extension 4, audio level 1.
pub fn audio_producer(mid: &str, ssrc: Option<u32>) -> ProducerTable {
    ProducerTable {
        kind: MediaKind::Audio,
        mid: StreamName::new(mid.as_bytes()),
        codecs: vec![codec(PayloadFormat::Opus, 111, false)],
        encodings: vec![EncodingTable { ssrc: ssrc.map(Ssrc), rtx_ssrc: None, rid: None }],
        header_extensions: extension_ids(&[
            (HeaderExtension::Mid, ids::MID),
            (HeaderExtension::AudioLevel, ids::AUDIO_LEVEL),
        ]),
        bitrate_max_bps: 128_000,
    }
}

/// How a browser hears one: Opus with payload type 100, MID extension 1, audio level 10.
pub fn audio_consumer(mid: &str, ssrc: u32) -> ConsumerTable {
    let header_extensions = extension_ids(&[(HeaderExtension::Mid, 1), (HeaderExtension::AudioLevel, 10)]);
    ConsumerTable { header_extensions, ..consumer(PayloadFormat::Opus, mid, ssrc, None) }
}
