//! Coalescing: under a stream a shard looks as seldom, or as often, as the operator has it look.

use std::net::{Ipv4Addr, UdpSocket};
use std::time::{Duration, Instant};

use peer::PeerError;
use tokio::time::sleep;

use crate::scene::start_service_with;

/// How long the stream is.
const STREAM: Duration = Duration::from_millis(600);
/// From one of its datagrams to the next.
const INTERVAL: Duration = Duration::from_millis(1);
/// Sleeps that have other reasons: those before and after the stream, and those for the figures.
const SLEEPS_ELSE: f64 = 20.0;

/// Sends the shard of a service with `--coalesce-us` so many datagrams of a stranger; how often it slept, and for how long they
/// came.
async fn sleeps_under_a_stream(coalesce_us: &str) -> Result<(f64, Duration), PeerError> {
    let (service, _turn) = start_service_with(&["--coalesce-us", coalesce_us]).await?;
    let stranger = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
    let before = service.metrics().await?.sum("voice_shard_sleeps_total", &[]);
    let began = Instant::now();
    while began.elapsed() < STREAM {
        stranger.send_to(&[0; 20], (Ipv4Addr::LOCALHOST, service.media_port()))?;
        sleep(INTERVAL).await;
    }
    let lasted = began.elapsed();
    let after = service.metrics().await?.sum("voice_shard_sleeps_total", &[]);
    Ok((after - before, lasted))
}

#[tokio::test]
async fn a_shard_looks_once_in_the_interval_that_it_is_told_and_without_one_for_each_datagram() -> Result<(), PeerError>
{
    let (coalesced, lasted) = sleeps_under_a_stream("20000").await?;
    let looks = lasted.as_secs_f64() / 0.02;
    assert!(coalesced <= looks + SLEEPS_ELSE, "{coalesced} sleeps in {lasted:?}");
    let (each, _) = sleeps_under_a_stream("0").await?;
    assert!(each > 2.0 * coalesced, "{each} sleeps, and {coalesced} where 20 ms gather");
    Ok(())
}
