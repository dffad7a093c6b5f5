//! Capture files of any bytes, all streams of them or those of a port.
//!
//! Holds: a file is read or refused with a place in it; every packet is counted once; a stream has packets, is described, and
//! played over several rounds goes on by one from each to the next, never back in time; cut where it was damaged, the file
//! gives the same streams.
#![no_main]

use std::sync::Arc;
use std::time::Duration;

use arbitrary::Arbitrary;
use capture::{Capture, CapturedStream, Counts, Filter, Playback, PlaybackOptions};
use libfuzzer_sys::fuzz_target;

#[derive(Arbitrary, Debug)]
struct Input<'a> {
    /// Whether a stream has to prove itself, and how it is played.
    is_chosen: bool,
    scale: u8,
    sequence: u16,
    file: &'a [u8],
}

/// Packets that are played: rounds enough, of streams as short as these.
const PLAYED_MAX: usize = 300;

fuzz_target!(|input: Input<'_>| {
    let filter = if input.is_chosen { Filter { port: Some(5004), ssrc: None } } else { Filter::default() };
    let capture = match Capture::from_bytes(input.file, &filter) {
        Ok(capture) => capture,
        Err(error) => {
            assert!(error.offset() <= input.file.len() as u64, "{error}");
            return;
        }
    };
    check_counts(&capture.counts);
    assert_eq!(capture.descriptions().len(), capture.streams.len());
    for stream in &capture.streams {
        play(stream, f64::from(input.scale) / 8.0, input.sequence);
    }
    let Some(damage) = capture.damage else { return };
    let whole = &input.file[..usize::try_from(damage.offset).expect("a place in the file")];
    let again = Capture::from_bytes(whole, &filter).expect("what was whole is read");
    assert_eq!((again.damage, again.counts), (None, capture.counts));
    assert_eq!(again.streams, capture.streams);
});

fn check_counts(counts: &Counts) {
    let Counts { records, rtp, stray, rtcp, not_rtp, unchosen, not_udp, fragments, cut_short, untimed, .. } = *counts;
    let parts = [rtp, stray, rtcp, not_rtp, unchosen, not_udp, fragments, cut_short, untimed];
    assert_eq!(parts.iter().sum::<u64>() + counts.foreign_link + counts.malformed, records, "{counts:?}");
}

fn play(stream: &Arc<CapturedStream>, scale: f64, first_sequence: u16) {
    let options = PlaybackOptions { scale, first_sequence, first_timestamp: 0 };
    let Ok(mut playback) = Playback::new(Arc::clone(stream), options) else {
        assert_eq!(scale, 0.0);
        return;
    };
    let packets = stream.packets();
    assert!(!packets.is_empty());
    let places = packets.iter().map(|packet| packet.place).max().expect("packets") + 1;
    let mut due = Duration::ZERO;
    for n in 0..packets.len().saturating_mul(3).min(PLAYED_MAX) {
        let packet = playback.next_packet();
        assert_eq!(packet.is_loop_start, n % packets.len() == 0);
        let place = places * (n / packets.len()) as u64 + packets[n % packets.len()].place;
        assert_eq!(packet.sequence, first_sequence.wrapping_add(place as u16));
        assert!(packet.due >= due);
        due = packet.due;
    }
}
