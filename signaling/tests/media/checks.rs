//! Connectivity checks that are forged, stripped, replayed or not nominating.

use std::net::UdpSocket;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use peer::{BindingRequest, Direction, Gate, PeerError, Transport};
use tokio::time::sleep;

use crate::flood::Flood;
use crate::scene::Scene;

/// How long an answer may take to come over loopback; longer than the shard ever gathers.
const ANSWER_TIME: Duration = Duration::from_millis(300);
/// How often each kind of forgery is tried.
const ROUNDS: usize = 300;

fn request_of(transport: &Transport) -> Result<BindingRequest, PeerError> {
    transport.binding_request().ok_or_else(|| PeerError::TimedOut("the transport's parameters".into()))
}

/// What `socket` has received and not read, by first byte.
async fn received(socket: &UdpSocket) -> Result<Vec<u8>, PeerError> {
    sleep(ANSWER_TIME).await;
    socket.set_nonblocking(true)?;
    let mut buffer = [0; 2048];
    let mut first_bytes = Vec::new();
    while let Ok(len) = socket.recv(&mut buffer) {
        first_bytes.extend(buffer[..len].first());
    }
    Ok(first_bytes)
}

#[tokio::test]
async fn forged_and_stripped_checks_are_not_answered_and_move_nothing() -> Result<(), PeerError> {
    let scene = Scene::set().await?;
    let bob = request_of(&scene.call.bob.receive)?;
    let stranger = scene.stranger()?;
    let mut flood = Flood::new(&stranger, scene.target);
    for _ in 0..ROUNDS {
        let fresh = BindingRequest { transaction_id: rand::random(), ..bob.clone() };
        let wrong_ufrag = BindingRequest { username: format!("{:08x}:peer", rand::random::<u32>()), ..fresh.clone() };
        for forged in [
            BindingRequest { password: None, ..fresh.clone() },
            BindingRequest { is_fingerprinted: false, ..fresh.clone() },
            BindingRequest { password: None, is_fingerprinted: false, ..fresh.clone() },
            BindingRequest { password: Some(format!("{:032x}", rand::random::<u128>())), ..fresh },
            wrong_ufrag,
        ] {
            flood.send(&forged.encode()?)?;
        }
    }
    scene.assert_drops(&[("stun_unauthenticated", 4 * ROUNDS), ("stun_unknown_user", ROUNDS)]).await?;
    assert!(received(&stranger).await?.is_empty(), "a forged check was answered");
    scene.end().await
}

#[tokio::test]
async fn a_check_with_any_one_bit_flipped_is_not_answered() -> Result<(), PeerError> {
    let scene = Scene::set().await?;
    let whole = request_of(&scene.call.bob.receive)?.encode()?;
    let stranger = scene.stranger()?;
    let mut flood = Flood::new(&stranger, scene.target);
    for bit in 0..whole.len() * 8 {
        let mut flipped = whole.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        flood.send(&flipped)?;
    }
    // Whatever a bit breaks first, it breaks something.
    let drops = scene.drops_until(flood.sent()).await?;
    assert_eq!(drops.values().sum::<u64>(), flood.sent() as u64, "{drops:?}");
    assert!(received(&stranger).await?.is_empty(), "a forged check was answered");
    scene.end().await
}

#[tokio::test]
async fn a_recorded_check_from_another_address_is_a_replay() -> Result<(), PeerError> {
    let scene = Scene::set().await?;
    let bob = &scene.call.bob.receive;
    let recorded = Arc::new(Mutex::new(Vec::new()));
    bob.set_gate(Some(record_checks(Arc::clone(&recorded))));
    // Longer than between two checks for consent.
    sleep(Duration::from_secs(3)).await;
    bob.set_gate(None);
    let checks = recorded.lock().unwrap_or_else(PoisonError::into_inner).clone();
    assert!(!checks.is_empty(), "the listener sent no check");

    let stranger = scene.stranger()?;
    let mut flood = Flood::new(&stranger, scene.target);
    for _ in 0..ROUNDS {
        for check in &checks {
            flood.send(check)?;
        }
    }
    scene.assert_drops(&[("stun_replayed", flood.sent())]).await?;
    assert!(received(&stranger).await?.is_empty(), "a forged check was answered");
    scene.end().await
}

#[tokio::test]
async fn a_check_that_does_not_nominate_is_answered_and_moves_nothing() -> Result<(), PeerError> {
    let scene = Scene::set().await?;
    let request = BindingRequest { is_nominating: false, ..request_of(&scene.call.bob.receive)? };
    let elsewhere = scene.stranger()?;
    elsewhere.send_to(&request.encode()?, scene.target)?;
    let answers = received(&elsewhere).await?;
    assert_eq!(answers, [1], "one answer, and no media");
    scene.assert_drops(&[]).await?;
    scene.end().await
}

#[tokio::test]
async fn a_nominating_check_moves_the_stream_and_another_brings_it_back() -> Result<(), PeerError> {
    let scene = Scene::set().await?;
    let mut carol = scene.join("carol").await?;
    let publisher = carol.publish_audio().await?;
    let mut dave = peer::Participant::join(scene.service.join_options("dave", "carol")?).await?;
    dave.consume_next().await?;
    let transport = dave.receive_transport().cloned().ok_or_else(|| PeerError::TimedOut("a transport".into()))?;
    sleep(ANSWER_TIME).await;

    // The listener's own checks would bring the stream back at once.
    transport.set_gate(Some(Box::new(|_, datagram| datagram.first() != Some(&0))));
    let elsewhere = scene.stranger()?;
    elsewhere.send_to(&request_of(&transport)?.encode()?, scene.target)?;
    let moved = received(&elsewhere).await?;
    let media = moved.iter().filter(|byte| (128..=191).contains(*byte)).count();
    assert!(media > 5, "the stream did not follow the nomination: {moved:?}");

    transport.set_gate(None);
    transport.send_raw(&request_of(&transport)?.encode()?)?;
    sleep(ANSWER_TIME).await;
    received(&elsewhere).await?;
    let at_rest = received(&elsewhere).await?;
    assert!(at_rest.is_empty(), "the stream did not come back: {at_rest:?}");
    publisher.stop();
    scene.end().await
}

/// Lets everything pass and keeps the checks that go out.
fn record_checks(recorded: Arc<Mutex<Vec<Vec<u8>>>>) -> Gate {
    Box::new(move |direction, datagram| {
        if direction == Direction::Outbound && datagram.first() == Some(&0) {
            recorded.lock().unwrap_or_else(PoisonError::into_inner).push(datagram.to_vec());
        }
        true
    })
}
