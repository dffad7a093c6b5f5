//! A stream that a participant receives: its own copy of each of a producer's packets.

use std::mem::offset_of;
use std::sync::Arc;
use std::time::{Duration, Instant};

use shard_protocol::command::{PauseReason, PauseReasons};
use shard_protocol::ids::ConsumerId;
use shard_protocol::tables::{
    CodecMapping, ConsumerTable, HeaderExtension, HeaderExtensionIds, MediaKind, PayloadType, Ssrc, StreamName,
};

use super::content::Content;
use super::retransmission::Retransmission;
use super::rewrite::{Arrival, Mapped, Origin, Rewriter, RunId};
use crate::wire::extension::{ExtensionWriter, fits_one_byte};
use crate::wire::rtcp::{NtpTimestamp, SenderStatement};
use crate::wire::rtp::{FIXED_HEADER_LEN, RtpHeader};
use crate::wire::rtx::ORIGINAL_LEN;
use crate::wire::sequence::{PacketIndex, SeqNo, Timestamp};

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

/// How far a publisher's reports may put its samples from where their arrival puts them. No network holds packets back for
/// longer; who claims more is not believed.
const CLOCK_ERROR_MAX: Duration = Duration::from_secs(5);

/// Reports, one a second, that are held back while a publisher has not reported: its first is due after half of the five
/// seconds of RFC 3550 section 6.2 at the latest, but may be lost. Told by arrival alone, the time would jump by the jitter
/// and the way once it comes, and a receiver takes long to believe it.
const STATEMENTS_HELD_MAX: u32 = 5;

/// The bit of a packet's first byte that says that there is padding (RFC 3550 section 5.1).
const PADDING_BIT: u8 = 0x20;

const TRANSPORT_SEQUENCE_LEN: usize = 2;
const ABS_SEND_TIME_LEN: usize = 3;

/// Bytes that a copy can have before the publisher's payload: fixed header, block header, every element at its longest with
/// the two-byte form's own two bytes, and a retransmission's original number.
pub const COPY_HEADER_LEN_MAX: usize =
    FIXED_HEADER_LEN + 4 + (HeaderExtension::COUNT * (2 + COPIED_VALUE_LEN_MAX)).next_multiple_of(4) + ORIGINAL_LEN;

const _: () = assert!(StreamName::LEN_MAX <= COPIED_VALUE_LEN_MAX);

/// A publisher's packet, opened and found to be in order, that waits to be copied.
#[derive(Clone, Debug)]
pub struct Incoming {
    /// Its place in the turn's input.
    pub slot: usize,
    /// Which of its producer's encodings it is of.
    pub encoding: usize,
    /// Its place in the publisher's stream.
    pub arrival: Arrival,
    /// What stands in it.
    pub content: Content,
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
    /// Its SSRC.
    pub ssrc: Ssrc,
    /// Its packet index, for SRTP.
    pub index: PacketIndex,
}

impl Copied {
    /// Puts `padding` bytes behind the payload (RFC 3550 section 5.1), 255 at most, for which `packet` has room.
    pub fn pad(&mut self, packet: &mut [u8], padding: usize) {
        let Some(([first, ..], room)) = packet
            .split_at_mut_checked(self.len)
            .and_then(|(packet, rest)| Some((packet.first_chunk_mut::<1>()?, rest.get_mut(..padding)?)))
        else {
            return;
        };
        if let Some((count, zeros)) = room.split_last_mut() {
            *first |= PADDING_BIT;
            zeros.fill(0);
            *count = padding as u8;
            self.len += padding;
        }
    }
}

/// What a copy is sent as.
struct Label {
    payload_type: PayloadType,
    ssrc: Ssrc,
    index: PacketIndex,
    /// The number of the packet that is sent again.
    original: Option<SeqNo>,
}

/// A consumer. `T` is the shard's key of a transport, `P` that of a producer.
///
/// A copy needs the end of the rewriter and what stands behind it, which is side by side: of a shard's thousands, each cache
/// line more that a copy touches has left the second-level cache by the next.
#[derive(Debug)]
#[repr(C)]
pub struct Consumer<T, P> {
    /// Its name in signaling.
    pub id: ConsumerId,
    /// The transport that its packets go by.
    pub transport: T,
    /// Whose packets it copies.
    pub producer: P,
    /// All codecs that its receiver knows.
    codecs: Box<[CodecMapping]>,
    cname: Arc<str>,
    /// How it gets again what it has missed.
    pub retransmission: Option<Box<Retransmission>>,
    sent_at_last_report: u32,
    statements_held: u32,
    rewriter: Rewriter,
    sent: Sent,
    /// The SSRC of the copies.
    pub ssrc: Ssrc,
    /// The run of pictures that it gets, from the key frame on that began it; `None` while it waits for one.
    forwarded: Option<RunId>,
    /// The codec of its newest copies.
    codec: Option<CodecMapping>,
    mid: StreamName,
    ids: HeaderExtensionIds,
    paused: PauseReasons,
    /// Audio or video.
    pub kind: MediaKind,
}

/// Bytes at the end of a consumer that a copy needs; three cache lines hold as many.
const COPY_STATE_LEN: usize =
    size_of::<Consumer<u64, u64>>() - offset_of!(Consumer<u64, u64>, rewriter) - Rewriter::PACKET_STATE_OFFSET;

const _: () = assert!(COPY_STATE_LEN <= 3 * 64);

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
        let rewriter = Rewriter::new(clock_rate_hz, first_index, first_timestamp);
        Self {
            id,
            transport,
            producer,
            codecs: table.codecs.into_boxed_slice(),
            cname: table.cname,
            // From the same number: the streams have nothing else in common.
            retransmission: table.rtx_ssrc.map(|ssrc| Box::new(Retransmission::new(ssrc, first_index))),
            sent_at_last_report: 0,
            statements_held: 0,
            rewriter: if table.rtx_ssrc.is_some() { rewriter.with_past() } else { rewriter },
            sent: Sent::default(),
            ssrc: table.ssrc,
            forwarded: None,
            codec: None,
            mid: table.mid,
            ids: table.header_extensions,
            paused,
            kind: table.kind,
        }
    }

    /// Reads a little of all that [`Self::copy`] needs, and gives a word of it, so that it is in the cache.
    pub fn warm(&self) -> u64 {
        u64::from(self.codec.map_or(0, |mapping| mapping.producer_payload_type.0))
            ^ u64::from(self.ssrc.0)
            ^ u64::from(self.sent.packets)
            ^ u64::from(self.ids.id(HeaderExtension::Mid).unwrap_or_default())
            ^ self.rewriter.warm()
    }

    /// Whether it gets copies.
    pub fn is_flowing(&self) -> bool {
        self.paused.is_empty()
    }

    /// Adds a reason not to flow; its producer's [`super::Subscription`] is to be told.
    pub fn pause(&mut self, reason: PauseReason) {
        self.paused = self.paused.with(reason);
    }

    /// Takes a reason away, and says whether it flows again: the next copy follows the last one, and of pictures it is the
    /// first of a key frame. Its producer's [`super::Subscription`] is to be told.
    pub fn resume(&mut self, reason: PauseReason) -> bool {
        let was_flowing = self.is_flowing();
        self.paused = self.paused.without(reason);
        let is_resumed = !was_flowing && self.is_flowing();
        if is_resumed {
            self.leave_out();
        }
        is_resumed
    }

    /// Says that this consumer gets no copy of a packet, which must not look like loss.
    pub fn leave_out(&mut self) {
        self.rewriter.break_run();
        self.forwarded = None;
    }

    /// The stream of pictures that it gets now, by its clock; `None` while it waits for a key frame.
    pub fn clock(&self) -> Option<u32> {
        self.forwarded.map(|run| run.clock)
    }

    /// Whether its receiver knows the codec of the publisher's packets with `payload_type`.
    pub fn knows(&self, payload_type: PayloadType) -> bool {
        self.codec(payload_type).is_some()
    }

    /// Whether one of pictures gets a copy of `incoming`, whose producer's consumers are to get the encoding `target`: it gets
    /// one run after another, each from the first packet of a key frame on.
    pub fn admits(&mut self, incoming: &Incoming, target: usize) -> bool {
        let arrival = incoming.arrival;
        if self.forwarded == Some(arrival.id) {
            return true;
        }
        let goes_on = self.forwarded.is_some_and(|run| run.run == arrival.id.run);
        if !arrival.begins_run || (goes_on && incoming.encoding != target) {
            return false;
        }
        let is_in_order = arrival.is_newest || (self.retransmission.is_some() && self.rewriter.is_ahead(arrival));
        if is_in_order {
            self.forwarded = Some(arrival.id);
        }
        is_in_order
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
        let Some(codec) = self.codec(incoming.content.payload_type) else {
            self.leave_out();
            return None;
        };
        self.codec = Some(codec);
        let payload_type = codec.codec.payload_type;
        let Some(mapped) = self.rewriter.map(incoming.arrival, departure.now) else {
            if self.forwarded == Some(incoming.arrival.id) && !self.rewriter.is_under_way(incoming.arrival) {
                // So far behind what went out that only a key frame can follow.
                self.forwarded = None;
            }
            return None;
        };
        let label = Label { payload_type, ssrc: self.ssrc, index: mapped.index, original: None };
        let copied = self.write(&incoming.content, packet, mapped, label, departure, transport_sequence, out)?;
        self.sent.packets = self.sent.packets.wrapping_add(1);
        self.sent.payload_len = self.sent.payload_len.wrapping_add((copied.len - copied.header_len) as u32);
        Some(copied)
    }

    /// Where the packet came from that the receiver misses under the number `sequence`.
    pub fn origin(&self, sequence: SeqNo) -> Option<Origin> {
        self.rewriter.origin(sequence)
    }

    /// Writes, like [`Self::copy`], the copy again that came from `origin`, where `packet` has the `content`: as a packet of
    /// the retransmission stream. `None` where that has not been negotiated.
    pub fn copy_again(
        &mut self,
        origin: &Origin,
        content: &Content,
        packet: &[u8],
        departure: &Departure,
        transport_sequence: &mut u16,
        out: &mut [u8],
    ) -> Option<Copied> {
        let payload_type = self.codec(content.payload_type)?.codec.rtx_payload_type?;
        let mapped = origin.map(content.timestamp, content.pictures().unwrap_or_default());
        let (ssrc, index) = self.retransmission.as_mut()?.take_number();
        let label = Label { payload_type, ssrc, index, original: Some(mapped.index.sequence()) };
        self.write(content, packet, mapped, label, departure, transport_sequence, out)
    }

    /// What the receiver knows the publisher's codec as.
    fn codec(&self, producer_payload_type: PayloadType) -> Option<CodecMapping> {
        let is_it = |mapping: &CodecMapping| mapping.producer_payload_type == producer_payload_type;
        // The others stand elsewhere, and are not to be waited for.
        self.codec.filter(is_it).or_else(|| self.codecs.iter().copied().find(is_it))
    }

    #[expect(clippy::too_many_arguments, reason = "where to, what from, what as, and what belongs to the hop")]
    fn write(
        &self,
        content: &Content,
        packet: &[u8],
        mapped: Mapped,
        label: Label,
        departure: &Departure,
        transport_sequence: &mut u16,
        out: &mut [u8],
    ) -> Option<Copied> {
        let Label { payload_type, ssrc, index, original } = label;
        let payload = packet.get(content.payload.clone())?;
        let (fixed, rest) = out.split_first_chunk_mut()?;
        RtpHeader::write_fixed(fixed, content.marker, payload_type, index.sequence(), mapped.timestamp, ssrc);
        let block_len = self.write_extensions(content, packet, departure, transport_sequence, rest);
        fixed[0] |= if block_len == 0 { 0 } else { 0x10 };

        let mut rest = rest.get_mut(block_len..)?;
        if let Some(original) = original {
            let (number, behind) = rest.split_first_chunk_mut::<ORIGINAL_LEN>()?;
            *number = original.0.to_be_bytes();
            rest = behind;
        }
        let payload_out = rest.get_mut(..payload.len())?;
        payload_out.copy_from_slice(payload);
        if let Some(picture_id) = content.head.picture_id {
            picture_id.write(payload_out, mapped.pictures.picture_id);
        }
        if let Some(tl0_index) = content.head.tl0_index {
            tl0_index.write(payload_out, mapped.pictures.tl0_index);
        }

        let header_len = FIXED_HEADER_LEN + block_len;
        let original_len = original.map_or(0, |_| ORIGINAL_LEN);
        Some(Copied { header_len, len: header_len + original_len + payload.len(), ssrc, index })
    }

    fn write_extensions(
        &self,
        content: &Content,
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
                let value = content.extensions.value(packet, extension)?;
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

    /// What a sender report says now, and begins the next interval; `None` where nothing went out since the last, or where
    /// it is better held back. `ntp` is the time `now`, and `sampled` the timestamp in the publisher's stream of what is
    /// captured now, where its reports tell.
    pub fn take_statement(
        &mut self,
        now: Instant,
        ntp: NtpTimestamp,
        sampled: Option<(u32, Timestamp)>,
    ) -> Option<SenderStatement> {
        if self.sent.packets == self.sent_at_last_report {
            return None;
        }
        let (newest, at) = self.rewriter.newest_timestamp()?;
        self.statements_held = if sampled.is_some() { 0 } else { self.statements_held + 1 };
        if (1..=STATEMENTS_HELD_MAX).contains(&self.statements_held) {
            return None;
        }
        self.sent_at_last_report = self.sent.packets;
        let arriving = newest.plus(self.rewriter.ticks(now.saturating_duration_since(at)));
        let sampled = sampled.and_then(|(clock, timestamp)| self.rewriter.timestamp(clock, timestamp));
        let is_sane = |sampled: &Timestamp| {
            let error = (sampled.since(arriving) as i32).unsigned_abs();
            error <= self.rewriter.ticks(CLOCK_ERROR_MAX)
        };
        let timestamp = sampled.filter(is_sane).unwrap_or(arriving);
        Some(SenderStatement { ntp, timestamp, packets: self.sent.packets, payload_len: self.sent.payload_len })
    }

    /// The stream that its newest copies came from, by its clock, pictures or sound.
    pub fn timestamp_clock(&self) -> Option<u32> {
        self.rewriter.clock()
    }

    /// The canonical name for source descriptions.
    pub fn cname(&self) -> &Arc<str> {
        &self.cname
    }
}

#[cfg(test)]
mod tests {
    use shard_protocol::tables::{CodecTable, PayloadFormat};

    use super::*;
    use crate::wire::extension::ExtensionValues;

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
        let mut packet =
            vec![0x90, 0x80 | payload_type, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xbe, 0xde, 0, 1, 0x30, 0x85, 0, 0];
        packet.extend_from_slice(b"payload");
        let header = RtpHeader::parse(&packet).unwrap();
        let mut ids = HeaderExtensionIds::default();
        ids.set(HeaderExtension::AudioLevel, 3);
        let extensions = ExtensionValues::parse(&packet, &header, &ids);
        let content = Content::read(&packet, &header, extensions, PayloadFormat::Opus).unwrap();
        let arrival = Arrival {
            id: RunId { run: 0, clock: 0 },
            index: PacketIndex(index),
            timestamp: content.timestamp,
            captured_at: None,
            is_newest: true,
            begins_run: true,
            pictures: None,
        };
        let incoming = Incoming { slot: 0, encoding: 0, arrival, content };
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
    fn a_padded_copy_is_longer_and_has_the_same_payload() {
        let mut consumer = consumer(&[]);
        let (incoming, packet) = incoming(1, 111);
        let mut out = [0xff; 200];
        let mut copied = consumer.copy(&incoming, &packet, &departure(), &mut 0, &mut out).unwrap();
        let len = copied.len;
        copied.pad(&mut out, 0);
        assert_eq!((copied.len, out[0]), (len, 0x80));
        copied.pad(&mut out, 5);
        assert_eq!((copied.len, out[0]), (len + 5, 0xa0));
        assert_eq!(out[copied.header_len..copied.len], *b"payload\0\0\0\0\x05");
        let header = RtpHeader::parse(&out[..copied.len]).unwrap();
        assert_eq!(header.payload_end(&out[..copied.len]), Ok(len));
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
        assert_eq!(consumer.take_statement(Instant::now(), ntp, None), None);
        let (incoming, packet) = incoming(1, 111);
        let departure = departure();
        consumer.copy(&incoming, &packet, &departure, &mut 0, &mut [0; 200]);
        let later = departure.now + std::time::Duration::from_millis(500);
        let timestamp = Timestamp(1000 + 24_000);
        let statement = SenderStatement { ntp, timestamp, packets: 1, payload_len: 7 };
        for _ in 0..STATEMENTS_HELD_MAX {
            assert_eq!(consumer.take_statement(later, ntp, None), None, "the publisher has not reported yet");
        }
        assert_eq!(consumer.take_statement(later, ntp, None), Some(statement));
        assert_eq!(consumer.take_statement(later, ntp, None), None);
    }
}
