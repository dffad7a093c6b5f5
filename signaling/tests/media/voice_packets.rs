//! SRTP and SRTCP "from the victim's address": recorded and sent again, altered, or made with other keys.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use peer::{Direction, Gate, PeerError, Srtp, SrtpKeys, SrtpProfile, Transport};
use tokio::time::sleep;

use crate::flood::Flood;
use crate::scene::Scene;

/// Forgeries of one kind.
const ROUNDS: usize = 2000;
/// How long the victim is listened to: dozens of packets and more than one report.
const RECORD_TIME: Duration = Duration::from_millis(1300);

/// RTP and RTCP that a transport has sent.
#[derive(Clone, Default)]
struct Recorded {
    rtp: Vec<Vec<u8>>,
    rtcp: Vec<Vec<u8>>,
}

async fn record(transport: &Transport) -> Recorded {
    let recorded = Arc::new(Mutex::new(Recorded::default()));
    let keep = Arc::clone(&recorded);
    let gate: Gate = Box::new(move |direction, datagram| {
        if let (Direction::Outbound, [128..=191, kind, ..]) = (direction, datagram) {
            let mut recorded = keep.lock().unwrap_or_else(PoisonError::into_inner);
            let list = if (192..=223).contains(kind) { &mut recorded.rtcp } else { &mut recorded.rtp };
            list.push(datagram.to_vec());
        }
        true
    });
    transport.set_gate(Some(gate));
    sleep(RECORD_TIME).await;
    transport.set_gate(None);
    let recorded = recorded.lock().unwrap_or_else(PoisonError::into_inner).clone();
    assert!(recorded.rtp.len() > 20 && recorded.rtcp.len() > 1, "the victim sent too little to be recorded");
    recorded
}

/// Moves an RTP packet's sequence number ahead, to where the receiver has seen nothing.
fn ahead(packet: &[u8], by: u16) -> Vec<u8> {
    let mut moved = packet.to_vec();
    if let Some(field) = moved.get_mut(2..4) {
        let sequence = u16::from_be_bytes([field[0], field[1]]).wrapping_add(by);
        field.copy_from_slice(&sequence.to_be_bytes());
    }
    moved
}

#[tokio::test]
async fn a_storm_of_recorded_voice_and_reports_is_dropped_as_replayed() -> Result<(), PeerError> {
    let scene = Scene::set().await?;
    let victim = &scene.call.alice.send;
    let recorded = record(victim).await;
    let socket = victim.socket()?;
    let mut flood = Flood::new(&socket, scene.target);
    while flood.sent() < 5 * ROUNDS {
        for packet in recorded.rtp.iter().chain(&recorded.rtcp) {
            flood.send(packet)?;
        }
    }
    scene.assert_drops(&[("srtp_replayed", flood.sent())]).await?;
    scene.end().await
}

#[tokio::test]
async fn altered_voice_and_reports_are_dropped_as_unauthenticated() -> Result<(), PeerError> {
    let scene = Scene::set().await?;
    let victim = &scene.call.alice.send;
    let recorded = record(victim).await;
    let socket = victim.socket()?;
    let mut flood = Flood::new(&socket, scene.target);
    let newest = &recorded.rtp[recorded.rtp.len() - 1];
    // Far enough ahead that the victim's own packets do not get there meanwhile.
    let fresh = ahead(newest, 8000);
    for round in 0..ROUNDS {
        let mut forged = ahead(&fresh, (round % 1000) as u16);
        // Behind the longest header: ciphertext and tag.
        let bit = 40 * 8 + round % ((forged.len() - 40) * 8);
        forged[bit / 8] ^= 1 << (bit % 8);
        flood.send(&forged)?;
    }
    // A report is looked up by its index, which stands behind its ciphertext: a new one, or an altered body.
    let report = &recorded.rtcp[recorded.rtcp.len() - 1];
    let mut forged_reports = 0;
    for bit in 8 * 8..(report.len() - 30) * 8 {
        let mut forged = report.clone();
        forged[bit / 8] ^= 1 << (bit % 8);
        flood.send(&forged)?;
        forged_reports += 1;
    }
    let mut drops = scene.drops_until(ROUNDS + forged_reports).await?;
    let unauthenticated = drops.remove("srtp_unauthenticated").unwrap_or(0);
    // An altered report with an index that was seen may be taken for a replay before its tag is checked.
    let replayed = drops.remove("srtp_replayed").unwrap_or(0);
    assert!(unauthenticated >= ROUNDS as u64, "{unauthenticated} unauthenticated");
    assert_eq!(unauthenticated + replayed, (ROUNDS + forged_reports) as u64);
    assert_eq!(drops, Default::default(), "other reasons");
    scene.end().await
}

#[tokio::test]
async fn packets_under_other_keys_and_of_other_streams_leave_no_trace() -> Result<(), PeerError> {
    let scene = Scene::set().await?;
    let alice = &scene.call.alice;
    let profile = alice.send.profile().unwrap_or(SrtpProfile::Aes128Gcm);
    let socket = alice.send.socket()?;
    let mut flood = Flood::new(&socket, scene.target);
    let next = alice.publisher.preview()?;
    for round in 0..ROUNDS {
        let foreign = Srtp::new(&SrtpKeys::random(profile))?;
        let ours = ahead(&next, 8000 + (round % 1000) as u16);
        flood.send(&foreign.protect_rtp(&ours)?)?;
        // A stream that nobody announced, and that names no MID.
        let mut other = vec![0x80, 111, 0, round as u8, 0, 0, 0, 0];
        other.extend_from_slice(&rand::random::<u32>().to_be_bytes());
        other.extend_from_slice(&[7; 160]);
        flood.send(&foreign.protect_rtp(&other)?)?;
    }
    scene.assert_drops(&[("srtp_unauthenticated", ROUNDS), ("rtp_unknown_stream", ROUNDS)]).await?;
    scene.end().await
}

#[tokio::test]
async fn forged_reports_of_thousands_of_sources_leave_no_trace() -> Result<(), PeerError> {
    let scene = Scene::set().await?;
    let alice = &scene.call.alice;
    let profile = alice.send.profile().unwrap_or(SrtpProfile::Aes128Gcm);
    let foreign = Srtp::new(&SrtpKeys::random(profile))?;
    let socket = alice.send.socket()?;
    let mut flood = Flood::new(&socket, scene.target);
    for _ in 0..ROUNDS {
        let mut report = vec![0x80, 201, 0, 1];
        report.extend_from_slice(&rand::random::<u32>().to_be_bytes());
        flood.send(&foreign.protect_rtcp(&report)?)?;
    }
    scene.assert_drops(&[("srtp_unauthenticated", ROUNDS)]).await?;
    scene.end().await
}
