//! A stream that a participant receives: its own copy of each of a producer's packets.

use std::ops::Range;
use std::time::Instant;

use shard_protocol::command::{PauseReason, PauseReasons};
use shard_protocol::ids::ConsumerId;
use shard_protocol::tables::{
    CodecMapping, CodecTable, ConsumerTable, HeaderExtension, HeaderExtensionIds, MediaKind, PayloadType, Ssrc,
    StreamName,
};

use super::rewrite::{Arrival, Rewriter};
use crate::wire::extension::{ExtensionValues, ExtensionWriter, fits_one_byte};
use crate::wire::rtcp::{NtpTimestamp, SenderStatement};
use crate::wire::rtp::{FIXED_HEADER_LEN, RtpHeader};
use crate::wire::sequence::{PacketIndex, Timestamp};

/// What a publisher says in an extension and every receiver should hear as it was said. The others belong to one hop.
const COPIED_EXTENSIONS: [HeaderExtension; 5] = [
    HeaderExtension::AudioLevel,
    HeaderExtension::VideoOrientation,
    HeaderExtension::TransmissionOffset,
    HeaderExtension::AbsCaptureTime,
    HeaderExtension::PlayoutDelay,
];

/// The longest value that is copied: abs-capture-time's sixteen bytes; a longer one is none of those above.
const COPIED_VALUE_LEN_MAX: usize = 16;

const TRANSPORT_SEQUENCE_LEN: usize = 2;
const ABS_SEND_TIME_LEN: usize = 3;

/// Bytes that the header of a copy can have: fixed header, block header, and every element at its longest with the
/// two-byte form's own two bytes.
pub const COPY_HEADER_LEN_MAX: usize =
    FIXED_HEADER_LEN + 4 + (HeaderExtension::COUNT * (2 + COPIED_VALUE_LEN_MAX)).next_multiple_of(4);

const _: () = assert!(StreamName::LEN_MAX <= COPIED_VALUE_LEN_MAX);

/// A publisher's packet, opened and found to be in order, that waits to be copied.
#[derive(Clone, Debug)]
pub struct Incoming {
    /// Its place in the turn's input.
    pub slot: usize,
    /// The marker bit.
    pub marker: bool,
    /// The publisher's payload type.
    pub payload_type: PayloadType,
    /// Its place in the publisher's stream.
    pub arrival: Arrival,
    /// Where its extensions lie.
    pub extensions: ExtensionValues,
    /// Where its payload lies, without padding.
    pub payload: Range<usize>,
}

/// What a copy carries that belongs to the hop and the moment.
#[derive(Clone, Copy, Debug)]
pub struct Departure {
    /// The turn's time.
    pub now: Instant,
    /// The time as abs-send-time: seconds in 6.18 bits.
    pub abs_send_time: [u8; ABS_SEND_TIME_LEN],
}

/// A copy as it was written, not yet protected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Copied {
    /// Bytes up to the payload.
    pub header_len: usize,
    /// Bytes in all.
    pub len: usize,
    /// Its packet index, for SRTP.
    pub index: PacketIndex,
}

/// A consumer. `T` is the shard's key of a transport, `P` that of a producer.
#[derive(Debug)]
pub struct Consumer<T, P> {
    /// Its name in signaling.
    pub id: ConsumerId,
    /// The transport that its packets go by.
    pub transport: T,
    /// Whose packets it copies.
    pub producer: P,
    /// Audio or video.
    pub kind: MediaKind,
    /// The SSRC of the copies.
    pub ssrc: Ssrc,
    mid: StreamName,
    codecs: Vec<CodecMapping>,
    ids: HeaderExtensionIds,
    cname: Box<str>,
    paused: PauseReasons,
    rewriter: Rewriter,
    sent: Sent,
    sent_at_last_report: u32,
}

/// What went out, for sender reports; both wrap.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Sent {
    packets: u32,
    payload_len: u32,
}

impl<T, P> Consumer<T, P> {
    /// Makes a consumer that begins with `first_index` and `first_timestamp`. The table has at least one codec.
    pub fn new(
        id: ConsumerId,
        transport: T,
        producer: P,
        table: ConsumerTable,
        paused: PauseReasons,
        first_index: PacketIndex,
        first_timestamp: Timestamp,
    ) -> Self {
        let clock_rate_hz = table.codecs.first().map_or(1, |mapping| mapping.codec.clock_rate_hz);
        Self {
            id,
            transport,
            producer,
            kind: table.kind,
            ssrc: table.ssrc,
            mid: table.mid,
            codecs: table.codecs,
            ids: table.header_extensions,
            cname: table.cname.into_boxed_str(),
            paused,
            rewriter: Rewriter::new(clock_rate_hz, first_index, first_timestamp),
            sent: Sent::default(),
            sent_at_last_report: 0,
        }
    }

    /// Whether it gets copies.
    pub fn is_flowing(&self) -> bool {
        self.paused.is_empty()
    }

    /// Adds a reason not to flow.
    pub fn pause(&mut self, reason: PauseReason) {
        self.paused = self.paused.with(reason);
    }

    /// Takes a reason away; the next copy follows the last one.
    pub fn resume(&mut self, reason: PauseReason) {
        let was_flowing = self.is_flowing();
        self.paused = self.paused.without(reason);
        if !was_flowing && self.is_flowing() {
            self.rewriter.break_run();
        }
    }

    /// Notes that a packet could not be sent, because its receiver cannot be reached; the next copy follows the last one.
    pub fn hold_back(&mut self) {
        self.rewriter.break_run();
    }

    /// Writes the copy of `incoming`, whose datagram is `packet`, to the start of `out`, which has room for
    /// [`COPY_HEADER_LEN_MAX`] and the payload. `None` where this consumer gets no copy of it: its codec was not
    /// negotiated, or it is older than what the consumer began with.
    pub fn copy(
        &mut self,
        incoming: &Incoming,
        packet: &[u8],
        departure: &Departure,
        transport_sequence: &mut u16,
        out: &mut [u8],
    ) -> Option<Copied> {
        let mapping = self.codecs.iter().find(|mapping| mapping.producer_payload_type == incoming.payload_type);
        let Some(CodecMapping { codec: CodecTable { payload_type, .. }, .. }) = mapping.copied() else {
            // What is left out must not look like loss.
            self.rewriter.break_run();
            return None;
        };
        let payload = packet.get(incoming.payload.clone())?;
        let (index, timestamp) = self.rewriter.map(incoming.arrival, departure.now)?;

        let (fixed, rest) = out.split_first_chunk_mut()?;
        RtpHeader::write_fixed(fixed, incoming.marker, payload_type, index.sequence(), timestamp, self.ssrc);
        let block_len = self.write_extensions(incoming, packet, departure, transport_sequence, rest);
        fixed[0] |= if block_len == 0 { 0 } else { 0x10 };
        rest.get_mut(block_len..block_len + payload.len())?.copy_from_slice(payload);

        self.sent.packets = self.sent.packets.wrapping_add(1);
        self.sent.payload_len = self.sent.payload_len.wrapping_add(payload.len() as u32);
        let header_len = FIXED_HEADER_LEN + block_len;
        Some(Copied { header_len, len: header_len + payload.len(), index })
    }

    fn write_extensions(
        &self,
        incoming: &Incoming,
        packet: &[u8],
        departure: &Departure,
        transport_sequence: &mut u16,
        out: &mut [u8],
    ) -> usize {
        let mid_id = self.ids.id(HeaderExtension::Mid);
        let abs_send_time_id = self.ids.id(HeaderExtension::AbsSendTime);
        let transport_sequence_id = self.ids.id(HeaderExtension::TransportWideCc);
        let copied = || {
            COPIED_EXTENSIONS.into_iter().filter_map(|extension| {
                let value = incoming.extensions.value(packet, extension)?;
                (value.len() <= COPIED_VALUE_LEN_MAX).then_some((self.ids.id(extension)?, value))
            })
        };
        let own = [
            (mid_id, self.mid.as_bytes().len()),
            (abs_send_time_id, ABS_SEND_TIME_LEN),
            (transport_sequence_id, TRANSPORT_SEQUENCE_LEN),
        ];
        let is_two_byte = own.into_iter().any(|(id, len)| id.is_some_and(|id| !fits_one_byte(id, len)))
            || copied().any(|(id, value)| !fits_one_byte(id, value.len()));

        let mut writer = ExtensionWriter::begin(out, is_two_byte);
        let mut push = |id: Option<u8>, value: &[u8]| {
            if let Some(room) = id.and_then(|id| writer.push(id, value.len())) {
                room.copy_from_slice(value);
            }
        };
        push(mid_id, self.mid.as_bytes());
        push(abs_send_time_id, &departure.abs_send_time);
        if transport_sequence_id.is_some() {
            push(transport_sequence_id, &transport_sequence.to_be_bytes());
            *transport_sequence = transport_sequence.wrapping_add(1);
        }
        for (id, value) in copied() {
            push(Some(id), value);
        }
        writer.finish()
    }

    /// What a sender report says now, and begins the next interval; `None` where nothing went out since the last. `ntp` is
    /// the time `now`.
    pub fn take_statement(&mut self, now: Instant, ntp: NtpTimestamp) -> Option<SenderStatement> {
        if self.sent.packets == self.sent_at_last_report {
            return None;
        }
        let (newest, at) = self.rewriter.newest_timestamp()?;
        self.sent_at_last_report = self.sent.packets;
        Some(SenderStatement {
            ntp,
            timestamp: newest.plus(self.rewriter.ticks(now.saturating_duration_since(at))),
            packets: self.sent.packets,
            payload_len: self.sent.payload_len,
        })
    }

    /// The canonical name for source descriptions.
    pub fn cname(&self) -> &str {
        &self.cname
    }
}

#[cfg(test)]
mod tests {
    use shard_protocol::tables::PayloadFormat;

    use super::*;
    use crate::media::rewrite::RunId;

    fn consumer(ids: &[(HeaderExtension, u8)]) -> Consumer<(), ()> {
        let mut header_extensions = HeaderExtensionIds::default();
        for (extension, id) in ids {
            header_extensions.set(*extension, *id);
        }
        let codec = CodecTable {
            payload_type: PayloadType(100),
            rtx_payload_type: None,
            format: PayloadFormat::Opus,
            clock_rate_hz: 48_000,
        };
        let table = ConsumerTable {
            kind: MediaKind::Audio,
            mid: StreamName::new(b"7").unwrap(),
            ssrc: Ssrc(0xabcd),
            rtx_ssrc: None,
            codecs: vec![CodecMapping { producer_payload_type: PayloadType(111), codec }],
            header_extensions,
            cname: "cname".into(),
        };
        Consumer::new(ConsumerId(1), (), (), table, PauseReasons::NONE, PacketIndex(10), Timestamp(1000))
    }

    /// A packet of a publisher with an audio level, and how it was parsed.
    fn incoming(index: u64, payload_type: u8) -> (Incoming, Vec<u8>) {
        let mut packet = vec![0x90, payload_type, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xbe, 0xde, 0, 1, 0x30, 0x85, 0, 0];
        packet.extend_from_slice(b"payload");
        let header = RtpHeader::parse(&packet).unwrap();
        let mut ids = HeaderExtensionIds::default();
        ids.set(HeaderExtension::AudioLevel, 3);
        let incoming = Incoming {
            slot: 0,
            marker: true,
            payload_type: header.payload_type,
            arrival: Arrival {
                id: RunId { run: 0, clock: 0 },
                index: PacketIndex(index),
                timestamp: header.timestamp,
                is_newest: true,
            },
            extensions: ExtensionValues::parse(&packet, &header, &ids),
            payload: header.header_len..packet.len(),
        };
        (incoming, packet)
    }

    fn departure() -> Departure {
        Departure { now: Instant::now(), abs_send_time: [1, 2, 3] }
    }

    #[test]
    fn a_copy_has_the_receivers_numbers_and_the_publishers_payload() {
        let mut consumer = consumer(&[
            (HeaderExtension::Mid, 1),
            (HeaderExtension::AbsSendTime, 4),
            (HeaderExtension::TransportWideCc, 5),
            (HeaderExtension::AudioLevel, 10),
        ]);
        let (incoming, packet) = incoming(70_000, 111);
        let mut out = [0; 200];
        let mut transport_sequence = 0xffff;
        let copied = consumer.copy(&incoming, &packet, &departure(), &mut transport_sequence, &mut out).unwrap();
        let out = &out[..copied.len];
        let header = RtpHeader::parse(out).unwrap();
        assert_eq!((header.ssrc, header.payload_type, header.marker), (Ssrc(0xabcd), PayloadType(100), true));
        assert_eq!((header.sequence.0, copied.index, header.timestamp), (10, PacketIndex(10), Timestamp(1000)));
        assert_eq!(header.header_len, copied.header_len);
        assert_eq!(&out[copied.header_len..], b"payload");
        assert_eq!(transport_sequence, 0);

        let values = ExtensionValues::parse(out, &header, &consumer.ids);
        assert_eq!(values.value(out, HeaderExtension::Mid), Some(&b"7"[..]));
        assert_eq!(values.value(out, HeaderExtension::AbsSendTime), Some(&[1, 2, 3][..]));
        assert_eq!(values.value(out, HeaderExtension::TransportWideCc), Some(&[0xff, 0xff][..]));
        assert_eq!(values.value(out, HeaderExtension::AudioLevel), Some(&[0x85][..]));
    }

    #[test]
    fn ids_over_14_take_the_two_byte_form() {
        let mut consumer = consumer(&[(HeaderExtension::Mid, 15), (HeaderExtension::AudioLevel, 200)]);
        let (incoming, packet) = incoming(1, 111);
        let mut out = [0; 200];
        let copied = consumer.copy(&incoming, &packet, &departure(), &mut 0, &mut out).unwrap();
        let out = &out[..copied.len];
        let values = ExtensionValues::parse(out, &RtpHeader::parse(out).unwrap(), &consumer.ids);
        assert_eq!(values.value(out, HeaderExtension::Mid), Some(&b"7"[..]));
        assert_eq!(values.value(out, HeaderExtension::AudioLevel), Some(&[0x85][..]));
    }

    #[test]
    fn without_extensions_there_is_no_block_and_foreign_payload_types_get_no_copy() {
        let mut consumer = consumer(&[]);
        let (known, packet) = incoming(1, 111);
        let mut out = [0; 200];
        let copied = consumer.copy(&known, &packet, &departure(), &mut 0, &mut out).unwrap();
        assert_eq!((copied.header_len, out[0]), (FIXED_HEADER_LEN, 0x80));
        let (foreign, packet) = incoming(2, 112);
        assert_eq!(consumer.copy(&foreign, &packet, &departure(), &mut 0, &mut out), None);
        assert_eq!(consumer.sent, Sent { packets: 1, payload_len: 7 });
    }

    #[test]
    fn a_sender_report_extrapolates_the_clock_and_needs_packets() {
        let mut consumer = consumer(&[]);
        let ntp = NtpTimestamp(77);
        assert_eq!(consumer.take_statement(Instant::now(), ntp), None);
        let (incoming, packet) = incoming(1, 111);
        let departure = departure();
        consumer.copy(&incoming, &packet, &departure, &mut 0, &mut [0; 200]);
        let later = departure.now + std::time::Duration::from_millis(500);
        let timestamp = Timestamp(1000 + 24_000);
        let statement = SenderStatement { ntp, timestamp, packets: 1, payload_len: 7 };
        assert_eq!(consumer.take_statement(later, ntp), Some(statement));
        assert_eq!(consumer.take_statement(later, ntp), None);
    }
}
