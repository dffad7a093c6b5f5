use super::*;
use crate::stream::tests::stream_of;

/// Voice of which the third packet is lost and the fourth and fifth are exchanged.
fn stream() -> Arc<CapturedStream> {
    let packets = [(0, 10), (20, 11), (80, 14), (81, 13), (100, 15)];
    let packets =
        packets.map(|(at_ms, sequence)| (at_ms * 1_000_000, sequence, u32::from(sequence) * 960, vec![sequence as u8]));
    Arc::new(stream_of(1, 111, packets))
}

fn play(scale: f64, count: usize) -> Vec<(u64, u16, u32, bool)> {
    let options = PlaybackOptions { scale, first_sequence: 65_530, first_timestamp: u32::MAX - 959 };
    let mut playback = Playback::new(stream(), options).unwrap();
    let played = std::iter::repeat_with(|| playback.next_packet()).take(count);
    played
        .map(|packet| (packet.due.as_micros() as u64, packet.sequence, packet.timestamp, packet.is_loop_start))
        .collect()
}

#[test]
fn rounds_follow_one_another_by_one_step() {
    assert_eq!(
        play(1.0, 11),
        [
            (0, 65_530, u32::MAX - 959, true),
            (20_000, 65_531, 0, false),
            (80_000, 65_534, 2880, false),
            (81_000, 65_533, 1920, false),
            (100_000, 65_535, 3840, false),
            (120_000, 0, 4800, true),
            (140_000, 1, 5760, false),
            (200_000, 4, 8640, false),
            (201_000, 3, 7680, false),
            (220_000, 5, 9600, false),
            (240_000, 6, 10_560, true),
        ]
    );
}

#[test]
fn timestamps_are_scaled_with_the_time() {
    let steps: Vec<_> = play(2.0, 6).iter().map(|&(due_us, _, timestamp, _)| (due_us, timestamp)).collect();
    let start = u32::MAX - 959;
    let expected = [(0, 0), (10_000, 480), (40_000, 1920), (40_500, 1440), (50_000, 2400), (60_000, 2880)];
    assert_eq!(steps, expected.map(|(due_us, ticks)| (due_us, start.wrapping_add(ticks))));
}

#[test]
fn after_days_no_error_has_added_up() {
    let options = PlaybackOptions { scale: 3.0, ..PlaybackOptions::default() };
    let mut playback = Playback::new(stream(), options).unwrap();
    let mut last = playback.next_packet();
    for _ in 0..5 * 2_000_000 {
        last = playback.next_packet();
    }
    // The first packet of round two million.
    assert!(last.is_loop_start);
    assert_eq!(last.due, Duration::from_secs(80_000));
    assert_eq!(last.timestamp, (80_000u64 * 48_000) as u32);
    assert_eq!(last.sequence, (2_000_000u64 * 6) as u16);
    assert_eq!(playback.round_duration(), Duration::from_millis(40));
}

#[test]
fn payloads_are_shared_and_not_copied() {
    let stream = stream();
    let mut playback = Playback::new(stream.clone(), PlaybackOptions::default()).unwrap();
    assert_eq!(playback.next_packet().payload.as_ptr(), stream.packets()[0].payload.as_ptr());
}

#[test]
fn a_scale_out_of_bounds_is_refused() {
    for scale in [0.0, -1.0, 0.009, 100.1, f64::INFINITY, f64::NAN] {
        let options = PlaybackOptions { scale, ..PlaybackOptions::default() };
        let error = Playback::new(stream(), options).unwrap_err();
        assert!(error.to_string().contains("from 0.01 to 100"), "{error}");
    }
}
