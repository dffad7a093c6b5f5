//! A participant who is let in and shows what no camera does: names, numbers, padding, retransmissions and payloads.

use std::sync::Arc;
use std::time::Duration;

use peer::{Participant, PeerError, Shown, Transport, VideoCodec, VideoEncoding};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tokio::time::sleep;

use crate::flood::Flood;
use crate::packet::{header, header_with};
use crate::scene::Scene;

/// The camera's only encoding, which the service is told.
const SSRC: u32 = 0x6d61_6c6c;
const RTX_SSRC: u32 = 0x6f72_7900;
/// The MID that the attacker gives to its camera.
const MID: &[u8] = b"m";
/// The extension ids of MID, RID and the RID of what is sent again.
const MID_ID: u8 = 4;
const RID_ID: u8 = 10;
const REPAIRED_RID_ID: u8 = 11;
/// That of AV1's dependency descriptor.
const DEPENDENCY_DESCRIPTOR_ID: u8 = 12;
/// The first packet of a key frame: a descriptor without more, a frame that needs no other.
const KEY_FRAME: [u8; 4] = [0x10, 0x10, 0, 0];
/// Streams that come and go.
const STREAMS: u32 = 5000;

/// Streams that one transport may begin in its life: 1024 that have ended, and the two that live.
const GUARDED: usize = 1026;

fn encoding() -> VideoEncoding {
    VideoEncoding { ssrc: SSRC, rtx_ssrc: RTX_SSRC, rid: None }
}

/// A participant of the call who has announced a camera and shows nothing, and one who watches it.
struct Attack {
    mallory: Participant,
    transport: Arc<Transport>,
    carol: Participant,
}

impl Attack {
    async fn set(scene: &Scene) -> Result<Self, PeerError> {
        let mut mallory = scene.join_call("mallory").await?;
        let transport = mallory.open_send(mallory.transport_options()).await?;
        Ok(Self { mallory, transport, carol: scene.join_call("carol").await? })
    }

    async fn show(&mut self, codec: VideoCodec) -> Result<Shown, PeerError> {
        let shown = self.mallory.produce_video(codec, vec![encoding()], "m").await?;
        self.carol.consume(&shown.producer_id).await?;
        Ok(shown)
    }

    fn media(&self, sequence: u16, payload: &[u8]) -> Result<Vec<u8>, PeerError> {
        self.protect(&[&header(0, VideoCodec::Vp8.payload_type(), sequence, SSRC), payload].concat())
    }

    /// A retransmission of the packet `original`.
    fn repeat(&self, sequence: u16, original: u16) -> Result<Vec<u8>, PeerError> {
        let header = header(0, VideoCodec::Vp8.payload_type() + 1, sequence, RTX_SSRC);
        self.protect(&[&header[..], &original.to_be_bytes(), &KEY_FRAME].concat())
    }

    fn protect(&self, packet: &[u8]) -> Result<Vec<u8>, PeerError> {
        Ok(self.transport.protect_rtp(packet)?.to_vec())
    }
}

#[tokio::test]
async fn the_names_and_numbers_of_others_and_of_nobody_lead_nowhere() -> Result<(), PeerError> {
    const ROUNDS: u16 = 20;
    let scene = Scene::set().await?;
    let mut attack = Attack::set(&scene).await?;
    let shown = attack.show(VideoCodec::Vp8).await?;
    let watched = attack.mallory.consume(&scene.call.alice.camera.shown().producer_id).await?;
    let socket = attack.transport.socket()?;
    let mut flood = Flood::new(&socket, scene.target);
    let (media, rtx) = (VideoCodec::Vp8.payload_type(), VideoCodec::Vp8.payload_type() + 1);
    flood.send(&attack.media(1, &KEY_FRAME)?)?;
    let accepted = flood.sent();

    let mut foreign = vec![0, 1, watched.ssrc];
    foreign.extend(watched.rtx_ssrc);
    for victim in [&scene.call.alice, &scene.call.bob] {
        foreign.push(victim.published.ssrc);
        foreign.extend(victim.camera.shown().encodings.iter().flat_map(|known| [known.ssrc, known.rtx_ssrc]));
    }
    for sequence in 0..ROUNDS {
        for &ssrc in &foreign {
            for payload_type in [media, rtx, 111] {
                let packet = [&header(0, payload_type, sequence, ssrc)[..], &KEY_FRAME].concat();
                flood.send(&attack.protect(&packet)?)?;
            }
        }
        // MIDs and RIDs of the others, and of nobody; of its own, RIDs that it never told.
        let names: [&[(u8, &[u8])]; 8] = [
            &[(MID_ID, b"0")],
            &[(MID_ID, b"1")],
            &[(MID_ID, b"1"), (RID_ID, b"hi")],
            &[(MID_ID, b"nobody")],
            &[(RID_ID, b"hi")],
            &[(MID_ID, MID), (RID_ID, b"hi")],
            &[(MID_ID, MID), (RID_ID, b"nobody")],
            &[(MID_ID, MID), (RID_ID, MID), (REPAIRED_RID_ID, b"hi")],
        ];
        for (n, elements) in names.into_iter().enumerate() {
            let packet = [&header_with(media, sequence, 0x2000_0000 + n as u32, elements)[..], &KEY_FRAME].concat();
            flood.send(&attack.protect(&packet)?)?;
        }
        let repaired = header_with(rtx, sequence, 0x2100_0000, &[(MID_ID, MID), (REPAIRED_RID_ID, b"hi")]);
        flood.send(&attack.protect(&[&repaired[..], &[0, 1], &KEY_FRAME].concat())?)?;
    }
    let nowhere = flood.sent() - accepted;

    // Each of its two streams with every payload type but its own, that of the other among them.
    for (ssrc, own) in [(SSRC, media), (RTX_SSRC, rtx)] {
        for payload_type in (0..128).filter(|kind| *kind != own) {
            let packet = [&header(0, payload_type, 100 + u16::from(payload_type), ssrc)[..], &KEY_FRAME].concat();
            flood.send(&attack.protect(&packet)?)?;
        }
    }
    let unknown_types = 2 * 127;
    scene.assert_drops(&[("rtp_unknown_stream", nowhere), ("rtp_unknown_payload_type", unknown_types)]).await?;

    attack.mallory.close_producer(&shown.producer_id).await?;
    for sequence in 1000..1000 + ROUNDS {
        flood.send(&attack.media(sequence, &KEY_FRAME)?)?;
        flood.send(&attack.repeat(sequence, sequence)?)?;
        let named = header_with(media, sequence, SSRC + 1, &[(MID_ID, MID)]);
        flood.send(&attack.protect(&[&named[..], &KEY_FRAME].concat())?)?;
    }
    let nowhere = nowhere + 3 * usize::from(ROUNDS);
    scene.assert_drops(&[("rtp_unknown_stream", nowhere), ("rtp_unknown_payload_type", unknown_types)]).await?;
    scene.end().await
}

#[tokio::test]
async fn a_camera_that_begins_anew_with_every_packet_is_held_at_what_can_be_guarded() -> Result<(), PeerError> {
    let scene = Scene::set().await?;
    let mut attack = Attack::set(&scene).await?;
    attack.show(VideoCodec::Vp8).await?;
    let socket = attack.transport.socket()?;
    let mut flood = Flood::new(&socket, scene.target);
    for stream in 0..STREAMS {
        let media = header_with(VideoCodec::Vp8.payload_type(), 1, 0x3000_0000 + stream, &[(MID_ID, MID)]);
        flood.send(&attack.protect(&[&media[..], &KEY_FRAME].concat())?)?;
        // A retransmission of nothing, as those that browsers fill gaps with, yet of a stream of its own.
        let rtx = header_with(VideoCodec::Vp8.payload_type() + 1, 1, 0x4000_0000 + stream, &[(MID_ID, MID)]);
        flood.send(&attack.protect(&rtx)?)?;
    }
    let refused = 2 * STREAMS as usize - GUARDED;
    scene.assert_drops(&[("rtp_too_many_streams", refused)]).await?;
    let watched = attack.carol.reception();
    assert_eq!(
        (watched.streams.len(), watched.unreadable),
        (1, 0),
        "the watcher sees one stream, whatever its publisher's"
    );
    // One that has ended does not come back under its name.
    let ended = header_with(VideoCodec::Vp8.payload_type(), 2, 0x3000_0000, &[(MID_ID, MID)]);
    flood.send(&attack.protect(&[&ended[..], &KEY_FRAME].concat())?)?;
    scene.assert_drops(&[("rtp_too_many_streams", refused), ("rtp_unknown_stream", 1)]).await?;
    scene.end().await
}

#[tokio::test]
async fn padding_and_retransmissions_that_make_no_sense_are_dropped_by_reason() -> Result<(), PeerError> {
    let scene = Scene::set().await?;
    let mut attack = Attack::set(&scene).await?;
    attack.show(VideoCodec::Vp8).await?;
    let socket = attack.transport.socket()?;
    let mut flood = Flood::new(&socket, scene.target);

    // Of a stream that has not begun.
    for number in 0..50 {
        flood.send(&attack.repeat(number, 1000 + number)?)?;
    }
    // Too short for an original number: mere padding.
    for number in 50..60 {
        let header = header(0, VideoCodec::Vp8.payload_type() + 1, number, RTX_SSRC);
        flood.send(&attack.protect(&[&header[..], &[0][..usize::from(number % 2)]].concat())?)?;
    }
    for number in 1000..1050 {
        flood.send(&attack.media(number, &KEY_FRAME)?)?;
    }
    let mut recorded = Vec::new();
    for number in 0..50 {
        // Of what has come.
        flood.send(&attack.repeat(100 + number, 1000 + number)?)?;
        // Of what is too long ago to tell, or never was.
        flood.send(&attack.repeat(200 + number, number)?)?;
        // Of what is yet to come, and the same datagram once more.
        recorded.push(attack.repeat(300 + number, 1050 + number)?);
    }
    for _ in 0..2 {
        recorded.iter().try_for_each(|datagram| flood.send(datagram))?;
    }
    // Of what is missed, and once more under another number.
    flood.send(&attack.media(1060, &KEY_FRAME)?)?;
    for number in 0..20 {
        flood.send(&attack.repeat(400 + number, 1050 + number % 10)?)?;
    }
    // Padding alone, as much as there can be; and more padding than there is.
    for (number, padding) in (1061..).zip(1..=255) {
        let mut packet = header(0x20, VideoCodec::Vp8.payload_type(), number, SSRC);
        packet.resize(packet.len() + usize::from(padding) - 1, 0);
        packet.push(padding);
        flood.send(&attack.protect(&packet)?)?;
    }
    for (number, payload_len) in (1400..).zip(0..200) {
        let mut packet = header(0x20, VideoCodec::Vp8.payload_type(), number, SSRC);
        packet.extend_from_slice(&KEY_FRAME);
        packet.resize(packet.len() + payload_len, 0);
        packet.push(if number % 2 == 0 { 0 } else { 255 });
        flood.send(&attack.protect(&packet)?)?;
        let mut again = header(0x20, VideoCodec::Vp8.payload_type() + 1, number, RTX_SSRC);
        again.extend_from_slice(&[9, 9, 0]);
        flood.send(&attack.protect(&again)?)?;
    }
    let expected = [("rtx_malformed", 50), ("rtx_unwanted", 160), ("srtp_replayed", 50), ("rtp_malformed", 400)];
    scene.assert_drops(&expected).await?;
    scene.end().await
}

/// For each codec, the front of a key frame and how many bytes of it are needed at least; fewer, but not none, are no payload
/// of it.
const FRONTS: [(VideoCodec, &[u8], &[usize]); 6] = [
    // X S; I L T K; a long picture id; TL0PICIDX; TID and KEYIDX; the frame.
    (VideoCodec::Vp8, &[0x90, 0xf0, 0x92, 0x34, 0x56, 0x23, 0x10, 0, 0], &[1, 2, 3, 4, 5, 6]),
    // I L B V; a long picture id; layers; TL0PICIDX; the structure.
    (VideoCodec::Vp9, &[0xaa, 0x92, 0x34, 0, 0x56, 0x18, 0x02, 0x80], &[1, 2, 3, 4, 5]),
    // I P L F B; a long picture id; layers; three references; the frame.
    (VideoCodec::Vp9, &[0xf8, 0x92, 0x34, 0, 3, 5, 6, 0x10], &[1, 2, 3, 4, 5, 6, 7]),
    // A STAP-A of two units: it can only end where one of them does.
    (VideoCodec::H264, &[0x78, 0, 3, 0x67, 0x42, 0xe0, 0, 2, 0x68, 0xce], &[1, 2, 3, 4, 5, 7, 8, 9]),
    // An FU-A without its header.
    (VideoCodec::H264, &[0x7c, 0x87, 0x42], &[1]),
    // The header alone is AV1's; one that continues and begins a sequence contradicts itself, however long.
    (VideoCodec::Av1, &[0x88, 0x0a, 0x0b], &[1, 2, 3]),
];

/// Past the shard's gathering of datagrams, so that they do not come after their producer's close.
const GATHER_TIME: Duration = Duration::from_millis(50);

/// Sends packets of one codec after another.
struct Payloads<'a> {
    attack: Attack,
    flood: Flood<'a>,
    sequence: u16,
}

impl Payloads<'_> {
    fn send(&mut self, codec: VideoCodec, payload: &[u8], descriptor: Option<&[u8]>) -> Result<(), PeerError> {
        self.sequence += 1;
        let elements = descriptor.map_or_else(Vec::new, |value| vec![(DEPENDENCY_DESCRIPTOR_ID, value)]);
        let header = header_with(codec.payload_type(), self.sequence, SSRC, &elements);
        Ok(self.flood.send(&self.attack.protect(&[&header[..], payload].concat())?)?)
    }
}

#[tokio::test]
async fn payload_descriptors_cut_at_every_byte_are_dropped_as_malformed() -> Result<(), PeerError> {
    const NOISE: usize = 300;
    let scene = Scene::set().await?;
    let attack = Attack::set(&scene).await?;
    let socket = attack.transport.socket()?;
    let mut payloads = Payloads { attack, flood: Flood::new(&socket, scene.target), sequence: 0 };
    let mut malformed = 0;
    for (codec, front, refused) in FRONTS {
        let shown = payloads.attack.show(codec).await?;
        for len in 0..=front.len() {
            payloads.send(codec, &front[..len], None)?;
        }
        malformed += refused.len();
        if codec == VideoCodec::Av1 {
            // A dependency descriptor has three bytes at least.
            payloads.send(codec, &[0x18, 0x0a], Some(&[0x80]))?;
            payloads.send(codec, &[0x18, 0x0a], Some(&[0x80, 0]))?;
            malformed += 2;
        }
        sleep(GATHER_TIME).await;
        payloads.attack.mallory.close_producer(&shown.producer_id).await?;
    }
    scene.assert_drops(&[("payload_malformed", malformed)]).await?;

    let mut random = StdRng::seed_from_u64(7741);
    for codec in [VideoCodec::Vp8, VideoCodec::Vp9, VideoCodec::H264, VideoCodec::Av1] {
        let shown = payloads.attack.show(codec).await?;
        for _ in 0..NOISE {
            let mut payload = vec![0; random.next_u32() as usize % 40];
            let mut value = vec![0; 1 + random.next_u32() as usize % 16];
            random.fill_bytes(&mut payload);
            random.fill_bytes(&mut value);
            payloads.send(codec, &payload, (codec == VideoCodec::Av1).then_some(&value))?;
        }
        sleep(GATHER_TIME).await;
        payloads.attack.mallory.close_producer(&shown.producer_id).await?;
    }
    let drops = scene.drops_until(malformed + 1).await?;
    assert_eq!(drops.keys().collect::<Vec<_>>(), ["payload_malformed"], "{drops:?}");
    scene.end().await
}
