//! Which producer a publisher's packet belongs to: by its SSRC, else by its MID and RID; what is found the second way is
//! learnt for the first.

use shard_protocol::tables::{HeaderExtension, HeaderExtensionIds, PayloadType, ProducerTable, Ssrc, StreamName};

use crate::security::srtp::ReplayWindow;
use crate::wire::extension::walk_elements;
use crate::wire::rtp::RtpHeader;

/// Where packets of one SSRC go. `P` is the shard's key of a producer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamRoute<P> {
    /// The producer.
    pub producer: P,
    /// Which of its encodings.
    pub encoding: usize,
    /// Media, or retransmissions of it.
    pub flow: Flow,
}

/// What the packets of an SSRC carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    /// The media itself.
    Media,
    /// Retransmissions, RFC 4588.
    Retransmission,
}

/// A producer as packets without a known SSRC are matched with it.
#[derive(Debug)]
struct Description<P> {
    producer: P,
    mid: Option<StreamName>,
    rids: Vec<Option<StreamName>>,
    ids: HeaderExtensionIds,
    media_payload_types: Vec<PayloadType>,
    rtx_payload_types: Vec<PayloadType>,
}

/// SSRCs of one transport that have ended and whose replay windows are kept. Their key lives on, so without its window a
/// recorded packet would pass as the first of a new stream, and one that is published again would have lost its roll-over
/// counter. None is forgotten: a publisher that has used up so many, two for each of five hundred screens, begins no further
/// one without a new transport.
const RETIRED_MAX: usize = 1024;

/// The routes of one transport's incoming packets.
///
/// Bounded by signaling's limits: at most two SSRCs an encoding are known at a time, because one that is learnt replaces
/// the one before.
#[derive(Debug)]
pub struct RtpListener<P> {
    by_ssrc: Vec<(Ssrc, StreamRoute<P>)>,
    descriptions: Vec<Description<P>>,
    /// Longest ago first.
    retired: Vec<(Ssrc, ReplayWindow)>,
}

impl<P> Default for RtpListener<P> {
    fn default() -> Self {
        Self { by_ssrc: Vec::new(), descriptions: Vec::new(), retired: Vec::new() }
    }
}

impl<P: Copy + Eq> RtpListener<P> {
    /// Whether `table` can be told apart from the producers that are here: no SSRC in common, and not the same MID, or,
    /// where neither has one, RID.
    pub fn accepts(&self, table: &ProducerTable) -> bool {
        let ssrcs = || table.encodings.iter().flat_map(|encoding| [encoding.ssrc, encoding.rtx_ssrc]).flatten();
        let is_repeated = ssrcs().enumerate().any(|(n, ssrc)| ssrcs().skip(n + 1).any(|other| other == ssrc));
        let is_known = ssrcs().any(|ssrc| self.by_ssrc(ssrc).is_some());
        let is_named_alike = |known: &Description<P>| {
            let shares_rid = || table.encodings.iter().any(|told| told.rid.is_some() && known.rids.contains(&told.rid));
            known.mid == table.mid && (table.mid.is_some() || shares_rid())
        };
        !(is_repeated || is_known || self.descriptions.iter().any(is_named_alike))
    }

    /// Enters a producer that [`Self::accepts`] took.
    pub fn add(&mut self, producer: P, table: &ProducerTable) {
        for (encoding, told) in table.encodings.iter().enumerate() {
            for (ssrc, flow) in [(told.ssrc, Flow::Media), (told.rtx_ssrc, Flow::Retransmission)] {
                if let Some(ssrc) = ssrc {
                    self.by_ssrc.push((ssrc, StreamRoute { producer, encoding, flow }));
                }
            }
        }
        // Mostly there is one, and of its kind one a transport.
        self.descriptions.reserve_exact(1);
        self.descriptions.push(Description {
            producer,
            mid: table.mid,
            rids: table.encodings.iter().map(|encoding| encoding.rid).collect(),
            ids: table.header_extensions,
            media_payload_types: table.codecs.iter().map(|codec| codec.payload_type).collect(),
            rtx_payload_types: table.codecs.iter().filter_map(|codec| codec.rtx_payload_type).collect(),
        });
    }

    /// Takes a producer out with all its SSRCs.
    pub fn remove(&mut self, producer: P) {
        self.by_ssrc.retain(|(_, route)| route.producer != producer);
        self.descriptions.retain(|known| known.producer != producer);
    }

    /// The way of a known SSRC. A transport has a handful of them: a walk beats a hash.
    pub fn by_ssrc(&self, ssrc: Ssrc) -> Option<StreamRoute<P>> {
        self.by_ssrc.iter().find(|(known, _)| *known == ssrc).map(|(_, route)| *route)
    }

    /// The way of a packet: that of its SSRC, else what it says of itself.
    pub fn route(&self, packet: &[u8], header: &RtpHeader) -> Option<StreamRoute<P>> {
        self.by_ssrc(header.ssrc).or_else(|| self.by_description(packet, header))
    }

    /// The way of a packet whose SSRC is not known, by what its extensions and payload type say. Nothing is learnt: the
    /// packet is not authenticated yet. An SSRC that has ended finds no way by this: what still comes of it is late, or
    /// recorded.
    pub fn by_description(&self, packet: &[u8], header: &RtpHeader) -> Option<StreamRoute<P>> {
        let block = header.extension?;
        if self.retired(header.ssrc).is_some() {
            return None;
        }
        self.descriptions.iter().find_map(|known| {
            let mid_id = known.ids.id(HeaderExtension::Mid);
            let rid_id = known.ids.id(HeaderExtension::RtpStreamId);
            let repaired_id = known.ids.id(HeaderExtension::RepairedRtpStreamId);
            let (mut mid, mut rid, mut repaired) = (None, None, None);
            walk_elements(packet, block, |id, range| {
                let value = packet.get(range);
                match Some(id) {
                    id if id == mid_id => mid = value,
                    id if id == rid_id => rid = value,
                    id if id == repaired_id => repaired = value,
                    _ => {}
                }
            });
            if known.mid.is_some() && mid != known.mid.as_ref().map(StreamName::as_bytes) {
                return None;
            }
            let flow = if known.media_payload_types.contains(&header.payload_type) {
                Flow::Media
            } else if known.rtx_payload_types.contains(&header.payload_type) {
                Flow::Retransmission
            } else {
                return None;
            };
            let named = match flow {
                Flow::Media => rid,
                Flow::Retransmission => repaired,
            };
            // Without a name there is nothing to tell it by.
            known.mid.as_ref().map(StreamName::as_bytes).or(named)?;
            let encoding = known.rids.iter().position(|rid| rid.as_ref().map(StreamName::as_bytes) == named)?;
            Some(StreamRoute { producer: known.producer, encoding, flow })
        })
    }

    /// Whether a stream more may begin: its replay window can be kept when it ends.
    pub fn has_room(&self) -> bool {
        self.retired.len() < RETIRED_MAX
    }

    /// Remembers that `ssrc` goes `route`, and no other does.
    pub fn learn(&mut self, ssrc: Ssrc, route: StreamRoute<P>) {
        self.by_ssrc.retain(|(known_ssrc, known)| *known_ssrc != ssrc && *known != route);
        self.by_ssrc.push((ssrc, route));
        self.retired.retain(|(known, _)| *known != ssrc);
    }

    /// Keeps the replay window of a stream that has ended, which [`Self::has_room`] was asked for when it began.
    pub fn retire(&mut self, ssrc: Ssrc, replay: ReplayWindow) {
        self.retired.push((ssrc, replay));
    }

    /// The replay window of `ssrc`, where that has ended.
    pub fn retired(&self, ssrc: Ssrc) -> Option<ReplayWindow> {
        self.retired.iter().find(|(known, _)| *known == ssrc).map(|(_, replay)| *replay)
    }
}

#[cfg(test)]
mod tests {
    use shard_protocol::tables::{CodecTable, EncodingTable, MediaKind, PayloadFormat};

    use super::*;

    fn table(mid: &[u8], encodings: &[(Option<u32>, Option<&[u8]>)]) -> ProducerTable {
        let mut header_extensions = HeaderExtensionIds::default();
        header_extensions.set(HeaderExtension::Mid, 4);
        header_extensions.set(HeaderExtension::RtpStreamId, 10);
        header_extensions.set(HeaderExtension::RepairedRtpStreamId, 11);
        ProducerTable {
            kind: MediaKind::Video,
            mid: StreamName::new(mid),
            codecs: vec![CodecTable {
                payload_type: PayloadType(96),
                rtx_payload_type: Some(PayloadType(97)),
                format: PayloadFormat::Vp8,
                clock_rate_hz: 90_000,
            }],
            encodings: encodings
                .iter()
                .map(|(ssrc, rid)| EncodingTable {
                    ssrc: ssrc.map(Ssrc),
                    rtx_ssrc: None,
                    rid: rid.and_then(StreamName::new),
                })
                .collect(),
            header_extensions,
            bitrate_max_bps: 2_150_000,
        }
    }

    fn route(listener: &RtpListener<u8>, payload_type: u8, elements: &[u8]) -> Option<(u8, usize, Flow)> {
        let mut packet = vec![0x90, payload_type, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9, 0xbe, 0xde, 0, 0];
        packet.extend_from_slice(elements);
        packet.resize(packet.len().next_multiple_of(4), 0);
        packet[15] = ((packet.len() - 16) / 4) as u8;
        let header = RtpHeader::parse(&packet).unwrap();
        listener.by_description(&packet, &header).map(|route| (route.producer, route.encoding, route.flow))
    }

    #[test]
    fn packets_are_found_by_mid_and_rid_and_nothing_is_guessed() {
        let mut listener = RtpListener::default();
        listener.add(1, &table(b"0", &[(Some(5), None)]));
        listener.add(2, &table(b"1", &[(None, Some(b"lo")), (None, Some(b"hi"))]));
        assert_eq!(route(&listener, 96, &[0x40, b'0']), Some((1, 0, Flow::Media)));
        assert_eq!(route(&listener, 97, &[0x40, b'0']), Some((1, 0, Flow::Retransmission)));
        assert_eq!(route(&listener, 96, &[0x40, b'1', 0xa1, b'h', b'i']), Some((2, 1, Flow::Media)));
        assert_eq!(route(&listener, 97, &[0x40, b'1', 0xb1, b'l', b'o']), Some((2, 0, Flow::Retransmission)));
        assert_eq!(route(&listener, 96, &[0x40, b'1', 0xa1, b'm', b'e']), None);
        assert_eq!(route(&listener, 96, &[0x40, b'1']), None);
        assert_eq!(route(&listener, 96, &[0x40, b'2']), None);
        assert_eq!(route(&listener, 98, &[0x40, b'0']), None);
        assert_eq!(route(&listener, 96, &[]), None);
    }

    #[test]
    fn without_a_mid_the_rid_alone_tells_and_must_be_one_producers_own() {
        let mut listener = RtpListener::default();
        let unnamed = |rids: &[&'static [u8]]| {
            let encodings: Vec<_> = rids.iter().map(|rid| (None, Some(*rid))).collect();
            ProducerTable { mid: None, ..table(b"", &encodings) }
        };
        listener.add(2, &unnamed(&[b"lo", b"hi"]));
        assert_eq!(route(&listener, 96, &[0xa1, b'h', b'i']), Some((2, 1, Flow::Media)));
        assert_eq!(route(&listener, 97, &[0xb1, b'l', b'o']), Some((2, 0, Flow::Retransmission)));
        assert_eq!(route(&listener, 96, &[0x40, b'0']), None);
        assert!(!listener.accepts(&unnamed(&[b"hi"])) && listener.accepts(&unnamed(&[b"me"])));
    }

    #[test]
    fn a_learnt_ssrc_replaces_the_one_before_so_that_a_thousand_take_no_room() {
        let mut listener = RtpListener::default();
        listener.add(1, &table(b"0", &[(Some(5), None)]));
        let media = StreamRoute { producer: 1, encoding: 0, flow: Flow::Media };
        let ssrcs = 100..100 + RETIRED_MAX as u32;
        for ssrc in ssrcs.clone() {
            assert!(listener.has_room());
            listener.learn(Ssrc(ssrc), media);
            listener.retire(Ssrc(ssrc - 1), ReplayWindow::default());
        }
        assert_eq!(listener.by_ssrc, [(Ssrc(ssrcs.end - 1), media)]);
        assert!(!listener.has_room() && listener.retired(Ssrc(99)).is_some(), "the oldest is not forgotten");
        listener.remove(1);
        assert!(listener.by_ssrc.is_empty() && listener.descriptions.is_empty());
    }

    #[test]
    fn a_producer_that_cannot_be_told_apart_is_not_accepted() {
        let mut listener = RtpListener::default();
        listener.add(1, &table(b"0", &[(Some(5), None)]));
        assert!(!listener.accepts(&table(b"0", &[(Some(6), None)])));
        assert!(!listener.accepts(&table(b"1", &[(Some(5), None)])));
        assert!(!listener.accepts(&table(b"1", &[(Some(6), None), (Some(6), None)])));
        assert!(listener.accepts(&table(b"1", &[(Some(6), None)])));
    }
}
