use super::*;
use crate::stream::CapturedStream;
use crate::stream::tests::{noise, stream_of};

const MS: u64 = 1_000_000;

/// Frames of three packets with these fronts, 30 a second; every third frame has the key frame's fronts.
fn video_of(key: [&[u8]; 3], delta: [&[u8]; 3]) -> CapturedStream {
    let packets = (0..90u64).map(|n| {
        let (frame, part) = (n / 3, (n % 3) as usize);
        let front = if frame % 3 == 1 { key[part] } else { delta[part] };
        (frame * 33_333_333 + part as u64 * 100_000, n as u16, frame as u32 * 3000, [front, &noise(n, 300)].concat())
    });
    stream_of(1, 96, packets)
}

fn guess_of(stream: &CapturedStream) -> Guess {
    guess(stream.packets(), stream.payload_type(), stream.pace(), false)
}

/// What browsers send of each format, three packets a frame.
fn videos() -> [(Codec, CapturedStream); 4] {
    let vp8_key: &[u8] = &[0x90, 0x80, 0x81, 0x23, 0x10, 0x02, 0x00, 0x9d, 0x01, 0x2a, 0x80, 0x02, 0xe0, 0x01];
    let vp8_delta: &[u8] = &[0x90, 0x80, 0x81, 0x24, 0x11];
    let vp8_rest: &[u8] = &[0x80, 0x80, 0x81, 0x23];
    let vp9_key: &[u8] = &[0x8a, 0x81, 0x23, 0x18, 0x02, 0x80, 0x01, 0xe0, 0x01, 0x04, 0x01, 0x82, 0x49, 0x83, 0x42];
    [
        (Codec::Vp8, video_of([vp8_key, vp8_rest, vp8_rest], [vp8_delta, vp8_rest, vp8_rest])),
        (
            Codec::Vp9,
            video_of(
                [vp9_key, &[0x80, 0x81, 0x23], &[0x84, 0x81, 0x23]],
                [&[0xc8, 0x81, 0x24, 0x86], &[0xc0, 0x81, 0x24], &[0xc4, 0x81, 0x24]],
            ),
        ),
        (
            Codec::H264,
            video_of(
                [&[0x67, 0x42, 0xe0, 0x1f], &[0x7c, 0x85], &[0x7c, 0x45]],
                [&[0x5c, 0x81], &[0x5c, 0x01], &[0x5c, 0x41]],
            ),
        ),
        (
            Codec::Av1,
            video_of(
                [&[0x68, 0x0b, 0x08], &[0xd0, 0x30], &[0x90, 0x30]],
                [&[0x50, 0x30], &[0xd0, 0x30], &[0x90, 0x30]],
            ),
        ),
    ]
}

#[test]
fn each_video_format_is_known_by_its_key_frame_and_without_one() {
    for (codec, stream) in videos() {
        let expected = Guess { codec: Some(codec), kind: Some(Kind::Video), clock_rate_hz: Some(90_000) };
        assert_eq!(guess_of(&stream), expected);
        // The first frame is none.
        let packets = &stream.packets()[..3];
        let again: Vec<_> = (0..10)
            .flat_map(|round| {
                packets.iter().enumerate().map(move |(part, packet)| {
                    let n = round * 3 + part as u64;
                    (round * 33_333_333, n as u16, round as u32 * 3000, packet.payload.to_vec())
                })
            })
            .collect();
        assert_eq!(guess_of(&stream_of(1, 96, again)), expected, "without a key frame");
        // One key frame has no clock, and shows what it is.
        let short = stream_of(
            1,
            96,
            stream.packets()[3..6]
                .iter()
                .map(|packet| (0, packet.place as u16, packet.ticks as u32, packet.payload.to_vec())),
        );
        assert_eq!(guess_of(&short).codec, Some(codec), "short");
    }
}

#[test]
fn loss_does_not_hide_a_format() {
    for (codec, stream) in videos() {
        let kept: Vec<_> = stream.packets().iter().filter(|packet| packet.place % 7 != 2).cloned().collect();
        assert_eq!(guess(&kept, 96, stream.pace(), false).codec, Some(codec));
    }
}

#[test]
fn noise_is_no_format() {
    for seed in 0..20u64 {
        let stream = |step: u32, interval_ns: u64| {
            let packets = (0..200u64).map(|n| (n * interval_ns, n as u16, n as u32 * step, noise(seed << 32 | n, 90)));
            guess_of(&stream_of(1, 96, packets))
        };
        let video = Guess { codec: None, kind: Some(Kind::Video), clock_rate_hz: Some(90_000) };
        assert_eq!(stream(3000, 33_333_333), video, "{seed}");
        let audio = Guess { codec: None, kind: Some(Kind::Audio), clock_rate_hz: Some(48_000) };
        assert_eq!(stream(960, 20 * MS), audio, "{seed}");
    }
}

#[test]
fn opus_is_known_by_its_contents_and_encrypted_by_its_pace() {
    let opus = |contents: u8, step: u32| {
        let interval_ns = u64::from(step) * 1_000_000 / 48;
        // Ten seconds of voice in which the speaker is silent for a while.
        let packets = (0..200u64).filter(|n| !(50..70).contains(n)).enumerate().map(|(place, n)| {
            (n * interval_ns, place as u16, n as u32 * step, [&[contents][..], &noise(n, 60)].concat())
        });
        stream_of(1, 111, packets)
    };
    let known = Guess { codec: Some(Codec::Opus), kind: Some(Kind::Audio), clock_rate_hz: Some(48_000) };
    for (contents, step) in [(0x78, 960), (0xfc, 960), (0x08, 960), (0x18, 2880), (0x79, 1920), (0xe0, 120)] {
        assert_eq!(guess_of(&opus(contents, step)), known, "{contents:x}");
    }
    // It says 10 ms and lasts 15.
    assert_eq!(guess_of(&opus(0x70, 720)).codec, None);
    let encrypted = opus(0x70, 960);
    assert_eq!(guess(encrypted.packets(), 111, encrypted.pace(), true), known);
}

#[test]
fn a_packet_of_opus_says_how_long_it_lasts() {
    for (payload, ticks) in [
        (&[0x00][..], Some(480)),
        (&[0x18], Some(2880)),
        (&[0x60], Some(480)),
        (&[0x80], Some(120)),
        (&[0xf9], Some(1920)),
        (&[0xfb, 0x06], Some(5760)),
        (&[0xfb, 0x07], None),
        (&[0xfb, 0x00], None),
        (&[0xfb], None),
        (&[], None),
    ] {
        assert_eq!(opus_ticks(payload), ticks, "{payload:x?}");
    }
}

#[test]
fn static_payload_types_are_what_they_are_fixed_to() {
    let stream = |payload_type: u8| {
        stream_of(1, payload_type, (0..20u64).map(|n| (n * 20 * MS, n as u16, n as u32 * 160, vec![0xff; 160])))
    };
    for (payload_type, name, rate) in [(0, "PCMU", 8_000), (8, "PCMA", 8_000), (9, "G722", 8_000), (34, "H263", 90_000)]
    {
        let guess = guess_of(&stream(payload_type));
        assert_eq!((guess.codec, guess.clock_rate_hz), (Some(Codec::Static(name)), Some(rate)));
    }
    // Of another one its pace tells the clock.
    let unknown = Guess { codec: None, kind: Some(Kind::Audio), clock_rate_hz: Some(8_000) };
    assert_eq!(guess_of(&stream(97)), unknown);
}
