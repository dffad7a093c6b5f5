//! What holds of every capture: written and read, cut, damaged, played.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on is to fail where it stands")]

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use capture::{
    Capture, CaptureError, CaptureWriter, CapturedStream, Counts, Damage, DamageKind, Filter, Playback, PlaybackOptions,
};
use proptest::prelude::*;

/// A packet that is to be recorded.
#[derive(Clone, Debug)]
struct Packet {
    at: Duration,
    addresses: (SocketAddr, SocketAddr),
    rtp: Vec<u8>,
}

/// A stream: its addresses by a bit, SSRC, first sequence number and timestamp, and packets (time since the one before in
/// milliseconds, numbers that were lost before, marker, payload).
type Plan = (bool, u32, u16, u32, Vec<(u16, u8, bool, Vec<u8>)>);

fn plan() -> impl Strategy<Value = Plan> {
    let packet = (
        0..200u16,
        prop_oneof![4 => Just(0u8), 1 => 1..50u8],
        any::<bool>(),
        prop::collection::vec(any::<u8>(), 0..40),
    );
    (any::<bool>(), any::<u32>(), any::<u16>(), any::<u32>(), prop::collection::vec(packet, 4..40))
}

fn addresses(is_ipv6: bool) -> (SocketAddr, SocketAddr) {
    let of = |from: &str, to: &str| (from.parse().unwrap(), to.parse().unwrap());
    if is_ipv6 { of("[2001:db8::1]:5004", "[2001:db8::2]:40000") } else { of("192.0.2.1:5004", "192.0.2.2:40000") }
}

fn packets((is_ipv6, ssrc, sequence, timestamp, plan): &Plan) -> Vec<Packet> {
    let (mut at, mut sequence, mut timestamp) = (Duration::from_secs(1_700_000_000), *sequence, *timestamp);
    let packets = plan.iter().map(|(wait_ms, lost, marker, payload)| {
        at += Duration::from_millis((*wait_ms).into());
        let mut rtp = vec![0x80, u8::from(*marker) << 7 | 96];
        rtp.extend(sequence.to_be_bytes());
        rtp.extend(timestamp.to_be_bytes());
        rtp.extend(ssrc.to_be_bytes());
        rtp.extend(payload);
        sequence = sequence.wrapping_add(1 + u16::from(*lost));
        timestamp = timestamp.wrapping_add(u32::from(*wait_ms) * 48);
        Packet { at, addresses: addresses(*is_ipv6), rtp }
    });
    packets.collect()
}

fn write(packets: &[Packet]) -> Vec<u8> {
    let mut writer = CaptureWriter::new(Vec::new()).unwrap();
    for Packet { at, addresses: (source, destination), rtp } in packets {
        writer.write_packet(SystemTime::UNIX_EPOCH + *at, *source, *destination, rtp).unwrap();
    }
    writer.into_inner()
}

fn read(bytes: &[u8]) -> Result<Capture, CaptureError> {
    Capture::from_bytes(bytes, &Filter::default())
}

/// The packets of a stream as they stood on the wire.
fn rebuilt(stream: &CapturedStream) -> Vec<Vec<u8>> {
    let packets = stream.packets().iter().map(|packet| {
        let mut rtp = vec![0x80, u8::from(packet.marker) << 7 | packet.payload_type];
        rtp.extend(stream.first_sequence().wrapping_add(packet.place as u16).to_be_bytes());
        rtp.extend(stream.first_timestamp().wrapping_add(packet.ticks as u32).to_be_bytes());
        rtp.extend(stream.ssrc.to_be_bytes());
        rtp.extend(&packet.payload[..]);
        rtp
    });
    packets.collect()
}

fn check_counts(counts: &Counts) {
    let parts = [
        counts.rtp,
        counts.stray,
        counts.rtcp,
        counts.not_rtp,
        counts.unchosen,
        counts.not_udp,
        counts.fragments,
        counts.cut_short,
        counts.untimed,
        counts.foreign_link,
        counts.malformed,
    ];
    assert_eq!(parts.iter().sum::<u64>(), counts.records, "{counts:?}");
}

proptest! {
    #[test]
    fn a_written_capture_is_read_as_it_was(mut plans in prop::collection::vec(plan(), 1..4)) {
        // Each stream has an SSRC of its own.
        for (place, plan) in plans.iter_mut().enumerate() {
            plan.1 = plan.1 & !3 | place as u32;
        }
        let streams: Vec<_> = plans.iter().map(packets).collect();
        let mut all = streams.concat();
        all.sort_by_key(|packet| packet.at);
        let capture = read(&write(&all)).unwrap();
        prop_assert_eq!(capture.damage, None);
        prop_assert_eq!(capture.counts, Counts { records: all.len() as u64, rtp: all.len() as u64, ..Counts::default() });
        prop_assert_eq!(capture.streams.len(), streams.len());
        for (plan, packets) in plans.iter().zip(&streams) {
            let stream = capture.streams.iter().find(|stream| stream.ssrc == plan.1).unwrap();
            prop_assert_eq!((stream.source, stream.destination), packets[0].addresses);
            let written: Vec<_> = packets.iter().map(|packet| packet.rtp.clone()).collect();
            prop_assert_eq!(rebuilt(stream), written);
            for (packet, written) in stream.packets().iter().zip(packets) {
                prop_assert_eq!(Duration::from_nanos(packet.at_ns), written.at - packets[0].at);
            }
            let last_lost: u64 = plan.4.last().map_or(0, |packet| packet.1.into());
            let lost: u64 = plan.4.iter().map(|packet| u64::from(packet.1)).sum::<u64>() - last_lost;
            prop_assert_eq!(stream.describe().lost, lost);
        }
    }

    #[test]
    fn a_capture_cut_anywhere_gives_what_was_whole(plan in plan()) {
        let packets = packets(&plan);
        let file = write(&packets);
        let mut ends = vec![24];
        ends.extend((1..=packets.len()).map(|count| write(&packets[..count]).len()));
        for len in 0..file.len() {
            match read(&file[..len]) {
                Err(error) => {
                    prop_assert!(len < 24, "{}", error);
                    prop_assert!(error.offset() <= len as u64);
                }
                Ok(capture) => {
                    let whole = ends.iter().filter(|&&end| end <= len).count() - 1;
                    prop_assert_eq!(capture.counts.records, whole as u64);
                    check_counts(&capture.counts);
                    let offset = ends[whole] as u64;
                    let expected = (offset != len as u64).then_some(Damage { offset, what: DamageKind::Cut });
                    prop_assert_eq!(capture.damage, expected);
                    // A stream of four packets is one.
                    let kept = capture.streams.first().map_or(0, |stream| stream.packets().len());
                    prop_assert_eq!(kept, if whole < 4 { 0 } else { whole });
                }
            }
        }
    }

    #[test]
    fn a_damaged_capture_is_read_up_to_somewhere(
        plan in plan(), changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
    ) {
        let mut file = write(&packets(&plan));
        for (at, byte) in changes {
            let at = at.index(file.len());
            file[at] = byte;
        }
        check_reading(&file);
    }

    #[test]
    fn whatever_comes_it_is_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..300), is_capture: bool) {
        let head = write(&[]);
        check_reading(&if is_capture { [&head[..], &bytes].concat() } else { bytes });
    }

    #[test]
    fn rounds_go_on_without_end(plan in plan(), scale in 0.01f64..100.0, sequence: u16, timestamp: u32) {
        let capture = read(&write(&packets(&plan))).unwrap();
        let stream = &capture.streams[0];
        let lost: Vec<u16> = plan.4.iter().map(|packet| packet.1.into()).collect();
        let options = PlaybackOptions { scale, first_sequence: sequence, first_timestamp: timestamp };
        let mut playback = Playback::new(Arc::clone(stream), options).unwrap();
        let (mut due, mut expected) = (Duration::ZERO, sequence);
        let count = stream.packets().len();
        for n in 0..count * 5 {
            let packet = playback.next_packet();
            let place = n % count;
            prop_assert_eq!(packet.sequence, expected);
            prop_assert_eq!(packet.is_loop_start, place == 0);
            prop_assert_eq!(&packet.payload, &stream.packets()[place].payload);
            prop_assert!(packet.due >= due);
            due = packet.due;
            // What was lost is missing in every round, and nothing is between two rounds.
            expected = expected.wrapping_add(1 + if place + 1 == count { 0 } else { lost[place] });
        }
    }

    #[test]
    fn timestamps_keep_to_the_time_of_playing(scale in 0.01f64..100.0, timestamp: u32, count in 10..50u16) {
        let plan = (false, 1, 0, 7, vec![(20, 0, false, vec![0]); count.into()]);
        let capture = read(&write(&packets(&plan))).unwrap();
        let options = PlaybackOptions { scale, first_sequence: 0, first_timestamp: timestamp };
        let mut playback = Playback::new(Arc::clone(&capture.streams[0]), options).unwrap();
        for n in 0..u64::from(count) * 4 {
            let packet = playback.next_packet();
            prop_assert_eq!(packet.is_loop_start, n % u64::from(count) == 0);
            let ticks = (packet.due.as_secs_f64() * 48_000.0).round() as u64;
            let distance = packet.timestamp.wrapping_sub(timestamp).wrapping_sub(ticks as u32).cast_signed();
            prop_assert!(distance.abs() <= 1, "{} ticks at {:?}", distance, packet.due);
        }
    }
}

fn check_reading(file: &[u8]) {
    for filter in [Filter::default(), Filter { port: Some(5004), ssrc: None }] {
        match Capture::from_bytes(file, &filter) {
            Err(error) => assert!(error.offset() <= file.len() as u64),
            Ok(capture) => {
                assert!(capture.damage.is_none_or(|damage| damage.offset < file.len() as u64));
                check_counts(&capture.counts);
                assert_eq!(capture.descriptions().len(), capture.streams.len());
            }
        }
    }
}

#[test]
fn a_file_is_read_from_its_path() {
    let path = std::env::temp_dir().join(format!("capture-{}.pcap", std::process::id()));
    let mut writer = CaptureWriter::create(&path).unwrap();
    let (source, destination) = addresses(false);
    for n in 0..10u8 {
        let rtp = [0x80, 111, 0, n, 0, 0, n, 0, 0, 0, 0, 1, 0xfc];
        writer.write_packet(SystemTime::now(), source, destination, &rtp).unwrap();
    }
    // Not closed: every record is there at once.
    let capture = Capture::read(&path, &Filter::default());
    std::fs::remove_file(&path).unwrap();
    assert_eq!(capture.unwrap().streams[0].packets().len(), 10);
    let error = Capture::read(&path, &Filter::default()).unwrap_err();
    assert!(matches!(error, CaptureError::Open { .. }), "{error}");
}
