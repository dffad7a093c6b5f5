//! A receiver who asks for too much: packets again, and key frames.

use std::time::{Duration, Instant};

use peer::{Consumed, Participant, PeerError};
use tokio::time::sleep;

use crate::packet::{full_intra_requests, lost, picture_loss};
use crate::scene::Scene;

/// What one receiver of one stream may have again in a second, and at once.
const RETRANSMITTED_MAX_BYTES: u64 = 250_000;
/// How long a flood lasts.
const FLOOD_TIME: Duration = Duration::from_secs(2);
/// How often a flood pauses, so that the attacker's own packets are taken.
const PAUSE: Duration = Duration::from_millis(1);
/// Messages of one compound: with their bodies they fill a datagram.
const MESSAGES: usize = 20;

/// Joins a participant who watches one of the call's cameras.
async fn join_mallory(scene: &Scene) -> Result<(Participant, Consumed), PeerError> {
    let mut mallory = scene.join_call("mallory").await?;
    let consumed = mallory.consume(&scene.call.alice.camera.shown().producer_id).await?;
    for _ in 0..100 {
        if mallory.reception().streams.contains_key(&consumed.ssrc) {
            return Ok((mallory, consumed));
        }
        sleep(Duration::from_millis(50)).await;
    }
    Err(PeerError::TimedOut("the camera's first picture".into()))
}

/// Sends what `compound` gives, again and again; gives how long that took.
async fn flood(mallory: &Participant, compound: impl Fn() -> Vec<u8>) -> Result<Duration, PeerError> {
    let transport = mallory.receive_transport().ok_or_else(|| PeerError::TimedOut("a transport".into()))?;
    let begun = Instant::now();
    while begun.elapsed() < FLOOD_TIME {
        for _ in 0..4 {
            transport.send_raw(&transport.protect_rtcp(&compound())?)?;
        }
        sleep(PAUSE).await;
    }
    Ok(begun.elapsed())
}

#[tokio::test]
async fn a_flood_of_requests_for_packets_is_answered_within_its_senders_budget() -> Result<(), PeerError> {
    let scene = Scene::set().await?;
    let (mallory, consumed) = join_mallory(&scene).await?;
    let rtx_ssrc = consumed.rtx_ssrc.ok_or_else(|| PeerError::Protocol("a camera without retransmissions".into()))?;
    let took = flood(&mallory, || {
        let streams = mallory.reception().streams;
        let newest = streams.get(&consumed.ssrc).and_then(|stream| stream.latest_sequence()).unwrap_or_default();
        // What has just come, what came long ago and what is yet to come.
        let firsts = |age: u16| (0..15).map(move |step| newest.wrapping_sub(age + 17 * step));
        let ages = (0..MESSAGES as u16).map(|n| [17, 17, 5000, 60_000][usize::from(n) % 4]);
        ages.flat_map(|age| lost(consumed.ssrc, firsts(age))).collect()
    })
    .await?;
    sleep(Duration::from_millis(300)).await;
    let again = mallory.reception().retransmissions.get(&rtx_ssrc).copied().unwrap_or_default();
    assert!(again.packets > 0 && again.altered == 0, "{again:?}");
    let allowed = RETRANSMITTED_MAX_BYTES * (2 + took.as_secs());
    assert!(again.payload_bytes < allowed, "{again:?} in {took:?}");
    let drops = scene.drops().await?;
    assert_eq!(drops.keys().collect::<Vec<_>>(), ["retransmission_refused"], "{drops:?}");
    let asked = [&scene.call.alice, &scene.call.bob].map(|victim| victim.send.wishes_since(0).len());
    assert!(asked[0] + asked[1] < 100, "the publishers are not asked for it: {asked:?}");
    scene.end().await
}

#[tokio::test]
async fn a_flood_of_requests_for_key_frames_costs_one_a_second() -> Result<(), PeerError> {
    let scene = Scene::set().await?;
    let (mallory, consumed) = join_mallory(&scene).await?;
    let cameras = || [&scene.call.alice, &scene.call.bob].map(|victim| victim.camera.key_frames_asked_ns().len());
    let mut strangers = vec![0, 1, u32::MAX];
    for victim in [&scene.call.alice, &scene.call.bob] {
        strangers.push(victim.published.ssrc);
        strangers.extend(victim.camera.shown().encodings.iter().flat_map(|known| [known.ssrc, known.rtx_ssrc]));
    }
    strangers.extend(consumed.rtx_ssrc);
    let before = cameras();
    flood(&mallory, || {
        let losses = strangers.iter().copied().flat_map(picture_loss);
        losses.chain(full_intra_requests(strangers.iter().copied().cycle().take(100))).collect()
    })
    .await?;
    assert_eq!(cameras(), before, "somebody was asked for a stream that the attacker does not watch");

    let took = flood(&mallory, || {
        let losses = (0..MESSAGES).flat_map(|_| picture_loss(consumed.ssrc));
        losses.chain(full_intra_requests([consumed.ssrc; 100])).collect()
    })
    .await?;
    let after = cameras();
    let asked = after[0] - before[0];
    assert!((2..=1 + took.as_secs() as usize).contains(&asked), "{asked} key frames in {took:?}");
    assert_eq!(after[1], before[1], "nobody asked for the other camera");
    scene.assert_drops(&[]).await?;
    scene.end().await
}
