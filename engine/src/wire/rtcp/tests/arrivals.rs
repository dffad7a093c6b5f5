//! Transport-wide feedback, as an independent implementation reads it.

use std::time::Duration;

use rtcp::transport_feedbacks::transport_layer_cc::{PacketStatusChunk, SymbolTypeTcc, TransportLayerCc};
use rtp_util::marshal::Unmarshal;

use super::*;
use crate::wire::sequence::SeqNo;

const SENDER: Ssrc = Ssrc(0x0102_0304);
const MEDIA: Ssrc = Ssrc(0x0506_0708);

/// Bytes before the chunks.
const CHUNKS_AT: usize = 20;

fn write(room_len: usize, count: u8, base: u16, arrivals: &[Option<Duration>]) -> (Vec<u8>, usize) {
    let mut room = vec![0xee; room_len];
    let mut writer = CompoundWriter::new(&mut room);
    let told = writer.try_transport_feedback(SENDER, MEDIA, count, SeqNo(base), arrivals);
    let len = writer.len();
    assert_eq!(len == 0, told == 0);
    room.truncate(len);
    (room, told)
}

/// When each packet arrived, in ticks of 250 us since the epoch, as another implementation reads it.
fn read(bytes: &[u8]) -> (TransportLayerCc, Vec<Option<i64>>) {
    let feedback = TransportLayerCc::unmarshal(&mut &bytes[..]).unwrap();
    let symbols = feedback.packet_chunks.iter().flat_map(|chunk| match chunk {
        PacketStatusChunk::RunLengthChunk(run) => vec![run.packet_status_symbol; usize::from(run.run_length)],
        PacketStatusChunk::StatusVectorChunk(vector) => vector.symbol_list.clone(),
    });
    let mut deltas = feedback.recv_deltas.iter();
    let mut ticks = i64::from(feedback.reference_time) * 256;
    let arrivals = symbols
        .take(usize::from(feedback.packet_status_count))
        .map(|symbol| {
            (symbol != SymbolTypeTcc::PacketNotReceived).then(|| {
                ticks += deltas.next().unwrap().delta / 250;
                ticks
            })
        })
        .collect();
    assert!(deltas.next().is_none());
    (feedback, arrivals)
}

fn ticks(arrival: Duration) -> i64 {
    arrival.as_micros() as i64 / 250
}

fn at_ms(ms: &[Option<u64>]) -> Vec<Option<Duration>> {
    ms.iter().map(|ms| ms.map(Duration::from_millis)).collect()
}

fn at_ticks(ticks: &[Option<u64>]) -> Vec<Option<Duration>> {
    ticks.iter().map(|ticks| ticks.map(|ticks| Duration::from_micros(250 * ticks))).collect()
}

/// The chunks of a feedback of all `arrivals`.
fn chunks(arrivals: &[Option<Duration>], count: usize) -> Vec<u16> {
    let (bytes, told) = write(1 << 18, 0, 0, arrivals);
    assert_eq!(told, arrivals.len());
    bytes[CHUNKS_AT..].chunks(2).take(count).map(|chunk| u16::from_be_bytes([chunk[0], chunk[1]])).collect()
}

#[test]
fn a_feedback_is_what_the_draft_says() {
    // 1000 ms is fifteen times 64 ms and 40 ms.
    let arrivals = at_ms(&[Some(1000), None, Some(1010), Some(1200), Some(1199), Some(1199)]);
    let (bytes, told) = write(100, 0x2a, 0xfffe, &arrivals);
    assert_eq!(told, 6);
    let head = [0x8f, 205, 0, 7, 1, 2, 3, 4, 5, 6, 7, 8, 0xff, 0xfe, 0, 6, 0, 0, 15, 0x2a];
    // Two bits each: small, missing, small, large, large, small.
    let chunk = [0b1101_0001, 0b1010_0100];
    let deltas = [160, 40, 0x02, 0xf8, 0xff, 0xfc, 0];
    assert_eq!(bytes, [&head[..], &chunk, &deltas, &[0; 3]].concat());
}

#[test]
fn each_chunk_is_of_the_kind_that_covers_most() {
    let small = |count: u64| (0..count).map(Some);
    let missing = |count: usize| std::iter::repeat_n(None, count);
    let arrivals = |ticks: Vec<Option<u64>>| at_ticks(&ticks);

    assert_eq!(chunks(&arrivals(small(40).collect()), 1), [0x2000 | 40]);
    assert_eq!(
        chunks(&arrivals(small(1).chain(missing(8191)).chain(small(1)).collect()), 3),
        [0x8000 | 1 << 13, 8178, 0x2001]
    );
    assert_eq!(chunks(&arrivals(missing(20_000).chain(small(9)).collect()), 4), [8191, 8191, 3618, 0x2009]);
    // One bit each: seven of fourteen arrived.
    let every_other: Vec<_> = (0..14).map(|n| (n % 2 == 0).then_some(n)).collect();
    assert_eq!(chunks(&arrivals(every_other), 1), [0b10_10101010101010]);
    // Large from the eighth on: seven of two bits, then a run.
    let late: Vec<_> = (0..9).map(|n| if n < 7 { (n != 1).then_some(n) } else { Some(n * 1000) }).collect();
    assert_eq!(chunks(&arrivals(late), 2), [0b11_01_00_01_01_01_01_01, 0x4002]);
}

#[test]
fn a_time_that_does_not_fit_ends_the_feedback_before_it() {
    for (ticks, told) in [
        ([1000, 1255], 2),
        ([1000, 1256], 2),
        ([1000, 1000 + 0x7fff], 2),
        ([1000, 1000 + 0x8000], 1),
        ([0x9000, 0x1000], 2),
        ([0x9000, 0x0fff], 1),
    ] {
        let arrivals = at_ticks(&ticks.map(Some));
        let (bytes, len) = write(100, 0, 7, &arrivals);
        assert_eq!(len, told, "{ticks:?}");
        let expected: Vec<_> = ticks[..told].iter().map(|&ticks| Some(ticks as i64)).collect();
        assert_eq!(read(&bytes).1, expected);
    }
    // What is missing before it is told.
    let arrivals = at_ms(&[Some(1), None, None, Some(9000)]);
    assert_eq!(write(100, 0, 7, &arrivals).1, 3);
}

#[test]
fn the_reference_time_wraps() {
    for (ms, expected) in [(64 * 0x00ff_ffff, 0x00ff_ffff), (64 * 0x0100_0000, 0), (64 * 0x0100_0005 + 63, 5)] {
        let (bytes, _) = write(100, 0, 7, &at_ms(&[Some(ms)]));
        assert_eq!(read(&bytes).0.reference_time, expected, "{ms}");
    }
    assert_eq!(write(100, 0, 7, &[Some(Duration::MAX), Some(Duration::MAX)]).1, 2);
}

#[test]
fn nothing_is_written_where_nothing_arrived_or_fits() {
    assert_eq!(write(100, 0, 7, &[]).1, 0);
    assert_eq!(write(100, 0, 7, &[None; 30]).1, 0);
    let arrivals = at_ms(&[Some(1), Some(2), Some(3)]);
    for room in 0..CHUNKS_AT + 4 {
        assert_eq!(write(room, 0, 7, &arrivals).1, 0, "{room}");
    }
    // A chunk and two times fill a word.
    assert_eq!(write(CHUNKS_AT + 4, 0, 7, &arrivals).1, 2);
    assert_eq!(write(CHUNKS_AT + 8, 0, 7, &arrivals).1, 3);
    // A run of missing packets alone is no feedback.
    assert_eq!(write(CHUNKS_AT + 4, 0, 7, &[&[None; 9000][..], &arrivals].concat()).1, 0);
    assert_eq!(write(1 << 18, 0, 7, &[&[None; 65_535][..], &arrivals].concat()).1, 0);
    assert_eq!(write(1 << 18, 0, 7, &[&[None; 65_534][..], &arrivals].concat()).1, 65_535);
}

/// Steps in ticks to the next arrival, or none.
fn step() -> impl Strategy<Value = Option<i64>> {
    prop_oneof![
        6 => (0i64..200).prop_map(Some),
        3 => Just(None),
        1 => (-2000i64..2000).prop_map(Some),
        1 => (-40_000i64..40_000).prop_map(Some),
    ]
}

/// Statuses in runs, as losses and bursts make them.
fn steps() -> impl Strategy<Value = Vec<Option<i64>>> {
    prop::collection::vec((step(), prop_oneof![1usize..3, 1usize..40]), 0..40)
        .prop_map(|runs| runs.into_iter().flat_map(|(step, len)| std::iter::repeat_n(step, len)).collect())
}

proptest! {
    #[test]
    fn another_implementation_reads_every_arrival_from_as_many_feedbacks_as_it_takes(
        start in 1_000_000u64..1_000_000_000, steps in steps(), base: u16, room_len in CHUNKS_AT + 4..400,
    ) {
        let mut last = start as i64;
        let arrivals: Vec<_> = steps
            .iter()
            .map(|step| step.map(|step| { last += step; Duration::from_micros(250 * last as u64 + 249) }))
            .collect();
        let mut rest = &arrivals[..];
        let mut base = base;
        let mut count = 0u8;
        while rest.iter().any(Option::is_some) {
            let (bytes, told) = write(room_len, count, base, rest);
            // In the smallest room a run of missing packets leaves none for an arrival.
            if told == 0 {
                prop_assert!(rest[0].is_none() && room_len < CHUNKS_AT + 8);
                break;
            }
            prop_assert!(bytes.len() <= room_len);
            let (feedback, read) = read(&bytes);
            prop_assert_eq!((feedback.sender_ssrc, feedback.media_ssrc), (SENDER.0, MEDIA.0));
            prop_assert_eq!((feedback.base_sequence_number, feedback.fb_pkt_count), (base, count));
            prop_assert_eq!(usize::from(feedback.packet_status_count), told);
            let expected: Vec<_> = rest[..told].iter().map(|arrival| arrival.map(ticks)).collect();
            prop_assert_eq!(read, expected);
            rest = &rest[told..];
            base = base.wrapping_add(told as u16);
            count = count.wrapping_add(1);
        }
    }
}
