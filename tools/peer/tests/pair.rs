//! Two transports of the peer against one another: one as a browser, one as a lite agent in the service's place.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use peer::{
    Direction, DtlsRole, Gate, IceMode, PeerError, Reception, SrtpProfile, Transport, TransportOptions, VoicePayload,
};
use rtp::header::Header;
use rtp::packet::Packet;
use tokio::time::{sleep, timeout};

/// The transport in the browser's place, and the one in the service's.
async fn connect(browser: TransportOptions, service: TransportOptions) -> Result<(Transport, Transport), PeerError> {
    let service = TransportOptions { ice_mode: IceMode::Lite, ..service };
    let (browser, service) = (Transport::open(browser)?, Transport::open(service)?);
    let mut browser_as_remote = browser.as_remote()?;
    browser_as_remote.address = None;
    service.connect(browser_as_remote);
    browser.connect(service.as_remote()?);
    let (browser_outcome, service_outcome) = tokio::join!(browser.connected(), service.connected());
    browser_outcome.and(service_outcome)?;
    Ok((browser, service))
}

fn roles(browser: DtlsRole) -> (TransportOptions, TransportOptions) {
    let service = match browser {
        DtlsRole::Client => DtlsRole::Server,
        DtlsRole::Server => DtlsRole::Client,
    };
    let options = |dtls_role| TransportOptions { dtls_role, ..TransportOptions::default() };
    (options(browser), options(service))
}

fn voice(counter: u16) -> Packet {
    let header = Header { version: 2, payload_type: 111, sequence_number: counter, ssrc: 77, ..Header::default() };
    let payload = VoicePayload { publisher: 5, counter: counter.into(), sent_at_ns: 0 };
    Packet { header, payload: Bytes::from(payload.encode(VoicePayload::LEN)) }
}

/// Waits until `is_reached`; the bound is met by a hang alone.
async fn reception_until(
    transport: &Transport,
    is_reached: impl Fn(&Reception) -> bool,
) -> Result<Reception, PeerError> {
    let waiting = async {
        loop {
            let reception = transport.reception();
            if is_reached(&reception) {
                return reception;
            }
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(Duration::from_secs(10), waiting).await.map_err(|_| PeerError::TimedOut("the packets".into()))
}

#[tokio::test]
async fn voice_and_reports_pass_in_both_roles_and_all_profiles() {
    for role in [DtlsRole::Client, DtlsRole::Server] {
        for profile in SrtpProfile::ALL {
            let (browser, service) = roles(role);
            let browser = TransportOptions { profiles: vec![profile], ..browser };
            let (browser, service) = connect(browser, service).await.expect("they connect");
            assert_eq!((browser.profile(), service.profile()), (Some(profile), Some(profile)));
            for counter in 0..50 {
                browser.send_rtp(&voice(counter)).expect("it is sent");
            }
            let is_all = |reception: &Reception| {
                reception.from_publisher(5).is_some_and(|stream| stream.packets == 50) && reception.rtcp_packets >= 2
            };
            let reception = reception_until(&service, is_all).await.expect("all arrive");
            assert_eq!((reception.unreadable, reception.streams[&77].altered), (0, 0));
            assert_eq!((reception.streams[&77].lost, reception.streams[&77].repeats), (0, 0));
        }
    }
}

#[tokio::test]
async fn a_repeated_packet_is_counted_and_a_forged_one_is_not_read() {
    let (browser, service) = roles(DtlsRole::Client);
    let (browser, service) = connect(browser, service).await.expect("they connect");
    browser.send_rtp(&voice(0)).expect("it is sent");
    let packet = rtp_util::marshal::Marshal::marshal(&voice(1)).expect("it can be written");
    let protected = browser.protect_rtp(&packet).expect("it can be protected");
    let mut forged = protected.to_vec();
    forged[40] ^= 1;
    for datagram in [&forged, &protected.to_vec(), &protected.to_vec()] {
        browser.send_raw(datagram).expect("it is sent");
    }
    let is_repeated = |reception: &Reception| reception.streams.get(&77).is_some_and(|stream| stream.repeats == 1);
    let reception = reception_until(&service, is_repeated).await.expect("the repeat arrives");
    assert_eq!((reception.unreadable, reception.streams[&77].packets), (1, 2));
}

#[tokio::test]
async fn any_one_lost_handshake_datagram_is_recovered_from() {
    for role in [DtlsRole::Client, DtlsRole::Server] {
        for direction in [Direction::Outbound, Direction::Inbound] {
            // Each side sends three flights, each of one datagram.
            for place in 0..3 {
                let (browser, service) = roles(role);
                let is_lost = Arc::new(AtomicBool::new(false));
                let gate = Some(lose_dtls(direction, place, Arc::clone(&is_lost)));
                let outcome = connect(TransportOptions { gate, ..browser }, service).await;
                assert!(outcome.is_ok(), "{role:?} {direction:?} {place}: {:?}", outcome.err());
                assert!(is_lost.load(Ordering::Relaxed), "{role:?} {direction:?} has no datagram {place}");
            }
        }
    }
}

#[tokio::test]
async fn a_certificate_with_another_fingerprint_is_refused() {
    let (browser, service) = roles(DtlsRole::Client);
    let announced_fingerprint = Some(["00"; 32].join(":"));
    let service = TransportOptions { announced_fingerprint, ..service };
    let outcome = connect(browser, service).await;
    assert!(matches!(outcome, Err(PeerError::Dtls(_))), "{:?}", outcome.err());
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
