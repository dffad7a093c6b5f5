//! Joins and leaves: what they leave behind is nothing.

use std::time::Duration;

use peer::{Participant, PeerError};
use tokio::time::sleep;

use crate::scene::start_service;

/// Joins and leaves.
const ROUNDS: usize = 50;
/// Until the last of them is worked off.
const SETTLE_TIMEOUT: Duration = Duration::from_secs(15);
/// Fifty participants come and go, one at a time; what stays is the allocator's.
const GROWTH_MAX_BYTES: u64 = 24 * 1024 * 1024;

#[tokio::test]
async fn fifty_joins_and_leaves_bring_every_count_back() -> Result<(), PeerError> {
    let (service, _turn) = start_service().await?;
    // One who stays, so that the channel, and its publisher's consumers, live on.
    let mut host = Participant::join(service.join_options("host", "leaks")?).await?;
    let publisher = host.publish_audio().await?;
    host.open_receive(host.transport_options()).await?;
    sleep(Duration::from_secs(2)).await;
    let before = service.metrics().await?.gauges();
    assert!(before.values().any(|value| *value > 0.0), "no gauge tells of the host: {before:?}");
    let resident_before = service.resident_bytes()?;
    for round in 0..ROUNDS {
        let mut guest = Participant::join(service.join_options("guest", "leaks")?).await?;
        guest.consume_next().await?;
        let guest_publisher = guest.publish_audio().await?;
        host.consume_next().await?;
        guest_publisher.stop();
        match round % 3 {
            0 => guest.leave().await?,
            // Every socket dies at once, without a word.
            1 => drop(guest),
            // The next guest, who is the same user, takes the session over.
            _ => std::mem::forget(guest),
        }
    }
    let ended = Participant::join(service.join_options("guest", "leaks")?).await?;
    ended.leave().await?;
    let outcome = service.metrics_until(SETTLE_TIMEOUT, |metrics| metrics.gauges() == before).await?;
    let after = outcome.unwrap_or_else(|last| last).gauges();
    assert_eq!(after, before);
    let grown = service.resident_bytes()?.saturating_sub(resident_before);
    assert!(grown < GROWTH_MAX_BYTES, "the service grew by {grown} bytes");
    publisher.stop();
    Ok(())
}
