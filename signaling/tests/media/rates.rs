//! A participant who sends more than it may, and lies about time and order.

use std::sync::Arc;
use std::time::Duration;

use peer::{Participant, PeerError, Transport, VideoCodec, VideoEncoding};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tokio::time::sleep;

use crate::flood::Flood;
use crate::packet::{header_with, sender_report};
use crate::scene::Scene;

const SSRC: u32 = 0x6d61_6c6c;
/// The extension id that numbers all packets of a transport.
const TRANSPORT_SEQUENCE_ID: u8 = 3;
/// Who watch the attacker, so that each of its packets costs more.
const WATCHERS: [&str; 3] = ["carol", "dave", "erin"];

/// Joins a participant who has announced a camera, and some who watch it.
async fn join_mallory(scene: &Scene) -> Result<(Participant, Arc<Transport>, Vec<Participant>), PeerError> {
    let mut mallory = scene.join_call("mallory").await?;
    let transport = mallory.open_send(mallory.transport_options()).await?;
    let encoding = VideoEncoding { ssrc: SSRC, rtx_ssrc: SSRC + 1, rid: None };
    let shown = mallory.produce_video(VideoCodec::Vp8, vec![encoding], "m").await?;
    let mut watchers = Vec::new();
    for user in WATCHERS {
        let mut watcher = scene.join_call(user).await?;
        watcher.consume(&shown.producer_id).await?;
        watchers.push(watcher);
    }
    Ok((mallory, transport, watchers))
}

/// A packet with `payload_len` bytes, the first of a key frame every now and then, and a transport-wide number.
fn packet(sequence: u16, number: u16, payload_len: usize) -> Vec<u8> {
    let mut packet =
        header_with(VideoCodec::Vp8.payload_type(), sequence, SSRC, &[(TRANSPORT_SEQUENCE_ID, &number.to_be_bytes())]);
    packet.extend_from_slice(if sequence.is_multiple_of(50) { &[0x10, 0x10] } else { &[0x00, 0x11] });
    packet.resize(packet.len() + payload_len.saturating_sub(2), 7);
    packet
}

#[tokio::test]
async fn a_publisher_far_over_its_rate_is_cut_to_it_in_bytes_and_in_packets() -> Result<(), PeerError> {
    for (packets, payload_len) in [(6000, 1100), (30_000, 2)] {
        let scene = Scene::set().await?;
        let (_mallory, transport, _watchers) = join_mallory(&scene).await?;
        let socket = transport.socket()?;
        let protect = |number: usize| transport.protect_rtp(&packet(number as u16, number as u16, payload_len));
        // Made before, so that nothing but the service slows the flood down.
        let datagrams = (0..packets).map(protect).collect::<Result<Vec<_>, _>>()?;
        let mut flood = Flood::new(&socket, scene.target);
        for datagram in &datagrams {
            flood.send(datagram)?;
        }
        let drops = scene.drops_until(packets).await?;
        assert_eq!(drops.keys().collect::<Vec<_>>(), ["rtp_over_rate"], "{drops:?}");
        assert!(drops["rtp_over_rate"] > packets as u64 / 3, "{drops:?} of {packets} packets of {payload_len} bytes");
        scene.end().await?;
    }
    Ok(())
}

#[tokio::test]
async fn lies_about_the_clock_and_jumping_numbers_harm_nobody() -> Result<(), PeerError> {
    let scene = Scene::set().await?;
    let (_mallory, transport, watchers) = join_mallory(&scene).await?;
    let mut random = StdRng::seed_from_u64(3550);
    let told_before = transport.reception().rtcp_packets;
    let mut sequence = 0_u16;
    for round in 0..300 {
        for _ in 0..5 {
            let number = match round % 3 {
                // Back and forth; by leaps that no network makes; anywhere.
                0 => sequence ^ 0x20,
                1 => sequence.wrapping_mul(511),
                _ => random.next_u32() as u16,
            };
            transport.send_raw(&transport.protect_rtp(&packet(sequence, number, 100))?)?;
            sequence += 1;
        }
        let report = sender_report(SSRC, random.next_u64(), random.next_u32());
        transport.send_raw(&transport.protect_rtcp(&report)?)?;
        sleep(Duration::from_millis(8)).await;
    }
    scene.assert_drops(&[]).await?;
    assert!(transport.reception().rtcp_packets > told_before + 10, "the service told of the arrivals");
    for watcher in &watchers {
        let reception = watcher.reception();
        let stream = reception.streams.values().next().ok_or_else(|| PeerError::TimedOut("the camera".into()))?;
        assert_eq!((stream.sequence_gaps, reception.unreadable), (0, 0));
    }
    scene.end().await
}
