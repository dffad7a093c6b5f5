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

/// SSRCs of closed producers whose windows are kept. A participant that opens and closes its four streams sixteen times
/// over before the first is forgotten is no browser; 2 KB.
const PAST_MAX: usize = 64;

/// The routes of one transport's incoming packets.
///
/// Bounded by signaling's limits: at most two SSRCs an encoding are known at a time, because one that is learnt replaces
/// the one before.
#[derive(Debug)]
pub struct RtpListener<P> {
    by_ssrc: Vec<(Ssrc, StreamRoute<P>)>,
    descriptions: Vec<Description<P>>,
    /// What came of the SSRCs of closed producers, the oldest first. The transport's keys outlive its producers: without
    /// this, what was recorded of one could be sent again to its successor.
    past: Vec<(Ssrc, ReplayWindow)>,
}

impl<P> Default for RtpListener<P> {
    fn default() -> Self {
        Self { by_ssrc: Vec::new(), descriptions: Vec::new(), past: Vec::new() }
    }
}

impl<P: Copy + Eq> RtpListener<P> {
    /// Whether `table` can be told apart from the producers that are here: no SSRC in common, and not the same MID.
    pub fn accepts(&self, table: &ProducerTable) -> bool {
        let ssrcs = || table.encodings.iter().flat_map(|encoding| [encoding.ssrc, encoding.rtx_ssrc]).flatten();
        let is_repeated = ssrcs().enumerate().any(|(n, ssrc)| ssrcs().skip(n + 1).any(|other| other == ssrc));
        let is_known = ssrcs().any(|ssrc| self.by_ssrc(ssrc).is_some());
        let mid_is_known = table.mid.is_some() && self.descriptions.iter().any(|known| known.mid == table.mid);
        !(is_repeated || is_known || mid_is_known)
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
        self.descriptions.push(Description {
            producer,
            mid: table.mid,
            rids: table.encodings.iter().map(|encoding| encoding.rid).collect(),
            ids: table.header_extensions,
            media_payload_types: table.codecs.iter().map(|codec| codec.payload_type).collect(),
            rtx_payload_types: table.codecs.iter().filter_map(|codec| codec.rtx_payload_type).collect(),
        });
    }

    /// Takes a producer out with all its SSRCs, of which `windows` are remembered.
    pub fn remove(&mut self, producer: P, windows: impl Iterator<Item = (Ssrc, ReplayWindow)>) {
        for (ssrc, window) in windows {
            self.past.retain(|(past, _)| *past != ssrc);
            if self.past.len() == PAST_MAX {
                self.past.remove(0);
            }
            self.past.push((ssrc, window));
        }
        self.by_ssrc.retain(|(_, route)| route.producer != producer);
        self.descriptions.retain(|known| known.producer != producer);
    }

    /// The way of a known SSRC. A transport has a handful of them: a walk beats a hash.
    pub fn by_ssrc(&self, ssrc: Ssrc) -> Option<StreamRoute<P>> {
        self.by_ssrc.iter().find(|(known, _)| *known == ssrc).map(|(_, route)| *route)
    }

    /// The window to begin a stream with: that of `ssrc` where it was a closed producer's, else an empty one.
    pub fn first_window(&self, ssrc: Ssrc) -> ReplayWindow {
        self.past.iter().find(|(past, _)| *past == ssrc).map_or_else(ReplayWindow::default, |(_, window)| *window)
    }

    /// The way of a packet whose SSRC is not known, by what its extensions and payload type say. Nothing is learnt: the
    /// packet is not authenticated yet.
    pub fn by_description(&self, packet: &[u8], header: &RtpHeader) -> Option<StreamRoute<P>> {
        let block = header.extension?;
        self.descriptions.iter().find_map(|known| {
            let mid_id = known.ids.id(HeaderExtension::Mid)?;
            let rid_id = known.ids.id(HeaderExtension::RtpStreamId);
            let repaired_id = known.ids.id(HeaderExtension::RepairedRtpStreamId);
            let (mut mid, mut rid, mut repaired) = (None, None, None);
            walk_elements(packet, block, |id, range| {
                let value = packet.get(range);
                match Some(id) {
                    id if id == Some(mid_id) => mid = value,
                    id if id == rid_id => rid = value,
                    id if id == repaired_id => repaired = value,
                    _ => {}
                }
            });
            if mid != Some(known.mid?.as_bytes()) {
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
            let encoding = known.rids.iter().position(|rid| rid.as_ref().map(StreamName::as_bytes) == named)?;
            Some(StreamRoute { producer: known.producer, encoding, flow })
        })
    }

    /// Remembers that `ssrc` goes `route`, instead of `replaced`.
    pub fn learn(&mut self, ssrc: Ssrc, route: StreamRoute<P>, replaced: Option<Ssrc>) {
        self.by_ssrc.retain(|(known, _)| Some(*known) != replaced && *known != ssrc);
        // The SSRC that signaling told for this flow, if it never came, is replaced too.
        self.by_ssrc.retain(|(_, known)| *known != route);
        self.by_ssrc.push((ssrc, route));
    }
}

#[cfg(test)]
mod tests {
    use shard_protocol::tables::{CodecTable, EncodingTable, MediaKind, PayloadFormat};

    use super::*;
    use crate::wire::sequence::PacketIndex;

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
    fn a_learnt_ssrc_replaces_the_one_before_so_that_a_thousand_take_no_room() {
        let mut listener = RtpListener::default();
        listener.add(1, &table(b"0", &[(Some(5), None)]));
        let media = StreamRoute { producer: 1, encoding: 0, flow: Flow::Media };
        for ssrc in 100..1100 {
            listener.learn(Ssrc(ssrc), media, Some(Ssrc(ssrc - 1)));
        }
        assert_eq!(listener.by_ssrc, [(Ssrc(1099), media)]);
        listener.remove(1, std::iter::empty());
        assert!(listener.by_ssrc.is_empty() && listener.descriptions.is_empty());
    }

    #[test]
    fn windows_of_closed_producers_are_kept_up_to_a_bound_and_the_newest_counts() {
        let window = |index| {
            let mut window = ReplayWindow::default();
            window.accept(PacketIndex(index));
            window
        };
        let mut listener = RtpListener::default();
        for n in 0..1000 {
            listener.remove(1, [(Ssrc(n), window(7)), (Ssrc(5000), window(u64::from(n)))].into_iter());
        }
        assert_eq!(listener.past.len(), PAST_MAX);
        assert_eq!(listener.first_window(Ssrc(5000)), window(999));
        assert_eq!(listener.first_window(Ssrc(999)), window(7));
        assert_eq!(listener.first_window(Ssrc(0)), ReplayWindow::default());
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
