//! What the service asks of the streams that a transport sends: key frames, and lost packets again.

use rtcp::payload_feedbacks::full_intra_request::FullIntraRequest;
use rtcp::payload_feedbacks::picture_loss_indication::PictureLossIndication;
use rtcp::transport_feedbacks::transport_layer_nack::TransportLayerNack;

use crate::reports::Compound;

/// Wishes that are kept; more than any test hears.
const WISHES_MAX: usize = 65_536;

/// One thing that the service asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    /// A key frame.
    KeyFrame {
        /// Of which stream.
        ssrc: u32,
        /// When it was asked for, in nanoseconds since the Unix epoch.
        at_ns: u64,
    },
    /// A packet again.
    Packet {
        /// Of which stream.
        ssrc: u32,
        /// Its sequence number.
        sequence: u16,
    },
}

impl Wish {
    /// What the parts of a compound packet that came at `at_ns` ask for.
    pub fn all_in(packets: &Compound, at_ns: u64) -> Vec<Self> {
        let mut wishes = Vec::new();
        for packet in packets {
            let packet = packet.as_any();
            if let Some(request) = packet.downcast_ref::<PictureLossIndication>() {
                wishes.push(Self::KeyFrame { ssrc: request.media_ssrc, at_ns });
            } else if let Some(request) = packet.downcast_ref::<FullIntraRequest>() {
                wishes.extend(request.fir.iter().map(|entry| Self::KeyFrame { ssrc: entry.ssrc, at_ns }));
            } else if let Some(request) = packet.downcast_ref::<TransportLayerNack>() {
                let sequences = request.nacks.iter().flat_map(|pair| pair.packet_list());
                wishes.extend(sequences.map(|sequence| Self::Packet { ssrc: request.media_ssrc, sequence }));
            }
        }
        wishes
    }
}

/// All that a transport was asked for, in the order of its coming.
#[derive(Debug, Default)]
pub(crate) struct Wishes {
    log: Vec<Wish>,
}

impl Wishes {
    /// Takes the parts of a compound packet.
    pub(crate) fn handle_compound(&mut self, packets: &Compound, at_ns: u64) {
        let room = WISHES_MAX.saturating_sub(self.log.len());
        self.log.extend(Wish::all_in(packets, at_ns).into_iter().take(room));
    }

    /// What came after the first `count`.
    pub(crate) fn since(&self, count: usize) -> &[Wish] {
        self.log.get(count..).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use rtcp::payload_feedbacks::full_intra_request::FirEntry;
    use rtcp::transport_feedbacks::transport_layer_nack::nack_pairs_from_sequence_numbers;

    use super::*;

    #[test]
    fn what_is_asked_for_is_kept_in_order() {
        let compound: Compound = vec![
            Box::new(PictureLossIndication { sender_ssrc: 1, media_ssrc: 7 }),
            Box::new(FullIntraRequest {
                sender_ssrc: 1,
                media_ssrc: 0,
                fir: vec![FirEntry { ssrc: 8, sequence_number: 0 }],
            }),
            Box::new(TransportLayerNack {
                sender_ssrc: 1,
                media_ssrc: 9,
                nacks: nack_pairs_from_sequence_numbers(&[3, 5]),
            }),
        ];
        let mut wishes = Wishes::default();
        wishes.handle_compound(&compound, 11);
        let key_frame = |ssrc| Wish::KeyFrame { ssrc, at_ns: 11 };
        let packet = |sequence| Wish::Packet { ssrc: 9, sequence };
        assert_eq!(wishes.since(0), [key_frame(7), key_frame(8), packet(3), packet(5)]);
        assert_eq!(wishes.since(3), [packet(5)]);
        assert_eq!(wishes.since(9), []);
    }
}
