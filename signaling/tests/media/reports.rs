//! What the service learns from RTCP.

use std::time::Duration;

use peer::PeerError;

use crate::scene::Scene;

/// Round trips are known after a report each way, and the latency is then observed every second.
const OBSERVE_TIMEOUT: Duration = Duration::from_secs(15);
/// In milliseconds: loopback and a shard that gathers packets for a moment.
const LATENCY_MAX_MS: f64 = 50.0;

#[tokio::test]
async fn the_latency_of_a_live_call_is_observed() -> Result<(), PeerError> {
    let scene = Scene::set().await?;
    let count = |metrics: &peer::Metrics| metrics.sum("voice_latency_ms_count", &[]);
    let observed = scene.service.metrics_until(OBSERVE_TIMEOUT, |metrics| count(metrics) >= 4.0).await?;
    let metrics = observed.unwrap_or_else(|last| last);
    assert!(count(&metrics) >= 4.0, "observed {} times", count(&metrics));
    let mean_ms = metrics.sum("voice_latency_ms_sum", &[]) / count(&metrics);
    assert!((0.0..LATENCY_MAX_MS).contains(&mean_ms), "{mean_ms} ms");
    scene.end().await
}
