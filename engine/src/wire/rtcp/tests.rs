//! An independent implementation in both directions, and packets that do not hold together.

mod arrivals;
mod feedback;

use bytes::Bytes;
use proptest::prelude::*;
use rtcp::extended_report::{self, DLRRReport, DLRRReportBlock, ReceiverReferenceTimeReportBlock};
use rtcp::goodbye::Goodbye as ReferenceGoodbye;
use rtcp::packet::Packet as ReferencePacket;
use rtcp::payload_feedbacks::picture_loss_indication::PictureLossIndication;
use rtcp::reception_report::ReceptionReport;
use rtcp::source_description::{SdesType, SourceDescription, SourceDescriptionChunk, SourceDescriptionItem};
use rtcp::transport_feedbacks::transport_layer_nack::{NackPair, TransportLayerNack};
use rtcp::{receiver_report, sender_report};

use super::*;

type Packets = Vec<Box<dyn ReferencePacket + Send + Sync>>;

fn block(n: u32) -> ReportBlock {
    ReportBlock {
        ssrc: Ssrc(0x1111_0000 + n),
        fraction_lost: n as u8,
        lost: 5 * n as i32 - 9,
        extended_highest_sequence: 0x0003_fff0 + n,
        jitter: 77 * n,
        last_sender_report: CompactNtp(0xb705_2000 + n),
        delay_since_last_sender_report: CompactDelay(0x0005_4000 + n),
    }
}

/// The same block as the reference knows it, which has no negative losses.
fn reference_block(block: ReportBlock) -> ReceptionReport {
    ReceptionReport {
        ssrc: block.ssrc.0,
        fraction_lost: block.fraction_lost,
        total_lost: block.lost as u32 & 0x00ff_ffff,
        last_sequence_number: block.extended_highest_sequence,
        jitter: block.jitter,
        last_sender_report: block.last_sender_report.0,
        delay: block.delay_since_last_sender_report.0,
    }
}

const STATEMENT: SenderStatement = SenderStatement {
    ntp: NtpTimestamp(0x0123_4567_89ab_cdef),
    timestamp: Timestamp(0x1020_3040),
    packets: 50,
    payload_len: 8000,
};

fn reply(n: u32) -> ReferenceTimeReply {
    ReferenceTimeReply {
        ssrc: Ssrc(n),
        last_reference_time: CompactNtp(n << 16 | 1),
        delay_since_last_reference_time: CompactDelay(3 * n),
    }
}

fn reference_packets(blocks: u32, replies: u32, cname: &str) -> Packets {
    let reports: Vec<_> = (0..blocks).map(|n| reference_block(block(n))).collect();
    vec![
        Box::new(sender_report::SenderReport {
            ssrc: 1,
            ntp_time: STATEMENT.ntp.0,
            rtp_time: STATEMENT.timestamp.0,
            packet_count: STATEMENT.packets,
            octet_count: STATEMENT.payload_len,
            reports: reports.clone(),
            profile_extensions: Bytes::new(),
        }),
        Box::new(receiver_report::ReceiverReport { ssrc: 2, reports, profile_extensions: Bytes::new() }),
        Box::new(SourceDescription {
            chunks: vec![SourceDescriptionChunk {
                source: 3,
                items: vec![SourceDescriptionItem {
                    sdes_type: SdesType::SdesCname,
                    text: Bytes::copy_from_slice(cname.as_bytes()),
                }],
            }],
        }),
        Box::new(extended_report::ExtendedReport {
            sender_ssrc: 4,
            reports: vec![Box::new(ReceiverReferenceTimeReportBlock { ntp_timestamp: 0xfedc_ba98_7654_3210 })],
        }),
        Box::new(extended_report::ExtendedReport {
            sender_ssrc: 5,
            reports: vec![Box::new(DLRRReportBlock {
                reports: (0..replies)
                    .map(reply)
                    .map(|reply| DLRRReport {
                        ssrc: reply.ssrc.0,
                        last_rr: reply.last_reference_time.0,
                        dlrr: reply.delay_since_last_reference_time.0,
                    })
                    .collect(),
            })],
        }),
    ]
}

fn write(room: &mut [u8], blocks: u32, replies: u32, cname: &str) -> Option<usize> {
    let mut writer = CompoundWriter::new(room);
    let is_written = writer.try_sender_report(Ssrc(1), &STATEMENT, (0..blocks).map(block))
        && writer.try_receiver_report(Ssrc(2), (0..blocks).map(block))
        && writer.try_source_description(Ssrc(3), cname.as_bytes())
        && writer.try_reference_time(Ssrc(4), NtpTimestamp(0xfedc_ba98_7654_3210))
        && writer.try_reference_time_replies(Ssrc(5), (0..replies).map(reply).collect::<Vec<_>>());
    is_written.then_some(writer.len())
}

fn len(blocks: usize, replies: usize, cname: &str) -> usize {
    SENDER_REPORT_LEN
        + RECEIVER_REPORT_LEN
        + 2 * blocks * REPORT_BLOCK_LEN
        + source_description_len(cname.len())
        + REFERENCE_TIME_LEN
        + reference_time_replies_len(replies)
}

#[test]
fn what_is_written_here_is_what_another_implementation_writes_and_reads() {
    for (blocks, replies, cname) in [(0, 0, ""), (1, 1, "a"), (2, 3, "ab"), (31, 7, "abc"), (4, 2, "a-canonical-1")] {
        let mut room = [0xee; 4096];
        let written = write(&mut room, blocks, replies, cname).unwrap();
        assert_eq!(written, len(blocks as usize, replies as usize, cname));
        let reference = reference_packets(blocks, replies, cname);
        if cname.len() % 4 == 1 {
            // Only here: the reference fills a chunk up with the number of its zeros.
            assert_eq!(room[..written], rtcp::packet::marshal(&reference).unwrap(), "{blocks} {replies} {cname}");
        }
        let read = rtcp::packet::unmarshal(&mut Bytes::copy_from_slice(&room[..written])).unwrap();
        assert_eq!(read.len(), reference.len());
        assert!(read.iter().zip(&reference).all(|(read, packet)| read.equal(packet.as_ref())));
    }
}

#[test]
fn a_source_description_ends_with_one_to_four_zeros_on_a_word() {
    for (cname, chunk) in [
        ("", &[1, 0, 0, 0][..]),
        ("a", &[1, 1, b'a', 0]),
        ("ab", &[1, 2, b'a', b'b', 0, 0, 0, 0]),
        ("abc", &[1, 3, b'a', b'b', b'c', 0, 0, 0]),
        ("abcd", &[1, 4, b'a', b'b', b'c', b'd', 0, 0]),
    ] {
        let mut room = [0xee; 32];
        let mut writer = CompoundWriter::new(&mut room);
        assert!(writer.try_source_description(Ssrc(9), cname.as_bytes()));
        let written = writer.len();
        assert_eq!(written, source_description_len(cname.len()));
        assert_eq!(room[..8], [0x81, 202, 0, (written / 4 - 1) as u8, 0, 0, 0, 9]);
        assert_eq!(&room[8..written], chunk);
    }
}

#[test]
fn what_another_implementation_writes_is_read_here() {
    let mut packets = reference_packets(3, 2, "name");
    packets.push(Box::new(ReferenceGoodbye { sources: vec![8, 9], reason: Bytes::from_static(b"bye") }));
    packets.push(Box::new(PictureLossIndication { sender_ssrc: 10, media_ssrc: 11 }));
    packets.push(Box::new(TransportLayerNack {
        sender_ssrc: 12,
        media_ssrc: 13,
        nacks: vec![NackPair { packet_id: 0x1234, lost_packets: 0x5678 }],
    }));
    let bytes = rtcp::packet::marshal(&packets).unwrap();
    let compound = Compound::parse(&bytes).unwrap();
    let read: Vec<_> = compound.packets().collect();
    let blocks: Vec<_> = (0..3).map(block).collect();
    let [
        Packet::SenderReport(sender),
        Packet::ReceiverReport(receiver),
        Packet::SourceDescription,
        Packet::ExtendedReport(time),
        Packet::ExtendedReport(replies),
        Packet::Goodbye(goodbye),
        Packet::PayloadFeedback(picture_loss),
        Packet::TransportFeedback(nack),
    ] = read[..]
    else {
        panic!("{read:?}");
    };
    assert_eq!((sender.ssrc, sender.statement), (Ssrc(1), STATEMENT));
    assert_eq!(sender.blocks.collect::<Vec<_>>(), blocks);
    assert_eq!(receiver.ssrc, Ssrc(2));
    assert_eq!(receiver.blocks.collect::<Vec<_>>(), blocks);
    let reference_time = ReportItem::ReferenceTime(NtpTimestamp(0xfedc_ba98_7654_3210));
    assert_eq!((time.ssrc, time.items().collect::<Vec<_>>()), (Ssrc(4), vec![reference_time]));
    let expected: Vec<_> = (0..2).map(reply).map(ReportItem::ReferenceTimeReply).collect();
    assert_eq!((replies.ssrc, replies.items().collect::<Vec<_>>()), (Ssrc(5), expected));
    assert_eq!(goodbye.ssrcs().collect::<Vec<_>>(), [Ssrc(8), Ssrc(9)]);
    let head = |feedback: Feedback<'_>| (feedback.kind, feedback.sender, feedback.media);
    assert_eq!(head(picture_loss), (FeedbackKind::PictureLoss, Ssrc(10), Ssrc(11)));
    assert!(picture_loss.body.is_empty());
    assert_eq!(head(nack), (FeedbackKind::Nack, Ssrc(12), Ssrc(13)));
    assert_eq!(nack.body, [0x12, 0x34, 0x56, 0x78]);
}

#[test]
fn losses_keep_their_sign_and_are_clamped_to_24_bits() {
    for (lost, expected) in [
        (-1, -1),
        (0, 0),
        ((1 << 23) - 1, (1 << 23) - 1),
        (-(1 << 23), -(1 << 23)),
        (i32::MAX, (1 << 23) - 1),
        (i32::MIN, -(1 << 23)),
    ] {
        let mut room = [0; RECEIVER_REPORT_LEN + REPORT_BLOCK_LEN];
        let written = ReportBlock { lost, fraction_lost: 0xff, ..block(0) };
        assert!(CompoundWriter::new(&mut room).try_receiver_report(Ssrc(1), [written]));
        let Some(Packet::ReceiverReport(mut report)) = Compound::parse(&room).unwrap().packets().next() else {
            panic!("{room:?}");
        };
        assert_eq!(report.blocks.next(), Some(ReportBlock { lost: expected, ..written }));
    }
}

#[test]
fn a_packet_without_room_is_taken_back_whole() {
    let whole = len(2, 2, "name");
    for room_len in 0..whole {
        let mut room = vec![0; room_len];
        assert_eq!(write(&mut room, 2, 2, "name"), None, "{room_len}");
        let mut writer = CompoundWriter::new(&mut room);
        let fits = writer.try_receiver_report(Ssrc(1), (0..2).map(block));
        assert_eq!(fits, room_len >= RECEIVER_REPORT_LEN + 2 * REPORT_BLOCK_LEN);
        let kept = writer.len();
        assert!(!writer.try_source_description(Ssrc(1), &[b'x'; 256]));
        assert!(!writer.try_receiver_report(Ssrc(1), (0..32).map(block)));
        assert_eq!((writer.len(), writer.is_empty()), (kept, kept == 0));
        assert_eq!(Compound::parse(&room[..kept]).is_ok(), kept > 0);
    }
    let mut room = vec![0; whole];
    assert_eq!(write(&mut room, 2, 2, "name"), Some(whole));
}

#[test]
fn a_compound_packet_cut_anywhere_but_between_packets_is_refused() {
    let bytes = rtcp::packet::marshal(&reference_packets(2, 2, "name")).unwrap();
    let mut seams = vec![];
    for packet in reference_packets(2, 2, "name") {
        seams.push(seams.last().unwrap_or(&0) + rtcp::packet::marshal(&[packet]).unwrap().len());
    }
    for len in 0..=bytes.len() {
        let result = Compound::parse(&bytes[..len]).map(|compound| compound.packets().count());
        match seams.iter().position(|&seam| seam == len) {
            Some(packets) => assert_eq!(result, Ok(packets + 1)),
            None => assert_eq!(result, Err(RtcpError::Truncated), "{len}"),
        }
    }
}

#[test]
fn padding_is_taken_off_the_last_packet_and_refused_elsewhere() {
    let report = [0x80, 201, 0, 1, 0, 0, 0, 7];
    let padded = [0xa0, 201, 0, 3, 0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0, 8];
    let feedback = [0xa1, 206, 0, 3, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 4];
    for last in [&padded, &feedback] {
        let bytes = [&report[..], last].concat();
        assert_eq!(Compound::parse(&bytes).unwrap().packets().count(), 2);
        let bytes = [last, &report[..]].concat();
        assert_eq!(Compound::parse(&bytes).err(), Some(RtcpError::Padding));
    }
    let Some(Packet::PayloadFeedback(picture_loss)) = Compound::parse(&feedback).unwrap().packets().next() else {
        panic!("no feedback");
    };
    assert!(picture_loss.body.is_empty());
    for (padding, error) in [
        (0, Some(RtcpError::Padding)),
        // As libwebrtc fills up a word.
        (3, None),
        (4, None),
        (8, None),
        // Padding that leaves a header, but no room for the SSRC.
        (9, Some(RtcpError::Body)),
        (12, Some(RtcpError::Body)),
        (13, Some(RtcpError::Padding)),
        (255, Some(RtcpError::Padding)),
    ] {
        let mut bytes = padded;
        bytes[15] = padding;
        assert_eq!(Compound::parse(&bytes).err(), error, "{padding}");
    }
}

#[test]
fn a_packet_that_contradicts_itself_is_refused_with_the_whole_compound_packet() {
    let report = [0x80, 201, 0, 1, 0, 0, 0, 7];
    for (bad, error) in [
        (&[0x40, 201, 0, 1, 0, 0, 0, 7][..], RtcpError::Version),
        (&[0x81, 201, 0, 1, 0, 0, 0, 7], RtcpError::Body),
        (&[0x80, 200, 0, 1, 0, 0, 0, 7], RtcpError::Body),
        (&[0x80, 201, 0, 0], RtcpError::Body),
        (&[0x82, 203, 0, 1, 0, 0, 0, 7], RtcpError::Body),
        (&[0x81, 205, 0, 1, 0, 0, 0, 7], RtcpError::Body),
        (&[0x80, 207, 0, 0], RtcpError::Body),
        // Blocks of an extended report that end behind it, or have the wrong length.
        (&[0x80, 207, 0, 2, 0, 0, 0, 7, 4, 0, 0, 2], RtcpError::Body),
        (&[0x80, 207, 0, 3, 0, 0, 0, 7, 4, 0, 0, 1, 0, 0, 0, 0], RtcpError::Body),
        (&[0x80, 207, 0, 3, 0, 0, 0, 7, 5, 0, 0, 1, 0, 0, 0, 0], RtcpError::Body),
        (&[0x80, 201, 0, 2, 0, 0, 0, 7], RtcpError::Truncated),
    ] {
        assert_eq!(Compound::parse(&[&report, bad].concat()).err(), Some(error), "{bad:?}");
    }
    // Packets and blocks of types that nobody knows pass, and so does what a profile adds behind the blocks.
    let unknown = [0x80, 204, 0, 0, 0x80, 207, 0, 2, 0, 0, 0, 7, 42, 0, 0, 0, 0x80, 201, 0, 2, 0, 0, 0, 7, 1, 2, 3, 4];
    let compound = Compound::parse(&unknown).unwrap();
    let [Packet::Other, Packet::ExtendedReport(extended), Packet::ReceiverReport(mut report)] =
        compound.packets().collect::<Vec<_>>()[..]
    else {
        panic!("{compound:?}");
    };
    assert_eq!((extended.items().count(), report.blocks.next()), (0, None));
}

/// Touches everything that a view offers.
fn walk(compound: &Compound<'_>) -> usize {
    let mut items = 0;
    for packet in compound.packets() {
        items += match packet {
            Packet::SenderReport(report) => report.blocks.count(),
            Packet::ReceiverReport(report) => report.blocks.count(),
            Packet::Goodbye(goodbye) => goodbye.ssrcs().count(),
            Packet::ExtendedReport(report) => report.items().count(),
            Packet::TransportFeedback(feedback) | Packet::PayloadFeedback(feedback) => {
                feedback.lost().map_or(0, Iterator::count) + feedback.key_frame_requests().count()
            }
            Packet::SourceDescription | Packet::Other => 1,
        };
    }
    items
}

proptest! {
    #[test]
    fn random_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        if let Ok(compound) = Compound::parse(&bytes) {
            walk(&compound);
        }
    }

    #[test]
    fn random_bodies_behind_right_headers_are_read_or_refused(
        packets in proptest::collection::vec((0u8..32, 199u8..209, proptest::collection::vec(any::<u32>(), 0..20)), 1..5),
    ) {
        let mut bytes = vec![];
        for (count, packet_type, words) in &packets {
            bytes.extend([0x80 | count, *packet_type, 0, words.len() as u8]);
            bytes.extend(words.iter().flat_map(|word| word.to_be_bytes()));
        }
        if let Ok(compound) = Compound::parse(&bytes) {
            prop_assert_eq!(compound.packets().count(), packets.len());
            walk(&compound);
        }
    }

    #[test]
    fn a_changed_byte_of_a_right_packet_is_read_or_refused(at in 0usize..400, value: u8) {
        let mut bytes = rtcp::packet::marshal(&reference_packets(2, 3, "name")).unwrap().to_vec();
        let at = at % bytes.len();
        bytes[at] = value;
        if let Ok(compound) = Compound::parse(&bytes) {
            walk(&compound);
        }
    }
}
