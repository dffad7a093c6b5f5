//! Synthetic pictures with the sizes and times of a paced VP8 encoder: frames of changing size, key frames when asked
//! for, each frame's packets spread as a browser's pacer spreads them.

use peer::{PicturePart, VoicePayload, encode_picture};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::SourcePacket;

/// Ticks of the 90 kHz clock in a second.
const CLOCK_RATE_HZ: u64 = 90_000;
/// Bytes of content in a full packet: with headers and protection it stays under a usual path's 1200.
const CONTENT_LEN_MAX: usize = 1100;
/// The fields that make content checkable need these.
const CONTENT_LEN_MIN: usize = 21;
/// A key frame is so many times as large as the average frame; encoders in calls give it five to ten times the bits.
const KEY_FACTOR: f64 = 6.0;
/// A frame's size strays so far from the average, each way.
const SIZE_SPREAD: f64 = 0.3;
/// The pacer sends so many times as fast as the rate, as browsers do.
const PACING_FACTOR: f64 = 2.5;

/// What a video source shows.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Picture {
    /// Frames a second.
    pub frame_rate: u64,
    /// Thousands of bits a second.
    pub kbps: u64,
}

impl Picture {
    /// A camera of `kbps`.
    pub fn camera(kbps: u64) -> Self {
        Self { frame_rate: 30, kbps }
    }

    /// A shared screen of `kbps`.
    pub fn screen(kbps: u64) -> Self {
        Self { frame_rate: 5, kbps }
    }
}

/// A camera or a screen.
pub struct Video {
    publisher: u32,
    picture: Picture,
    rng: StdRng,
    counter: u64,
    phase_ns: u64,
    frame: u64,
    /// Packets of the frame, and those of them that are sent.
    packets: (usize, usize),
    content_len: usize,
    is_key: bool,
    is_key_wanted: bool,
    due_ns: u64,
}

impl Video {
    /// One that is switched on at `from_ns` since the run's beginning.
    pub fn new(publisher: u32, picture: Picture, from_ns: u64) -> Self {
        let mut rng = StdRng::seed_from_u64(publisher.into());
        let phase_ns = from_ns + rng.random_range(0..1_000_000_000 / picture.frame_rate);
        let mut video = Self {
            publisher,
            picture,
            rng,
            counter: 0,
            phase_ns,
            frame: 0,
            packets: (0, 0),
            content_len: 0,
            is_key: false,
            is_key_wanted: true,
            due_ns: phase_ns,
        };
        video.begin_frame();
        video
    }

    /// When the next packet is due.
    pub fn due_ns(&self) -> u64 {
        self.due_ns
    }

    /// Makes the next frame one that needs no other.
    pub fn handle_key_frame_request(&mut self) {
        self.is_key_wanted = true;
    }

    /// The packet that is due.
    pub fn poll_packet(&mut self, sent_at_ns: u64) -> SourcePacket {
        let (count, sent) = self.packets;
        let part = match (sent, self.is_key) {
            (0, true) => PicturePart::KeyStart,
            (0, false) => PicturePart::Start,
            _ => PicturePart::Rest,
        };
        let content = VoicePayload { publisher: self.publisher, counter: self.counter, sent_at_ns };
        let packet = SourcePacket {
            payload: encode_picture(part, self.frame as u16 & 0x7fff, &content, self.content_len).into(),
            timestamp: (self.frame * CLOCK_RATE_HZ / self.picture.frame_rate) as u32,
            marker: sent + 1 == count,
            audio_level: None,
        };
        self.counter += 1;
        self.packets.1 += 1;
        if packet.marker {
            self.frame += 1;
            self.begin_frame();
        } else {
            let pace_ns = self.content_len as f64 * 8e6 / (self.picture.kbps as f64 * PACING_FACTOR);
            self.due_ns += pace_ns as u64;
        }
        packet
    }

    fn begin_frame(&mut self) {
        self.is_key = std::mem::take(&mut self.is_key_wanted);
        let mean = self.picture.kbps as f64 * 1000.0 / 8.0 / self.picture.frame_rate as f64;
        let spread = self.rng.random_range(1.0 - SIZE_SPREAD..1.0 + SIZE_SPREAD);
        let len = (mean * spread * if self.is_key { KEY_FACTOR } else { 1.0 }) as usize;
        let count = len.div_ceil(CONTENT_LEN_MAX).max(1);
        self.packets = (count, 0);
        self.content_len = (len / count).max(CONTENT_LEN_MIN);
        // A key frame may take longer than a frame's time; the next waits for its end.
        let begins_ns = self.phase_ns + self.frame * 1_000_000_000 / self.picture.frame_rate;
        self.due_ns = self.due_ns.max(begins_ns);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use peer::decode_picture;

    #[test]
    fn a_camera_keeps_its_rate_and_gives_a_key_frame_when_asked() {
        let mut video = Video::new(3, Picture::camera(800), 0);
        let (mut bytes, mut keys, mut counter) = (0, 0, 0);
        while video.due_ns() < 10_000_000_000 {
            if counter == 500 {
                video.handle_key_frame_request();
            }
            let packet = video.poll_packet(7);
            let content = decode_picture(&packet.payload).expect("it is whole");
            assert_eq!((content.publisher, content.counter, content.sent_at_ns), (3, counter, 7));
            keys += usize::from(packet.payload[0] == 0x90 && packet.payload[4] == 0x10);
            bytes += packet.payload.len();
            counter += 1;
        }
        assert_eq!(keys, 2);
        let kbps = bytes as f64 * 8.0 / 10_000.0;
        assert!((700.0..950.0).contains(&kbps), "{kbps}");
    }

    #[test]
    fn the_packets_of_a_frame_are_spread_and_the_last_is_marked() {
        let mut video = Video::new(3, Picture::screen(2000), 0);
        let mut dues = Vec::new();
        loop {
            dues.push(video.due_ns());
            if video.poll_packet(0).marker {
                break;
            }
        }
        assert!(dues.len() > 100, "a key frame of a screen has many packets: {}", dues.len());
        assert!(dues.windows(2).all(|pair| pair[0] < pair[1]));
    }
}
