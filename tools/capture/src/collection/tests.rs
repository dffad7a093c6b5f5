use etherparse::PacketBuilder;

use super::*;
use crate::stream::tests::noise;

const RAW_IP: Link = Link { link_type: 101, offset: 20 };

/// One UDP datagram from port 5004 to `port`, as the next packet.
fn take(collection: &mut Collection, at_ms: u64, port: u16, payload: &[u8]) {
    let mut data = Vec::new();
    PacketBuilder::ipv4([10, 0, 0, 1], [10, 0, 0, 2], 64).udp(5004, port).write(&mut data, payload).unwrap();
    let record = Record { offset: 24, at_ns: Some(at_ms * 1_000_000), link: RAW_IP, data: &data, is_cut: false };
    collection.handle_record(record).unwrap();
}

fn rtp(ssrc: u32, payload_type: u8, sequence: u16) -> Vec<u8> {
    let mut packet = vec![0x80, payload_type];
    packet.extend(sequence.to_be_bytes());
    packet.extend((u32::from(sequence) * 960).to_be_bytes());
    packet.extend(ssrc.to_be_bytes());
    packet.extend([sequence as u8; 20]);
    packet
}

fn collect(filter: Filter, datagrams: &[(u16, Vec<u8>)]) -> (Vec<CapturedStream>, Counts) {
    let mut collection = Collection::new(filter, STORED_BYTES_MAX);
    for (place, (port, payload)) in datagrams.iter().enumerate() {
        take(&mut collection, place as u64, *port, payload);
    }
    collection.finish()
}

fn places(stream: &CapturedStream) -> Vec<u64> {
    stream.packets().iter().map(|packet| packet.place).collect()
}

#[test]
fn streams_are_told_apart_and_found_among_other_traffic() {
    let mut datagrams = Vec::new();
    for n in 0..20u16 {
        datagrams.push((4000, rtp(1, 111, n)));
        datagrams.push((4000, rtp(2, 96, 60_000 + n)));
        datagrams.push((4002, rtp(1, 111, 500 + n)));
        // STUN, DTLS, sender reports, a DNS answer, QUIC.
        datagrams.push((4000, [&[0, 1, 0, 8, 0x21, 0x12, 0xa4, 0x42][..], &noise(n.into(), 20)].concat()));
        datagrams.push((4000, [&[22, 0xfe, 0xfd, 0, 0][..], &noise(n.into(), 40)].concat()));
        datagrams.push((4000, [&[0x80, 200, 0, 6][..], &noise(n.into(), 24)].concat()));
        datagrams
            .push((53, [&(0x8000 + n).to_be_bytes()[..], &[0x81, 0x80, 0, 1, 0, 1, 0, 0, 0, 0, 3], &[7; 20]].concat()));
        datagrams.push((443, [&[0x40][..], &noise(n.into(), 60)].concat()));
    }
    let (streams, counts) = collect(Filter::default(), &datagrams);
    let found: Vec<_> = streams.iter().map(|stream| (stream.ssrc, stream.destination.port())).collect();
    assert_eq!(found, [(1, 4000), (2, 4000), (1, 4002)]);
    assert!(streams.iter().all(|stream| stream.packets().len() == 20));
    assert_eq!((counts.records, counts.rtp, counts.rtcp, counts.not_rtp), (160, 60, 20, 80));
}

#[test]
fn noise_with_the_version_of_rtp_makes_no_stream() {
    for seed in 0..50u64 {
        let datagram = |n: u64| {
            let mut bytes = noise(seed << 32 | n, 60);
            bytes[0] = 0x80 | bytes[0] & 0x3f;
            // The same SSRC, so that only the numbers tell.
            bytes[8..12].copy_from_slice(&[1, 2, 3, 4]);
            (4000, bytes)
        };
        let datagrams: Vec<_> = (0..200).map(datagram).collect();
        let (streams, counts) = collect(Filter::default(), &datagrams);
        assert_eq!(streams.len(), 0, "{seed}");
        assert_eq!(counts.not_rtp + counts.rtcp, 200);
    }
}

#[test]
fn more_candidates_than_are_kept_push_out_the_oldest() {
    let mut datagrams: Vec<_> = (0..3).map(|n| (4000, rtp(1, 111, n))).collect();
    datagrams.extend((1000..1000 + CANDIDATES_MAX as u32).map(|ssrc| (4000, rtp(ssrc, 111, 0))));
    datagrams.extend((3..7).map(|n| (4000, rtp(1, 111, n))));
    let (streams, counts) = collect(Filter::default(), &datagrams);
    // Its first three were forgotten.
    assert_eq!((streams.len(), streams[0].packets().len()), (1, 4));
    assert_eq!(counts.not_rtp, 3 + CANDIDATES_MAX as u64);
}

#[test]
fn four_packets_are_a_stream_and_three_are_one_if_chosen() {
    let datagrams: Vec<_> = (0..3).map(|n| (4000, rtp(1, 111, n))).collect();
    assert_eq!(collect(Filter::default(), &datagrams).0.len(), 0);
    for filter in [Filter { ssrc: Some(1), port: None }, Filter { ssrc: None, port: Some(4000) }] {
        let (streams, counts) = collect(filter, &datagrams);
        assert_eq!((streams.len(), counts.rtp), (1, 3), "{filter:?}");
    }
    for filter in [Filter { ssrc: Some(2), port: None }, Filter { ssrc: Some(1), port: Some(4001) }] {
        let (streams, counts) = collect(filter, &datagrams);
        assert_eq!((streams.len(), counts.unchosen), (0, 3), "{filter:?}");
    }
    // Either end's port.
    assert_eq!(collect(Filter { ssrc: None, port: Some(5004) }, &datagrams).0.len(), 1);
    let with_fourth = [datagrams, vec![(4000, rtp(1, 111, 3))]].concat();
    assert_eq!(collect(Filter::default(), &with_fourth).0[0].packets().len(), 4);
}

#[test]
fn what_was_captured_twice_is_played_once() {
    let datagrams: Vec<_> = (0..40).map(|n| (4000, rtp(1, 111, n / 2))).collect();
    let (streams, counts) = collect(Filter::default(), &datagrams);
    assert_eq!(places(&streams[0]), (0..20).collect::<Vec<_>>());
    assert_eq!((streams[0].describe().repeated, counts.rtp), (20, 40));
}

#[test]
fn loss_and_reordering_stay_as_they_were() {
    let sequences = [65_533, 65_534, 65_535, 1, 0, 4, 3, 3];
    let datagrams: Vec<_> = sequences.iter().map(|&n| (4000, rtp(1, 111, n))).collect();
    let (streams, _) = collect(Filter::default(), &datagrams);
    assert_eq!(places(&streams[0]), [0, 1, 2, 4, 3, 7, 6]);
    let description = streams[0].describe();
    assert_eq!((description.lost, description.reordered, description.repeated), (1, 2, 1));
}

#[test]
fn a_stray_packet_is_left_out_and_a_stream_begun_anew_goes_on() {
    let sequences = [1, 2, 3, 4, 30_000, 5, 6, 40_000, 50_000, 50_001, 50_002, 20_000];
    let datagrams: Vec<_> = sequences.iter().map(|&n| (4000, rtp(1, 111, n))).collect();
    let (streams, counts) = collect(Filter::default(), &datagrams);
    assert_eq!(places(&streams[0]), (0..9).collect::<Vec<_>>());
    let ticks: Vec<_> = streams[0].packets().iter().map(|packet| packet.ticks / 960).collect();
    assert_eq!(ticks, (0..9).collect::<Vec<_>>());
    assert_eq!((counts.rtp, counts.stray), (9, 3));
    assert_eq!(streams[0].describe().restarts, 1);
}

#[test]
fn sources_extensions_and_padding_are_no_payload() {
    let full = |sequence: u16| {
        let mut packet = rtp(1, 111, sequence);
        // Padding, an extension, two contributing sources.
        packet[0] = 0xb2;
        packet.splice(12..12, [0, 0, 0, 1, 0, 0, 0, 2, 0xbe, 0xde, 0, 1, 0x10, 0xff, 0, 0]);
        packet.extend([0, 0, 3]);
        (4000, packet)
    };
    let only_padding = |sequence: u16| {
        let mut packet = rtp(1, 111, sequence);
        packet[0] = 0xa0;
        *packet.last_mut().unwrap() = 20;
        (4000, packet)
    };
    let unreadable = |sequence: u16| {
        let mut packet = rtp(1, 111, sequence);
        packet[0] = 0xa0;
        *packet.last_mut().unwrap() = 99;
        (4000, packet)
    };
    let datagrams = [full(1), full(2), full(3), full(4), only_padding(5), unreadable(6)];
    let (streams, _) = collect(Filter::default(), &datagrams);
    let payloads: Vec<_> = streams[0].packets().iter().map(|packet| packet.payload.len()).collect();
    assert_eq!(payloads, [20, 20, 20, 20, 0, 20]);
    assert_eq!(&streams[0].packets()[0].payload[..], [1; 20]);
}

#[test]
fn what_is_kept_is_bounded() {
    let mut collection = Collection::new(Filter::default(), 10_000);
    let mut data = Vec::new();
    let error = (0..1000).find_map(|n| {
        data.clear();
        let builder = PacketBuilder::ipv4([10, 0, 0, 1], [10, 0, 0, 2], 64).udp(1, 2);
        builder.write(&mut data, &rtp(1, 111, n)).unwrap();
        let record = Record { offset: n.into(), at_ns: Some(0), link: RAW_IP, data: &data, is_cut: false };
        collection.handle_record(record).err()
    });
    let error = error.unwrap();
    assert!(matches!(error, CaptureError::TooLarge { limit_bytes: 10_000, .. }), "{error}");
    assert!(collection.store.bytes < 10_200);
}

#[test]
fn packets_that_are_not_whole_are_counted_and_left_out() {
    let mut collection = Collection::new(Filter::default(), STORED_BYTES_MAX);
    let mut data = Vec::new();
    PacketBuilder::ipv4([1; 4], [2; 4], 64).udp(1, 2).write(&mut data, &rtp(1, 111, 1)).unwrap();
    let whole = Record { offset: 24, at_ns: Some(0), link: RAW_IP, data: &data, is_cut: false };
    let mut fragment = data.clone();
    fragment[6] = 0x20;
    let foreign = Link { link_type: 105, offset: 60 };
    for record in [
        Record { is_cut: true, ..whole },
        Record { at_ns: None, ..whole },
        Record { data: &fragment, ..whole },
        Record { data: &data[..30], ..whole },
        Record { data: b"", ..whole },
        Record { link: foreign, ..whole },
    ] {
        collection.handle_record(record).unwrap();
    }
    assert!(collection.foreign_link().is_none());
    let (streams, counts) = collection.finish();
    let expected = Counts {
        records: 6,
        cut_short: 1,
        untimed: 1,
        fragments: 1,
        malformed: 2,
        foreign_link: 1,
        ..Counts::default()
    };
    assert_eq!((streams.len(), counts), (0, expected));
}
