//! Noise: random, truncated and oversized datagrams.

use std::net::UdpSocket;

use peer::PeerError;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use crate::flood::Flood;
use crate::scene::Scene;

/// Lengths up to beyond what an Ethernet carries.
const LEN_MAX: usize = 1600;
/// Larger than any slot, up to the largest that UDP over IPv4 carries.
const OVERSIZED: [usize; 5] = [2049, 4096, 9000, 32_768, 65_507];

/// Random datagrams of every first byte and every length. Gives how many of each class of RFC 7983
/// were sent: STUN, what is nothing at all, and the rest.
fn send_noise(socket: &UdpSocket, scene: &Scene) -> Result<[usize; 3], PeerError> {
    let mut random = StdRng::seed_from_u64(7983);
    let mut flood = Flood::new(socket, scene.target);
    let mut sent = [0; 3];
    let mut bytes = [0; LEN_MAX];
    for first in 0..=255 {
        for len in 0..=LEN_MAX {
            random.fill_bytes(&mut bytes);
            bytes[0] = first;
            let class = match first {
                _ if len == 0 => 1,
                0..=3 => 0,
                20..=63 => 2,
                128..=191 if len > 1 => 2,
                _ => 1,
            };
            sent[class] += 1;
            flood.send(&bytes[..len])?;
        }
    }
    Ok(sent)
}

#[tokio::test]
async fn noise_from_a_stranger_is_dropped_by_class() -> Result<(), PeerError> {
    let scene = Scene::set().await?;
    let [stun, nothing, rest] = send_noise(&scene.stranger()?, &scene)?;
    scene.assert_drops(&[("stun_malformed", stun), ("unknown_protocol", nothing), ("unknown_address", rest)]).await?;
    scene.end().await
}

#[tokio::test]
async fn noise_from_a_victims_own_address_is_dropped_and_its_call_goes_on() -> Result<(), PeerError> {
    let scene = Scene::set().await?;
    let [stun, nothing, rest] = send_noise(&scene.call.alice.send.socket()?, &scene)?;
    let mut drops = scene.drops_until(stun + nothing + rest).await?;
    assert_eq!(drops.remove("stun_malformed"), Some(stun as u64));
    assert_eq!(drops.remove("unknown_protocol"), Some(nothing as u64));
    // What a random packet fails at first depends on its bytes; it fails at one of these, once.
    let reasons = [
        "dtls_malformed",
        "dtls_unexpected",
        "rtp_malformed",
        "rtp_unknown_stream",
        "rtcp_malformed",
        "srtp_unauthenticated",
    ];
    assert_eq!(reasons.iter().filter_map(|reason| drops.remove(*reason)).sum::<u64>(), rest as u64);
    assert_eq!(drops, Default::default(), "other reasons");
    scene.end().await
}

#[tokio::test]
async fn an_oversized_datagram_is_dropped_whoever_sends_it() -> Result<(), PeerError> {
    const ROUNDS: usize = 40;
    let scene = Scene::set().await?;
    let mut random = StdRng::seed_from_u64(2048);
    let mut bytes = vec![0; OVERSIZED[OVERSIZED.len() - 1]];
    for socket in [scene.stranger()?, scene.call.alice.send.socket()?, scene.call.bob.receive.socket()?] {
        let mut flood = Flood::new(&socket, scene.target);
        for round in 0..ROUNDS {
            random.fill_bytes(&mut bytes);
            bytes[0] = [0, 22, 128, 255][round % 4];
            for len in OVERSIZED {
                flood.send(&bytes[..len])?;
            }
        }
    }
    scene.assert_drops(&[("oversized", 3 * ROUNDS * OVERSIZED.len())]).await?;
    scene.end().await
}

#[tokio::test]
async fn every_truncation_of_real_packets_is_dropped() -> Result<(), PeerError> {
    let scene = Scene::set().await?;
    let alice = &scene.call.alice;
    let check = alice.send.binding_request().map(|request| request.encode()).transpose()?.unwrap_or_default();
    let packet = alice.send.protect_rtp(&alice.publisher.preview()?)?;
    let (stranger, victim) = (scene.stranger()?, alice.send.socket()?);
    let send_truncated = |socket: &UdpSocket, whole: &[u8]| -> Result<usize, PeerError> {
        let mut flood = Flood::new(socket, scene.target);
        for len in 1..whole.len() {
            flood.send(&whole[..len])?;
        }
        Ok(flood.sent())
    };
    let (checks, packets) = (send_truncated(&stranger, &check)?, send_truncated(&stranger, &packet)?);
    // One byte does not tell RTP from RTCP.
    let expected = [("stun_malformed", checks), ("unknown_protocol", 1), ("unknown_address", packets - 1)];
    scene.assert_drops(&expected).await?;

    let before: usize = expected.iter().map(|(_, count)| count).sum();
    let sent = send_truncated(&victim, &check)? + send_truncated(&victim, &packet)?;
    let drops = scene.drops_until(before + sent).await?;
    assert_eq!(drops.values().sum::<u64>(), (before + sent) as u64, "{drops:?}");
    scene.end().await
}
