//! A participant who is let in and misbehaves: everything here is protected with keys that the service accepts.

use std::sync::Arc;

use peer::{Participant, PeerError, Transport};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use crate::flood::Flood;
use crate::packet::{header, header_with};
use crate::scene::Scene;

/// Opus, as the participant negotiates it.
const PAYLOAD_TYPE: u8 = 111;
/// The participant's only stream.
const SSRC: u32 = 0x6d61_6c6c;
/// Streams that nobody announced.
const STREAMS: u32 = 5000;

/// Joins a participant who has announced one microphone and is silent.
async fn join_mallory(scene: &Scene) -> Result<(Participant, Arc<Transport>), PeerError> {
    let mut mallory = scene.join("mallory").await?;
    let transport = mallory.open_send(mallory.transport_options()).await?;
    mallory.produce_audio(SSRC, "0").await?;
    Ok((mallory, transport))
}

/// A header that names a MID.
fn header_with_mid(sequence: u16, ssrc: u32, mid: u8) -> Vec<u8> {
    header_with(PAYLOAD_TYPE, sequence, ssrc, &[(4, &[mid])])
}

#[tokio::test]
async fn padding_that_does_not_fit_is_malformed() -> Result<(), PeerError> {
    let scene = Scene::set().await?;
    let (_mallory, transport) = join_mallory(&scene).await?;
    let socket = transport.socket()?;
    let mut flood = Flood::new(&socket, scene.target);
    for (sequence, (payload_len, padding_len)) in
        [(1, 0), (1, 2), (1, 255), (20, 0), (20, 21), (160, 161), (160, 255)].into_iter().cycle().take(700).enumerate()
    {
        let mut packet = header(0x20, PAYLOAD_TYPE, sequence as u16, SSRC);
        packet.resize(packet.len() + payload_len - 1, 9);
        packet.push(padding_len);
        flood.send(&transport.protect_rtp(&packet)?)?;
    }
    scene.assert_drops(&[("rtp_malformed", flood.sent())]).await?;
    scene.end().await
}

#[tokio::test]
async fn headers_that_reach_beyond_their_packet_are_malformed() -> Result<(), PeerError> {
    let scene = Scene::set().await?;
    let (_mallory, transport) = join_mallory(&scene).await?;
    let socket = transport.socket()?;
    let mut flood = Flood::new(&socket, scene.target);
    for sequence in 0..200 {
        // Fifteen contributing sources where there is room for ten.
        let mut sources = header(0x0f, PAYLOAD_TYPE, sequence, SSRC);
        sources.resize(12 + 40, 0);
        flood.send(&sources)?;
        // Extensions of more words than the packet has, up to the most that can be said.
        for words in [10_u16, 11, 0x7fff, 0xffff] {
            let mut extended = header(0x10, PAYLOAD_TYPE, sequence, SSRC);
            extended.extend_from_slice(&[0xbe, 0xde]);
            extended.extend_from_slice(&words.to_be_bytes());
            extended.resize(12 + 4 + 39, 0);
            flood.send(&extended)?;
        }
        // A header that ends before the extension's length.
        flood.send(&header(0x10, PAYLOAD_TYPE, sequence, SSRC))?;
    }
    scene.assert_drops(&[("rtp_malformed", flood.sent())]).await?;
    scene.end().await
}

#[tokio::test]
async fn payload_types_that_were_not_negotiated_are_dropped() -> Result<(), PeerError> {
    let scene = Scene::set().await?;
    let (_mallory, transport) = join_mallory(&scene).await?;
    let socket = transport.socket()?;
    let mut flood = Flood::new(&socket, scene.target);
    // Those from 64 to 95 with a marker would be RTCP; without one they are RTP.
    for (sequence, payload_type) in (0..128).filter(|kind| *kind != PAYLOAD_TYPE).enumerate() {
        let mut packet = header(0, payload_type, sequence as u16, SSRC);
        packet.extend_from_slice(&[9; 100]);
        flood.send(&transport.protect_rtp(&packet)?)?;
    }
    scene.assert_drops(&[("rtp_unknown_payload_type", flood.sent())]).await?;
    scene.end().await
}

#[tokio::test]
async fn thousands_of_streams_and_foreign_mids_are_dropped_or_bounded() -> Result<(), PeerError> {
    let mut scene = Scene::set().await?;
    let (_mallory, transport) = join_mallory(&scene).await?;
    let socket = transport.socket()?;
    let mut flood = Flood::new(&socket, scene.target);
    for stream in 0..STREAMS {
        let mut nameless = header(0, PAYLOAD_TYPE, 1, stream);
        nameless.extend_from_slice(&[9; 100]);
        flood.send(&transport.protect_rtp(&nameless)?)?;
        // MIDs are the publisher's own: what another one calls its stream means nothing here.
        let mut foreign = header_with_mid(1, stream, b'1' + (stream % 9) as u8);
        foreign.extend_from_slice(&[9; 100]);
        flood.send(&transport.protect_rtp(&foreign)?)?;
    }
    scene.assert_drops(&[("rtp_unknown_stream", flood.sent())]).await?;

    // A publisher may start over with another SSRC under its own MID; it may not fill memory that way.
    scene.rebase().await?;
    for stream in 0..STREAMS {
        let mut renamed = header_with_mid(1, 0x1000_0000 + stream, b'0');
        renamed.extend_from_slice(&[9; 100]);
        flood.send(&transport.protect_rtp(&renamed)?)?;
    }
    scene.end().await
}

/// A compound that is good: a report about one stream, a name, a round-trip probe, a goodbye.
fn good_compound() -> Vec<u8> {
    let ssrc = SSRC.to_be_bytes();
    let mut bytes = Vec::new();
    // Receiver report with one block.
    bytes.extend_from_slice(&[0x81, 201, 0, 7]);
    bytes.extend_from_slice(&ssrc);
    bytes.extend_from_slice(&[5; 24]);
    // Source description: one chunk, CNAME of four bytes, the end, padding to a word.
    bytes.extend_from_slice(&[0x81, 202, 0, 3]);
    bytes.extend_from_slice(&ssrc);
    bytes.extend_from_slice(&[1, 4, b'p', b'e', b'e', b'r', 0, 0]);
    // Extended report: receiver reference time.
    bytes.extend_from_slice(&[0x80, 207, 0, 4]);
    bytes.extend_from_slice(&ssrc);
    bytes.extend_from_slice(&[4, 0, 0, 2, 1, 2, 3, 4, 5, 6, 7, 8]);
    // Goodbye.
    bytes.extend_from_slice(&[0x81, 203, 0, 1]);
    bytes.extend_from_slice(&ssrc);
    bytes
}

#[tokio::test]
async fn compounds_that_do_not_hold_together_are_dropped() -> Result<(), PeerError> {
    let scene = Scene::set().await?;
    let (_mallory, transport) = join_mallory(&scene).await?;
    let socket = transport.socket()?;
    let mut flood = Flood::new(&socket, scene.target);
    let good = good_compound();
    // The first packet ends at 32, the second at 48, the third at 68.
    let boundaries = [32, 48, 68];
    let mut malformed = 0;
    for len in (8..good.len()).filter(|len| !boundaries.contains(len)) {
        flood.send(&transport.protect_rtcp(&good[..len])?)?;
        malformed += 1;
    }
    // Lengths that lie, in each of the packets' headers.
    for at in [0, 32, 48, 68] {
        for length in [20_u16, 300, 0x7fff, 0xffff] {
            let mut lying = good.clone();
            lying[at + 2..at + 4].copy_from_slice(&length.to_be_bytes());
            flood.send(&transport.protect_rtcp(&lying)?)?;
            malformed += 1;
        }
    }
    // More blocks than the report has room for.
    for count in 2..=31 {
        let mut lying = good.clone();
        lying[0] = 0x80 | count;
        flood.send(&transport.protect_rtcp(&lying)?)?;
        malformed += 1;
    }
    // Another version behind the first packet, and padding before the last.
    for (at, flags) in [(32, 0x41), (32, 0x01), (48, 0xc0), (32, 0xa1), (0, 0xa1)] {
        let mut lying = good.clone();
        lying[at] = flags;
        flood.send(&transport.protect_rtcp(&lying)?)?;
        malformed += 1;
    }
    scene.assert_drops(&[("rtcp_malformed", malformed)]).await?;
    scene.end().await
}

#[tokio::test]
async fn random_reports_under_good_keys_are_survived() -> Result<(), PeerError> {
    let scene = Scene::set().await?;
    let (_mallory, transport) = join_mallory(&scene).await?;
    let socket = transport.socket()?;
    let mut flood = Flood::new(&socket, scene.target);
    let mut random = StdRng::seed_from_u64(3550);
    for round in 0..3000 {
        let mut report = good_compound();
        match round % 3 {
            0 => random.fill_bytes(&mut report[8..]),
            1 => random.fill_bytes(&mut report[1..4]),
            _ => {
                let bit = 8 + random.next_u32() as usize % ((report.len() - 1) * 8);
                report[bit / 8] ^= 1 << (bit % 8);
            }
        }
        // The first packet type decides that it is RTCP at all.
        report[1] = 192 + report[1] % 32;
        flood.send(&transport.protect_rtcp(&report)?)?;
    }
    let drops = scene.drops().await?;
    assert!(drops.keys().all(|reason| reason == "rtcp_malformed"), "{drops:?}");
    scene.end().await
}
