//! The RTP streams among a capture's packets.
//!
//! A stream is what has the same source, destination and SSRC. What looks like RTP is a mere candidate until its sequence
//! numbers have gone on as those of a stream do, so that DNS or QUIC is not taken for one; what was chosen by port or SSRC
//! is believed at once. Every packet is counted as what it was taken for.

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;

use bytes::{Bytes, BytesMut};
use engine::wire::rtp::RtpHeader;
use serde::Serialize;

use crate::datagram::{Datagram, Refusal, dissect, is_known};
use crate::error::CaptureError;
use crate::file::{Link, Record};
use crate::probation::{Numbering, Verdict};
use crate::stream::{CapturedStream, Draft, StreamDraft};

/// The most that is kept of a capture, in bytes of payloads and their numbers: an hour of a call of thirty voices, and what
/// a machine that makes load can spare. The vectors behind it may take half as much again while they grow.
pub const STORED_BYTES_MAX: u64 = 1 << 30;

/// Packets whose numbers go on, one from another, before a stream is believed in. A.1 has two; here whatever else there is
/// in a network pretends too.
const PROBATION_PACKETS: usize = 4;

/// Packets of a candidate at a time: enough where each packet was captured twice, going in and out.
const CANDIDATE_PACKETS_MAX: usize = 2 * PROBATION_PACKETS;

/// Candidates at a time. Where each of other packets looks like a new one, the oldest gives way; as many calls can begin
/// within the same four packets, and all of the largest datagrams are 128 MiB.
const CANDIDATES_MAX: usize = 256;

/// Payloads are kept together in pieces of this size, each shared by the packets in it.
const PIECE_BYTES: usize = 256 << 10;

/// What RTCP has where RTP has its marker and its payload type (RFC 5761 section 4).
const RTCP_PACKET_TYPES: std::ops::RangeInclusive<u8> = 192..=223;

/// Payload types that RTP leaves to RTCP where both share a port (RFC 5761 section 4).
const RTCP_PAYLOAD_TYPES: std::ops::RangeInclusive<u8> = 64..=95;

/// Which streams are wanted: those that fit all that is given.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// The UDP port, at either end.
    pub port: Option<u16>,
    /// The SSRC.
    pub ssrc: Option<u32>,
}

impl Filter {
    /// Whether something is asked for, and RTP need not prove itself.
    fn is_choice(&self) -> bool {
        self.port.is_some() || self.ssrc.is_some()
    }
}

/// What became of the packets of a capture: each is in `records` and in one of the others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Counts {
    /// All packets of the file.
    pub records: u64,
    /// Packets of the streams, repeats among them.
    pub rtp: u64,
    /// Packets with a stream's addresses and SSRC whose sequence number is far from the others.
    pub stray: u64,
    /// RTCP, also where it is encrypted.
    pub rtcp: u64,
    /// Other UDP: STUN, DTLS, DNS, and what seemed to be RTP but did not go on.
    pub not_rtp: u64,
    /// RTP, or other UDP, that the filter did not ask for.
    pub unchosen: u64,
    /// Other than UDP over IP.
    pub not_udp: u64,
    /// Parts of IP packets, which are left out.
    pub fragments: u64,
    /// Packets that the capture kept only the front of (its snap length), which are left out.
    pub cut_short: u64,
    /// Packets without a time, which are left out.
    pub untimed: u64,
    /// Packets of link types that are not known.
    pub foreign_link: u64,
    /// Packets whose headers contradict themselves.
    pub malformed: u64,
}

/// Who a stream is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Key {
    source: SocketAddr,
    destination: SocketAddr,
    ssrc: u32,
}

#[derive(Debug)]
enum Slot {
    Candidate(Candidate),
    /// The place in the list of streams.
    Stream(usize),
}

/// What may become a stream.
#[derive(Debug, Default)]
struct Candidate {
    packets: Vec<Draft>,
    /// How many of them went on from the one before.
    advances: usize,
    latest: u16,
}

impl Candidate {
    /// Takes the next packet, and tells how many before it can't be of a stream.
    fn push(&mut self, draft: Draft) -> usize {
        let goes_on = Numbering::is_next(self.latest, draft.sequence);
        // Repeats and late packets say nothing: a number that never changes is none.
        let fits = goes_on || Numbering::is_near(self.latest, draft.sequence);
        let dropped = if !fits || self.packets.len() == CANDIDATE_PACKETS_MAX {
            let dropped = self.packets.len();
            *self = Self::default();
            dropped
        } else {
            0
        };
        if self.packets.is_empty() || goes_on {
            self.latest = draft.sequence;
            self.advances += 1;
        }
        self.packets.push(draft);
        dropped
    }
}

/// A stream that is being read.
#[derive(Debug)]
struct Growing {
    draft: StreamDraft,
    numbering: Numbering,
    /// A packet far from the others, until the next one tells.
    wild: Option<Draft>,
}

/// Takes records, and gives streams in the end.
#[derive(Debug)]
pub(crate) struct Collection {
    filter: Filter,
    stored_bytes_max: u64,
    counts: Counts,
    slots: HashMap<Key, Slot>,
    /// The candidates and some that were, oldest first.
    queue: VecDeque<Key>,
    candidates: usize,
    streams: Vec<Growing>,
    store: Store,
    /// When the first packet was captured.
    started_at_ns: Option<u64>,
    foreign: Option<Link>,
}

impl Collection {
    pub(crate) fn new(filter: Filter, stored_bytes_max: u64) -> Self {
        Self {
            filter,
            stored_bytes_max,
            counts: Counts::default(),
            slots: HashMap::new(),
            queue: VecDeque::new(),
            candidates: 0,
            streams: Vec::new(),
            store: Store::default(),
            started_at_ns: None,
            foreign: None,
        }
    }

    /// Takes the next packet of the capture.
    pub(crate) fn handle_record(&mut self, record: Record<'_>) -> Result<(), CaptureError> {
        self.counts.records += 1;
        if !is_known(record.link.link_type) {
            self.counts.foreign_link += 1;
            self.foreign.get_or_insert(record.link);
            return Ok(());
        }
        let Some(at_ns) = record.at_ns else {
            self.counts.untimed += 1;
            return Ok(());
        };
        let started_at_ns = *self.started_at_ns.get_or_insert(at_ns);
        if record.is_cut {
            self.counts.cut_short += 1;
            return Ok(());
        }
        match dissect(record.link.link_type, record.data) {
            Ok(datagram) => self.handle_datagram(&datagram, at_ns.saturating_sub(started_at_ns)),
            Err(Refusal::ForeignLink) => self.counts.foreign_link += 1,
            Err(Refusal::NotUdp) => self.counts.not_udp += 1,
            Err(Refusal::Fragment) => self.counts.fragments += 1,
            Err(Refusal::Malformed) => self.counts.malformed += 1,
        }
        if self.store.bytes > self.stored_bytes_max {
            return Err(CaptureError::TooLarge { offset: record.offset, limit_bytes: self.stored_bytes_max });
        }
        Ok(())
    }

    /// Where every packet is of a foreign link type, that one.
    pub(crate) fn foreign_link(&self) -> Option<Link> {
        self.foreign.filter(|_| self.counts.foreign_link == self.counts.records)
    }

    /// Gives the streams in the order of their first packets, and what all packets were.
    pub(crate) fn finish(mut self) -> (Vec<CapturedStream>, Counts) {
        for slot in self.slots.values() {
            if let Slot::Candidate(candidate) = slot {
                self.counts.not_rtp += candidate.packets.len() as u64;
            }
        }
        self.counts.stray += self.streams.iter().filter(|stream| stream.wild.is_some()).count() as u64;
        let mut streams: Vec<_> = self.streams.into_iter().map(|stream| CapturedStream::new(stream.draft)).collect();
        streams.sort_by_key(CapturedStream::started);
        (streams, self.counts)
    }

    fn handle_datagram(&mut self, datagram: &Datagram<'_>, at_ns: u64) {
        let Datagram { source, destination, payload: packet } = *datagram;
        if self.filter.port.is_some_and(|port| port != source.port() && port != destination.port()) {
            self.counts.unchosen += 1;
            return;
        }
        // STUN and DTLS have another version than RTP and RTCP (RFC 7983).
        if matches!(packet, [128..=191, second, ..] if RTCP_PACKET_TYPES.contains(second)) {
            self.counts.rtcp += 1;
            return;
        }
        let header = RtpHeader::parse(packet).ok();
        let Some(header) = header.filter(|header| !RTCP_PAYLOAD_TYPES.contains(&header.payload_type.0)) else {
            self.counts.not_rtp += 1;
            return;
        };
        if self.filter.ssrc.is_some_and(|ssrc| ssrc != header.ssrc.0) {
            self.counts.unchosen += 1;
            return;
        }
        // Padding that does not fit is not readable, as in an encrypted packet; all of it is played as it was.
        let end = header.payload_end(packet).unwrap_or(packet.len());
        let payload = packet.get(header.header_len..end).unwrap_or_default();
        let key = Key { source, destination, ssrc: header.ssrc.0 };
        let draft = Draft::new(&header, at_ns);
        match self.slots.get_mut(&key) {
            Some(Slot::Stream(place)) => {
                let place = *place;
                self.on_packet(place, draft, payload);
            }
            Some(Slot::Candidate(candidate)) => {
                let dropped = candidate.push(Draft { payload: Bytes::copy_from_slice(payload), ..draft });
                self.counts.not_rtp += dropped as u64;
                if candidate.advances == PROBATION_PACKETS {
                    let packets = std::mem::take(&mut candidate.packets);
                    self.candidates -= 1;
                    self.on_believed(key, packets);
                }
            }
            None if self.filter.is_choice() => {
                self.on_believed(key, vec![Draft { payload: Bytes::copy_from_slice(payload), ..draft }]);
            }
            None => self.on_candidate(key, Draft { payload: Bytes::copy_from_slice(payload), ..draft }),
        }
    }

    fn on_candidate(&mut self, key: Key, draft: Draft) {
        let mut candidate = Candidate::default();
        candidate.push(draft);
        self.slots.insert(key, Slot::Candidate(candidate));
        self.queue.push_back(key);
        self.candidates += 1;
        while self.candidates > CANDIDATES_MAX {
            let Some(oldest) = self.queue.pop_front() else { break };
            if let Some(Slot::Candidate(candidate)) = self.slots.get(&oldest) {
                self.counts.not_rtp += candidate.packets.len() as u64;
                self.candidates -= 1;
                self.slots.remove(&oldest);
            }
        }
    }

    fn on_believed(&mut self, key: Key, packets: Vec<Draft>) {
        let Some(first) = packets.first() else { return };
        let place = self.streams.len();
        let numbering = Numbering::new(first.sequence);
        self.slots.insert(key, Slot::Stream(place));
        self.store.bytes += size_of::<Growing>() as u64;
        let draft = StreamDraft::new(key.source, key.destination, key.ssrc);
        self.streams.push(Growing { draft, numbering, wild: None });
        for draft in packets {
            let payload = draft.payload.clone();
            self.on_packet(place, draft, &payload);
        }
    }

    fn on_packet(&mut self, place: usize, draft: Draft, payload: &[u8]) {
        let Some(stream) = self.streams.get_mut(place) else { return };
        let is_first = stream.draft.packets.is_empty();
        let verdict = if is_first { Verdict::Ahead { place: 0 } } else { stream.numbering.note(draft.sequence) };
        let verdict_place = match verdict {
            Verdict::Repeat => {
                self.counts.rtp += 1;
                stream.draft.repeated += 1;
                return;
            }
            Verdict::Wild => {
                self.on_wild(place, draft, payload);
                return;
            }
            Verdict::Late { place } => {
                stream.draft.reordered += 1;
                place
            }
            Verdict::Ahead { place } => place,
        };
        // One that did fit: the other one was alone.
        self.counts.stray += u64::from(stream.wild.take().is_some());
        self.counts.rtp += 1;
        let payload = self.store.keep(payload);
        stream.draft.packets.push(Draft { place: verdict_place, payload, ..draft });
    }

    /// Two packets that go on from one another, far from all before, are the stream begun anew (A.1).
    fn on_wild(&mut self, place: usize, draft: Draft, payload: &[u8]) {
        let Some(stream) = self.streams.get_mut(place) else { return };
        let wild = Draft { payload: Bytes::copy_from_slice(payload), ..draft };
        let Some(before) = stream.wild.take() else {
            stream.wild = Some(wild);
            return;
        };
        if wild.sequence != before.sequence.wrapping_add(1) {
            self.counts.stray += 1;
            stream.wild = Some(wild);
            return;
        }
        let restart_place = stream.numbering.restart(before.sequence);
        let payload = self.store.keep(&before.payload);
        stream.draft.packets.push(Draft { place: restart_place, is_restart: true, payload, ..before });
        self.counts.rtp += 1;
        let payload = wild.payload.clone();
        self.on_packet(place, wild, &payload);
    }
}

/// The payloads that are kept.
#[derive(Debug, Default)]
struct Store {
    room: BytesMut,
    bytes: u64,
}

impl Store {
    fn keep(&mut self, payload: &[u8]) -> Bytes {
        self.bytes += (payload.len() + size_of::<Draft>()) as u64;
        if self.room.capacity() < payload.len() {
            self.room = BytesMut::with_capacity(PIECE_BYTES.max(payload.len()));
        }
        self.room.extend_from_slice(payload);
        self.room.split().freeze()
    }
}

#[cfg(test)]
mod tests;
