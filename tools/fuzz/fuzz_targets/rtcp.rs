//! Compound RTCP packets of any bytes, and packets written and read again.
//!
//! Holds: a compound packet is taken whole or not at all, its packets are views within it and can be read to the end;
//! what is written reads as what it was, and what has no room leaves the packets before it as they are.
#![no_main]

use std::time::Duration;

use arbitrary::Arbitrary;
use engine::wire::rtcp::{
    CompactDelay, CompactNtp, Compound, CompoundWriter, Feedback, FeedbackKind, NtpTimestamp, Packet,
    REPORT_BLOCKS_MAX, ReferenceTimeReply, ReportBlock, ReportItem, SenderStatement, round_trip,
};
use engine::wire::sequence::{SeqNo, Timestamp};
use libfuzzer_sys::fuzz_target;
use shard_protocol::tables::Ssrc;

#[derive(Arbitrary, Debug)]
enum Input<'a> {
    Bytes(&'a [u8]),
    Packets { room: u16, packets: Vec<Written> },
}

/// A packet to be written.
#[derive(Arbitrary, Debug)]
enum Written {
    SenderReport { ssrc: u32, ntp: u64, timestamp: u32, packets: u32, payload_len: u32, blocks: Vec<[u32; 6]> },
    ReceiverReport { ssrc: u32, blocks: Vec<[u32; 6]> },
    SourceDescription { ssrc: u32, cname: Vec<u8> },
    ReferenceTime { ssrc: u32, ntp: u64 },
    ReferenceTimeReplies { ssrc: u32, replies: Vec<[u32; 3]> },
    Nack { sender: u32, media: u32, start: u16, gaps: Vec<u8> },
    PictureLoss { sender: u32, media: u32 },
    ReceiverEstimate { sender: u32, bits_per_second: u64, ssrcs: Vec<u32> },
    TransportFeedback { sender: u32, media: u32, base: u16, arrivals_us: Vec<Option<u64>> },
}

fuzz_target!(|input: Input<'_>| {
    match input {
        Input::Bytes(bytes) => _ = read(bytes),
        Input::Packets { room, packets } => write_and_read(usize::from(room), &packets),
    }
});

/// Reads all that there is to read; the packets as text, `None` where there is no compound packet.
fn read(bytes: &[u8]) -> Option<Vec<String>> {
    let compound = Compound::parse(bytes).ok()?;
    let mut said = Vec::new();
    let mut len = 0;
    for packet in compound.packets() {
        said.push(match packet {
            Packet::SenderReport(report) => {
                let blocks: Vec<_> = report.blocks.collect();
                assert!(blocks.len() <= REPORT_BLOCKS_MAX);
                blocks.iter().for_each(check_block);
                format!("{:?} {:?} {blocks:?}", report.ssrc, report.statement)
            }
            Packet::ReceiverReport(report) => {
                let blocks: Vec<_> = report.blocks.collect();
                assert!(blocks.len() <= REPORT_BLOCKS_MAX);
                blocks.iter().for_each(check_block);
                format!("{:?} {blocks:?}", report.ssrc)
            }
            Packet::Goodbye(goodbye) => format!("{:?}", goodbye.ssrcs().collect::<Vec<_>>()),
            Packet::TransportFeedback(feedback) | Packet::PayloadFeedback(feedback) => {
                assert!(bytes.as_ptr_range().contains(&feedback.body.as_ptr()) || feedback.body.is_empty());
                let lost: Option<Vec<_>> = feedback.lost().map(Iterator::collect);
                assert_eq!(lost.is_some(), feedback.kind == FeedbackKind::Nack);
                // A word of the body lists 17 packets at most.
                assert!(lost.iter().flatten().count() <= feedback.body.len() / 4 * 17);
                let requests: Vec<_> = feedback.key_frame_requests().collect();
                assert!(requests.len() <= 1.max(feedback.body.len() / 8));
                say_feedback(feedback, lost.as_deref(), &requests)
            }
            Packet::ExtendedReport(report) => format!("{:?} {:?}", report.ssrc, report.items().collect::<Vec<_>>()),
            Packet::SourceDescription | Packet::Other => "passed over".to_owned(),
        });
        // The length that the packet itself says, in words without the first.
        len += 4 * (1 + usize::from(u16::from_be_bytes([bytes[len + 2], bytes[len + 3]])));
    }
    assert_eq!(len, bytes.len(), "the packets tile the whole");
    Some(said)
}

fn say_feedback(feedback: Feedback<'_>, lost: Option<&[SeqNo]>, requests: &[Ssrc]) -> String {
    format!("{:?} {:?} {:?} {lost:?} {requests:?}", feedback.kind, feedback.sender, feedback.media)
}

fn check_block(block: &ReportBlock) {
    assert!((-0x80_0000..=0x7f_ffff).contains(&block.lost));
    let received = NtpTimestamp(0x0123_4567_89ab_cdef);
    let measured = round_trip(received, block.last_sender_report, block.delay_since_last_sender_report);
    assert_eq!(measured.is_none(), block.last_sender_report == CompactNtp::default());
}

fn write_and_read(room: usize, packets: &[Written]) {
    let mut room = vec![0xaa; room];
    let mut writer = CompoundWriter::new(&mut room);
    let mut expected = Vec::new();
    for packet in packets {
        let before = writer.len();
        match write(&mut writer, packet) {
            Some(said) => expected.push(said),
            None => assert_eq!(writer.len(), before, "what is refused leaves nothing"),
        }
    }
    let len = writer.len();
    if len > 0 {
        assert_eq!(read(&room[..len]), Some(expected));
    }
}

/// Writes a packet and says how it is to be read; `None` where it was refused.
fn write(writer: &mut CompoundWriter<'_>, packet: &Written) -> Option<String> {
    let (is_written, said) = match packet {
        Written::SenderReport { ssrc, ntp, timestamp, packets, payload_len, blocks } => {
            let (ssrc, blocks) = (Ssrc(*ssrc), report_blocks(blocks));
            let statement = SenderStatement {
                ntp: NtpTimestamp(*ntp),
                timestamp: Timestamp(*timestamp),
                packets: *packets,
                payload_len: *payload_len,
            };
            let said = format!("{ssrc:?} {statement:?} {blocks:?}");
            (writer.try_sender_report(ssrc, &statement, blocks), said)
        }
        Written::ReceiverReport { ssrc, blocks } => {
            let (ssrc, blocks) = (Ssrc(*ssrc), report_blocks(blocks));
            let said = format!("{ssrc:?} {blocks:?}");
            (writer.try_receiver_report(ssrc, blocks), said)
        }
        Written::SourceDescription { ssrc, cname } => {
            (writer.try_source_description(Ssrc(*ssrc), cname), "passed over".to_owned())
        }
        Written::ReferenceTime { ssrc, ntp } => {
            let (ssrc, time) = (Ssrc(*ssrc), NtpTimestamp(*ntp));
            (writer.try_reference_time(ssrc, time), format!("{ssrc:?} {:?}", [ReportItem::ReferenceTime(time)]))
        }
        Written::ReferenceTimeReplies { ssrc, replies } => {
            let reply = |&[ssrc, time, delay]: &[u32; 3]| ReferenceTimeReply {
                ssrc: Ssrc(ssrc),
                last_reference_time: CompactNtp(time),
                delay_since_last_reference_time: CompactDelay(delay),
            };
            let replies: Vec<_> = replies.iter().map(reply).collect();
            let items: Vec<_> = replies.iter().copied().map(ReportItem::ReferenceTimeReply).collect();
            (writer.try_reference_time_replies(Ssrc(*ssrc), replies), format!("{:?} {items:?}", Ssrc(*ssrc)))
        }
        Written::Nack { sender, media, start, gaps } => {
            let (sender, media) = (Ssrc(*sender), Ssrc(*media));
            let numbers = gaps.iter().scan(*start, |last, gap| {
                *last = last.wrapping_add(1 + u16::from(*gap));
                Some(SeqNo(*last))
            });
            let lost: Vec<_> = numbers.collect();
            let taken = writer.try_nack(sender, media, lost.iter().copied());
            let feedback = Feedback { kind: FeedbackKind::Nack, sender, media, body: &[] };
            (taken > 0, say_feedback(feedback, Some(&lost[..taken]), &[]))
        }
        Written::PictureLoss { sender, media } => {
            let (sender, media) = (Ssrc(*sender), Ssrc(*media));
            let feedback = Feedback { kind: FeedbackKind::PictureLoss, sender, media, body: &[] };
            (writer.try_picture_loss(sender, media), say_feedback(feedback, None, &[media]))
        }
        Written::ReceiverEstimate { sender, bits_per_second, ssrcs } => {
            let sender = Ssrc(*sender);
            let ssrcs = ssrcs.iter().copied().map(Ssrc);
            let feedback = Feedback { kind: FeedbackKind::Other, sender, media: Ssrc(0), body: &[] };
            (writer.try_receiver_estimate(sender, *bits_per_second, ssrcs), say_feedback(feedback, None, &[]))
        }
        Written::TransportFeedback { sender, media, base, arrivals_us } => {
            let (sender, media) = (Ssrc(*sender), Ssrc(*media));
            let arrivals: Vec<_> = arrivals_us.iter().map(|us| us.map(Duration::from_micros)).collect();
            let told = writer.try_transport_feedback(sender, media, 0, SeqNo(*base), &arrivals);
            assert!(told == 0 || arrivals[..told].iter().any(Option::is_some));
            let feedback = Feedback { kind: FeedbackKind::Other, sender, media, body: &[] };
            (told > 0, say_feedback(feedback, None, &[]))
        }
    };
    is_written.then_some(said)
}

fn report_blocks(blocks: &[[u32; 6]]) -> Vec<ReportBlock> {
    let block = |&[ssrc, lost, highest, jitter, time, delay]: &[u32; 6]| ReportBlock {
        ssrc: Ssrc(ssrc),
        fraction_lost: (lost >> 24) as u8,
        lost: (lost << 8) as i32 >> 8,
        extended_highest_sequence: highest,
        jitter,
        last_sender_report: CompactNtp(time),
        delay_since_last_sender_report: CompactDelay(delay),
    };
    blocks.iter().map(block).collect()
}
