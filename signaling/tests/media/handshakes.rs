//! DTLS: floods at every stage, single losses in both roles, wrong fingerprints, and each SRTP profile alone.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use peer::{
    Direction, DtlsRole, Gate, IceMode, Participant, PeerError, Service, SrtpProfile, Transport, TransportOptions,
};
use serde_json::json;
use tokio::time::sleep;

use crate::flood::Flood;
use crate::scene::{Scene, start_service};

/// ClientHellos of one flood.
const HELLOS: usize = 3000;
/// Fragments of one byte: as many as once overflowed a stack.
const FRAGMENTS: usize = 40_000;
/// How long a call of a test is listened to.
const LISTEN_TIME: Duration = Duration::from_millis(600);

/// A ClientHello as a participant sends it, taken from a handshake of two transports in this process.
async fn client_hello() -> Result<Vec<u8>, PeerError> {
    let first = Arc::new(Mutex::new(Vec::new()));
    let keep = Arc::clone(&first);
    let gate: Gate = Box::new(move |direction, datagram| {
        let mut first = keep.lock().unwrap_or_else(PoisonError::into_inner);
        if direction == Direction::Outbound && datagram.first() == Some(&22) && first.is_empty() {
            *first = datagram.to_vec();
        }
        true
    });
    let client = Transport::open(TransportOptions { gate: Some(gate), ..TransportOptions::default() })?;
    let server = Transport::open(TransportOptions {
        ice_mode: IceMode::Lite,
        dtls_role: DtlsRole::Server,
        ..TransportOptions::default()
    })?;
    server.connect(client.as_remote()?);
    client.connect(server.as_remote()?);
    client.connected().await?;
    let hello = first.lock().unwrap_or_else(PoisonError::into_inner).clone();
    assert!(hello.len() > 50, "no ClientHello was recorded");
    Ok(hello)
}

/// A record of DTLS 1.2.
fn record(content: u8, epoch: u16, sequence: u64, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![content, 0xfe, 0xfd];
    bytes.extend_from_slice(&epoch.to_be_bytes());
    bytes.extend_from_slice(&sequence.to_be_bytes()[2..]);
    bytes.extend_from_slice(&(payload.len() as u16).to_be_bytes());
    bytes.extend_from_slice(payload);
    bytes
}

/// A fragment of a Certificate of 8000 bytes.
fn fragment(offset: u32, body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![11, 0, 0x1f, 0x40, 0, 2];
    bytes.extend_from_slice(&offset.to_be_bytes()[1..]);
    bytes.extend_from_slice(&(body.len() as u32).to_be_bytes()[1..]);
    bytes.extend_from_slice(body);
    bytes
}

/// Whatever may come in a handshake and does no good, `count` of each.
fn send_junk(flood: &mut Flood<'_>, hello: &[u8], count: usize) -> Result<(), PeerError> {
    for round in 0..count {
        let sequence = round as u64;
        flood.send(hello)?;
        flood.send(&record(22, 0, sequence, &fragment(sequence as u32 % 8000, &[])))?;
        flood.send(&record(22, 0, sequence, &fragment(sequence as u32 % 8000, &[1])))?;
        flood.send(&record(22, 1, sequence, &[3; 48]))?;
        flood.send(&record(21, 0, sequence, &[2, 40]))?;
        flood.send(&record(21, 0, sequence, &[1, 0]))?;
        flood.send(&record(20, 0, sequence, &[1]))?;
        flood.send(&record(23, 1, sequence, &[5; 60]))?;
        // A ClientHello whose extensions do not fill their block.
        let mut cut = hello.to_vec();
        let end = cut.len() - 1;
        cut[end] = cut[end].wrapping_add(1);
        flood.send(&cut)?;
    }
    Ok(())
}

#[tokio::test]
async fn a_flood_of_hellos_from_strangers_never_reaches_a_handshake() -> Result<(), PeerError> {
    let scene = Scene::set().await?;
    let hello = client_hello().await?;
    let mut sent = 0;
    for _ in 0..10 {
        let stranger = scene.stranger()?;
        let mut flood = Flood::new(&stranger, scene.target);
        for _ in 0..HELLOS / 10 {
            flood.send(&hello)?;
        }
        sent += flood.sent();
    }
    scene.assert_drops(&[("unknown_address", sent)]).await?;
    scene.end().await
}

#[tokio::test]
async fn a_flood_before_the_address_is_valid_and_before_the_parameters_are_told_is_dropped() -> Result<(), PeerError> {
    let mut scene = Scene::set().await?;
    let hello = client_hello().await?;
    let mallory = scene.join("mallory").await?;
    let (id, remote) = mallory.create_transport("send").await?;
    let transport = Transport::open(mallory.transport_options())?;
    let socket = transport.socket()?;
    let mut flood = Flood::new(&socket, scene.target);
    send_junk(&mut flood, &hello, HELLOS / 9)?;
    scene.assert_drops(&[("unknown_address", flood.sent())]).await?;

    scene.rebase().await?;
    // The gate keeps the transport's own handshake away.
    transport.set_gate(Some(Box::new(|_, datagram| datagram.first() != Some(&22))));
    transport.connect(remote);
    transport.ice_connected().await?;
    let mut flood = Flood::new(&socket, scene.target);
    send_junk(&mut flood, &hello, HELLOS / 9)?;
    scene.assert_drops(&[("dtls_unexpected", flood.sent())]).await?;

    // After all of it the transport still connects.
    transport.set_gate(None);
    let fields = json!({ "transportId": id, "dtlsParameters": transport.dtls_parameters() });
    mallory.signaling().request("connectTransport", fields).await?;
    transport.connected().await?;
    scene.end().await
}

#[tokio::test]
async fn a_flood_within_a_handshake_hurts_nobody_else() -> Result<(), PeerError> {
    let scene = Scene::set().await?;
    let hello = client_hello().await?;
    let mallory = scene.join("mallory").await?;
    for direction in ["send", "recv"] {
        let (id, remote) = mallory.create_transport(direction).await?;
        let transport = Transport::open(mallory.transport_options())?;
        transport.set_gate(Some(Box::new(|_, datagram| datagram.first() != Some(&22))));
        mallory.start_transport(&id, &transport, remote).await?;
        transport.ice_connected().await?;
        let socket = transport.socket()?;
        let mut flood = Flood::new(&socket, scene.target);
        if direction == "send" {
            send_junk(&mut flood, &hello, HELLOS / 9)?;
        } else {
            for place in 0..FRAGMENTS as u32 {
                flood.send(&record(22, 0, place.into(), &fragment(place % 8000, &[1])))?;
            }
        }
        let drops = scene.drops_until(flood.sent() / 2).await?;
        let reasons = ["dtls_malformed", "dtls_unexpected", "dtls_overload"];
        assert!(drops.keys().all(|reason| reasons.contains(&reason.as_str())), "{drops:?}");
    }
    // Another one gets in meanwhile.
    let mut carol = scene.join("carol").await?;
    carol.open_send(carol.transport_options()).await?;
    scene.end().await
}

#[tokio::test]
async fn a_flood_after_the_handshake_does_not_end_it() -> Result<(), PeerError> {
    let scene = Scene::set().await?;
    let hello = client_hello().await?;
    let socket = scene.call.alice.send.socket()?;
    let mut flood = Flood::new(&socket, scene.target);
    send_junk(&mut flood, &hello, HELLOS / 9)?;
    scene.assert_drops(&[("dtls_unexpected", flood.sent())]).await?;
    scene.end().await
}

/// Loses the one DTLS datagram at `place` in `direction`, and tells when it has.
fn lose_dtls(direction: Direction, place: usize, is_lost: Arc<AtomicBool>) -> Gate {
    let mut passed = 0;
    Box::new(move |way, datagram| {
        let is_dtls = way == direction && datagram.first().is_some_and(|byte| (20..=63).contains(byte));
        passed += usize::from(is_dtls);
        let is_passing = !is_dtls || passed != place + 1;
        is_lost.fetch_or(!is_passing, Ordering::Relaxed);
        is_passing
    })
}

#[tokio::test]
async fn any_one_lost_datagram_of_a_handshake_is_recovered_from_in_both_roles() -> Result<(), PeerError> {
    let (service, _turn) = start_service().await?;
    for dtls_role in [DtlsRole::Client, DtlsRole::Server] {
        for direction in [Direction::Outbound, Direction::Inbound] {
            // Each side sends three flights, each of one datagram.
            for place in 0..3 {
                let case = format!("{dtls_role:?} {direction:?} {place}");
                let mut participant = Participant::join(service.join_options("alice", "lossy")?).await?;
                let is_lost = Arc::new(AtomicBool::new(false));
                let gate = Some(lose_dtls(direction, place, Arc::clone(&is_lost)));
                let options = TransportOptions { dtls_role, gate, ..participant.transport_options() };
                if let Err(error) = participant.open_send(options).await {
                    panic!("{case}: {error}\n{}", service.log());
                }
                let connected = |push: &serde_json::Value| push["dtlsState"] == "connected";
                participant.signaling().push("transportState", connected).await?;
                assert!(is_lost.load(Ordering::Relaxed), "{case}: there is no such datagram");
                participant.leave().await?;
            }
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_certificate_with_another_fingerprint_fails_the_transport() -> Result<(), PeerError> {
    let scene = Scene::set().await?;
    for (direction, dtls_role) in [("send", DtlsRole::Client), ("recv", DtlsRole::Server)] {
        let mallory = scene.join("mallory").await?;
        let (id, remote) = mallory.create_transport(direction).await?;
        let announced_fingerprint = Some(["5A"; 32].join(":"));
        let options = TransportOptions { dtls_role, announced_fingerprint, ..mallory.transport_options() };
        let transport = Transport::open(options)?;
        mallory.start_transport(&id, &transport, remote).await?;
        let of_this = |push: &serde_json::Value| push["transportId"] == id.as_str();
        let failed = |push: &serde_json::Value| of_this(push) && push["dtlsState"] == "failed";
        mallory.signaling().push("transportState", failed).await?;
        mallory.signaling().push("transportClosed", of_this).await?;
        mallory.leave().await?;
    }
    scene.end().await
}

/// Lets one speak and the other listen, both with these options, and checks what is heard.
async fn assert_heard(
    service: &Service,
    channel: &str,
    options: impl Fn(&Participant) -> TransportOptions,
) -> Result<Option<SrtpProfile>, PeerError> {
    let mut speaker = Participant::join(service.join_options("speaker", channel)?).await?;
    let mut listener = Participant::join(service.join_options("listener", channel)?).await?;
    let send = speaker.open_send(options(&speaker)).await?;
    listener.open_receive(options(&listener)).await?;
    let publisher = speaker.publish_audio().await?;
    listener.consume_next().await?;
    sleep(LISTEN_TIME).await;
    let number = publisher.published().publisher;
    publisher.stop();
    let reception = listener.reception();
    let stream = reception.from_publisher(number).cloned().unwrap_or_default();
    assert!(stream.packets >= 10, "{channel}: only {} packets were heard", stream.packets);
    assert_eq!([stream.lost, stream.repeats, stream.altered, reception.unreadable], [0; 4], "{channel}");
    speaker.leave().await?;
    listener.leave().await?;
    Ok(send.profile())
}

#[tokio::test]
async fn a_client_that_offers_one_profile_alone_is_served_with_it() -> Result<(), PeerError> {
    let (service, _turn) = start_service().await?;
    for dtls_role in [DtlsRole::Client, DtlsRole::Server] {
        for profile in SrtpProfile::ALL {
            let channel = format!("{dtls_role:?}-{profile:?}");
            let options = |participant: &Participant| TransportOptions {
                dtls_role,
                profiles: vec![profile],
                ..participant.transport_options()
            };
            assert_eq!(assert_heard(&service, &channel, options).await?, Some(profile));
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_client_that_offers_everything_is_served_with_gcm() -> Result<(), PeerError> {
    let (service, _turn) = start_service().await?;
    let profile = assert_heard(&service, "everything", Participant::transport_options).await?;
    assert_eq!(profile, Some(SrtpProfile::Aes128Gcm));
    Ok(())
}
