//! Feedback read and written, beside an independent implementation.

use rtcp::payload_feedbacks::full_intra_request::{FirEntry, FullIntraRequest};
use rtcp::payload_feedbacks::receiver_estimated_maximum_bitrate::ReceiverEstimatedMaximumBitrate;
use rtcp::transport_feedbacks::rapid_resynchronization_request::RapidResynchronizationRequest;
use rtcp::transport_feedbacks::transport_layer_nack::nack_pairs_from_sequence_numbers;

use super::*;
use crate::wire::sequence::SeqNo;

const SENDER: Ssrc = Ssrc(0x0102_0304);
const MEDIA: Ssrc = Ssrc(0x0506_0708);

fn marshal(packet: impl ReferencePacket + Send + Sync + 'static) -> Bytes {
    rtcp::packet::marshal(&[Box::new(packet) as Box<dyn ReferencePacket + Send + Sync>]).unwrap()
}

fn feedback(bytes: &[u8]) -> Feedback<'_> {
    match Compound::parse(bytes).unwrap().packets().next() {
        Some(Packet::TransportFeedback(feedback) | Packet::PayloadFeedback(feedback)) => feedback,
        packet => panic!("{packet:?}"),
    }
}

fn lost(bytes: &[u8]) -> Vec<u16> {
    feedback(bytes).lost().unwrap().map(|number| number.0).collect()
}

/// Writes a NACK in `room_len` bytes; what was written, and how many numbers were taken.
fn nack(room_len: usize, lost: &[u16]) -> (Vec<u8>, usize) {
    let mut room = vec![0; room_len];
    let mut writer = CompoundWriter::new(&mut room);
    let taken = writer.try_nack(SENDER, MEDIA, lost.iter().copied().map(SeqNo));
    let len = writer.len();
    assert_eq!(len == 0, taken == 0);
    room.truncate(len);
    (room, taken)
}

#[test]
fn losses_are_read_in_the_order_that_they_are_listed() {
    let pairs = [(100, 0x0000), (200, 0x8001), (50, 0xffff), (0xfff8, 0x0180), (100, 0x0000)];
    let nacks = pairs.map(|(packet_id, lost_packets)| NackPair { packet_id, lost_packets }).to_vec();
    let expected: Vec<_> = nacks.iter().flat_map(NackPair::packet_list).collect();
    let bytes = marshal(TransportLayerNack { sender_ssrc: SENDER.0, media_ssrc: MEDIA.0, nacks });
    assert_eq!(lost(&bytes), expected);
    assert_eq!(expected[..4], [100, 200, 201, 216]);
    assert_eq!(expected[21..], [0xfff8, 0, 1, 100]);
    assert_eq!((feedback(&bytes).sender, feedback(&bytes).media), (SENDER, MEDIA));
}

#[test]
fn key_frames_are_asked_for_of_one_stream_or_of_those_that_are_listed() {
    let requests = |bytes: &[u8]| feedback(bytes).key_frame_requests().map(|ssrc| ssrc.0).collect::<Vec<_>>();
    let picture_loss = marshal(PictureLossIndication { sender_ssrc: SENDER.0, media_ssrc: MEDIA.0 });
    assert_eq!(requests(&picture_loss), [MEDIA.0]);
    for listed in [vec![], vec![7], vec![7, 9, 7]] {
        let fir = listed.iter().map(|&ssrc| FirEntry { ssrc, sequence_number: 200 }).collect();
        let bytes = marshal(FullIntraRequest { sender_ssrc: SENDER.0, media_ssrc: MEDIA.0, fir });
        assert_eq!(requests(&bytes), listed);
        assert!(feedback(&bytes).lost().is_none());
    }
}

#[test]
fn feedback_of_another_format_says_neither() {
    let resynchronization = marshal(RapidResynchronizationRequest { sender_ssrc: SENDER.0, media_ssrc: MEDIA.0 });
    let estimate = marshal(ReceiverEstimatedMaximumBitrate { ssrcs: vec![7], ..Default::default() });
    // The same format means a NACK of one packet type and a lost picture of the other, and the other way round.
    let nack = [0x81, 205, 0, 3, 0, 0, 0, 1, 0, 0, 0, 2, 0, 5, 0, 0];
    let full_intra_request_of_transport = [0x84, 205, 0, 4, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3, 1, 0, 0, 0];
    for bytes in [&resynchronization[..], &estimate, &full_intra_request_of_transport] {
        assert_eq!(feedback(bytes).kind, FeedbackKind::Other);
        assert!(feedback(bytes).lost().is_none());
        assert_eq!(feedback(bytes).key_frame_requests().count(), 0);
    }
    assert_eq!((lost(&nack), feedback(&nack).key_frame_requests().count()), (vec![5], 0));
    let mut picture_loss = nack;
    picture_loss[1] = 206;
    assert!(feedback(&picture_loss).lost().is_none());
    assert_eq!(feedback(&picture_loss).key_frame_requests().collect::<Vec<_>>(), [Ssrc(2)]);
}

#[test]
fn a_list_that_ends_within_an_entry_is_refused() {
    for bytes in [
        &[0x84, 206, 0, 3, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 3][..],
        &[0x84, 206, 0, 5, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 3, 1, 0, 0, 0, 0, 0, 0, 4],
        // Two bytes of a NACK are padding.
        &[0xa1, 205, 0, 3, 0, 0, 0, 1, 0, 0, 0, 2, 0, 5, 0, 2],
    ] {
        assert_eq!(Compound::parse(bytes).err(), Some(RtcpError::Body), "{bytes:x?}");
    }
}

#[test]
fn numbers_that_do_not_ascend_are_written_too() {
    let numbers = [300, 299, 299, 315, 316, 10, 300];
    let (bytes, taken) = nack(100, &numbers);
    assert_eq!(taken, numbers.len());
    // 299 covers itself once more and 315, sixteen behind it.
    assert_eq!(lost(&bytes), [300, 299, 315, 316, 10, 300]);
    assert_eq!(nack(100, &[]), (vec![], 0));
    assert_eq!(nack(nack_len(1) - 1, &[1]), (vec![], 0));
}

#[test]
fn a_lost_picture_is_told_as_another_implementation_tells_it() {
    let mut room = [0xee; PICTURE_LOSS_LEN];
    assert!(!CompoundWriter::new(&mut room[1..]).try_picture_loss(SENDER, MEDIA));
    assert!(CompoundWriter::new(&mut room).try_picture_loss(SENDER, MEDIA));
    assert_eq!(room[..], marshal(PictureLossIndication { sender_ssrc: SENDER.0, media_ssrc: MEDIA.0 }));
}

/// An estimate for `ssrcs` streams in just the room that it needs.
fn estimate(bits_per_second: u64, ssrcs: u32) -> Option<Vec<u8>> {
    let mut room = vec![0xee; receiver_estimate_len(ssrcs as usize)];
    CompoundWriter::new(&mut room).try_receiver_estimate(SENDER, bits_per_second, (0..ssrcs).map(Ssrc)).then_some(room)
}

#[test]
fn an_estimate_is_told_as_another_implementation_tells_it() {
    for bitrate in [0, 1, 600_000, (1 << 18) - 1, 1 << 18, 2_150_000, 4_000_000, 10_000_000_000] {
        for ssrcs in [0, 1, 3, 255] {
            let reference = ReceiverEstimatedMaximumBitrate {
                sender_ssrc: SENDER.0,
                bitrate: bitrate as f32,
                ssrcs: (0..ssrcs).collect(),
            };
            assert_eq!(estimate(bitrate, ssrcs).unwrap()[..], marshal(reference), "{bitrate} {ssrcs}");
        }
    }
    assert_eq!(estimate(1, 256), None);
    let mut room = [0; receiver_estimate_len(2) - 1];
    assert!(!CompoundWriter::new(&mut room).try_receiver_estimate(SENDER, 1, [MEDIA; 2].into_iter()));
}

proptest! {
    #[test]
    fn ascending_losses_are_read_as_they_were_written_in_as_few_words_as_can_be(
        start: u16, gaps in prop::collection::vec(prop_oneof![1u16..4, 1u16..20, 1u16..500], 0..60), room_words in 0usize..40,
    ) {
        let mut next = start;
        let numbers: Vec<_> = gaps.iter().map(|gap| { next = next.wrapping_add(*gap); next }).collect();
        let pairs = nack_pairs_from_sequence_numbers(&numbers);
        let (bytes, taken) = nack(nack_len(pairs.len()), &numbers);
        prop_assert_eq!(taken, numbers.len());
        if taken > 0 {
            prop_assert_eq!(lost(&bytes), &numbers[..]);
            // The reference begins another word where the numbers wrap.
            if numbers.is_sorted() {
                let reference = TransportLayerNack { sender_ssrc: SENDER.0, media_ssrc: MEDIA.0, nacks: pairs.clone() };
                prop_assert_eq!(&bytes[..], &marshal(reference)[..]);
            }
        }

        // With less room, the front is written and the rest goes into more packets.
        let mut rest = &numbers[..];
        while !rest.is_empty() {
            let (bytes, taken) = nack(nack_len(room_words) + 3, rest);
            prop_assert_eq!(taken == 0, room_words == 0);
            if taken == 0 {
                break;
            }
            prop_assert!(bytes.len() <= nack_len(room_words));
            prop_assert_eq!(lost(&bytes), &rest[..taken]);
            rest = &rest[taken..];
        }
    }

    #[test]
    fn an_estimate_is_rounded_down_by_less_than_one_in_2_to_the_17(bits_per_second: u64) {
        let bytes = estimate(bits_per_second, 1).unwrap();
        let word = word(&bytes, 16) & 0x00ff_ffff;
        let told = u128::from(word & 0x3_ffff) << (word >> 18);
        let exact = u128::from(bits_per_second);
        prop_assert!(told <= exact && (exact - told) << 17 <= exact);
    }
}
