//! The server's own metrics, where it has the names of our service.

use std::collections::BTreeMap;
use std::time::Duration;

use peer::Metrics;
use serde::Serialize;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

/// How long a scrape may take.
const SCRAPE_TIMEOUT: Duration = Duration::from_secs(5);
/// An answer is read no further: far longer than any scrape.
const ANSWER_LEN_MAX: u64 = 16 << 20;
/// The name by which our service is known.
const KNOWN_NAME: &str = "voice_rtp_packets_total";

/// One scrape.
#[derive(Clone, Debug)]
pub struct Scrape {
    at: Instant,
    metrics: Metrics,
}

/// What the metrics say of the time between two scrapes.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct MetricsUse {
    /// RTP packets taken from publishers.
    pub rtp_in: f64,
    /// RTP packets sent to receivers.
    pub rtp_out: f64,
    /// By shard.
    pub shards: BTreeMap<String, ShardUse>,
    /// Packets that were not used, by reason; reasons without any are left out.
    pub drops: BTreeMap<String, f64>,
}

/// What a shard did.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ShardUse {
    /// Datagrams in a second.
    pub datagrams_in_per_s: f64,
    /// Datagrams out a second.
    pub datagrams_out_per_s: f64,
    /// System calls that sent, a second.
    pub send_calls_per_s: f64,
    /// Times that it slept, a second.
    pub sleeps_per_s: f64,
    /// The share of time that it was busy; none where the server does not tell.
    pub busy_ratio: Option<f64>,
}

/// The address of the metrics that stand beside a signaling address; `None` for an encrypted one.
pub fn beside(signaling_url: &str) -> Option<String> {
    let rest = signaling_url.strip_prefix("ws://")?;
    let authority = rest.split(['/', '?']).next()?;
    Some(format!("http://{authority}/metrics"))
}

impl Scrape {
    /// Reads the metrics at `url`; `None` where there are none, or they are not those of our service.
    pub async fn take(url: &str) -> Option<Self> {
        let metrics = timeout(SCRAPE_TIMEOUT, read(url)).await.ok()?.ok().flatten()?;
        metrics.names().contains(&KNOWN_NAME).then(|| Self { at: Instant::now(), metrics })
    }

    /// What happened from this scrape to `after`.
    pub fn until(&self, after: &Self) -> MetricsUse {
        let wall_s = after.at.saturating_duration_since(self.at).as_secs_f64().max(f64::EPSILON);
        let grown =
            |name: &str, labels: &[(&str, &str)]| after.metrics.sum(name, labels) - self.metrics.sum(name, labels);
        let shards = after.metrics.by_label("voice_shard_datagrams_total", "shard").into_keys().map(|shard| {
            let rate = |name: &str, direction: Option<&str>| {
                let labels: Vec<(&str, &str)> =
                    [("shard", shard.as_str())].into_iter().chain(direction.map(|it| ("direction", it))).collect();
                grown(name, &labels) / wall_s
            };
            let is_telling = after.metrics.names().contains(&"voice_shard_busy_seconds_total");
            let used = ShardUse {
                datagrams_in_per_s: rate("voice_shard_datagrams_total", Some("in")),
                datagrams_out_per_s: rate("voice_shard_datagrams_total", Some("out")),
                send_calls_per_s: rate("voice_shard_send_calls_total", None),
                sleeps_per_s: rate("voice_shard_sleeps_total", None),
                busy_ratio: is_telling.then(|| rate("voice_shard_busy_seconds_total", None)),
            };
            (shard.clone(), used)
        });
        let shards = shards.collect();
        let before = self.metrics.by_label("voice_dropped_packets_total", "reason");
        let drops = after.metrics.by_label("voice_dropped_packets_total", "reason").into_iter();
        let drops = drops.map(|(reason, count)| (reason.clone(), count - before.get(&reason).unwrap_or(&0.0)));
        MetricsUse {
            rtp_in: grown(KNOWN_NAME, &[("direction", "in")]),
            rtp_out: grown(KNOWN_NAME, &[("direction", "out")]),
            shards,
            drops: drops.filter(|(_, count)| *count > 0.0).collect(),
        }
    }
}

/// One request over HTTP/1.0, which needs no library: its answer ends with the connection.
async fn read(url: &str) -> std::io::Result<Option<Metrics>> {
    let Some(rest) = url.strip_prefix("http://") else { return Ok(None) };
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    let address = if authority.rsplit(']').next().is_some_and(|end| end.contains(':')) {
        authority.to_owned()
    } else {
        format!("{authority}:80")
    };
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(format!("GET /{path} HTTP/1.0\r\nHost: {authority}\r\n\r\n").as_bytes()).await?;
    let mut answer = String::new();
    stream.take(ANSWER_LEN_MAX).read_to_string(&mut answer).await?;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    Ok((head.split(' ').nth(1) == Some("200")).then(|| Metrics::parse(body)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scrape(text: &str) -> Scrape {
        Scrape { at: Instant::now(), metrics: Metrics::parse(text) }
    }

    #[test]
    fn what_has_grown_is_told_by_shard_and_reason() {
        let before = scrape(
            "voice_rtp_packets_total{direction=\"in\"} 10\n\
             voice_dropped_packets_total{shard=\"0\",reason=\"late\"} 1\n",
        );
        let mut after = scrape(
            "voice_rtp_packets_total{direction=\"in\"} 30\nvoice_rtp_packets_total{direction=\"out\"} 90\n\
             voice_dropped_packets_total{shard=\"0\",reason=\"late\"} 1\n\
             voice_dropped_packets_total{shard=\"1\",reason=\"big\"} 4\n\
             voice_shard_datagrams_total{shard=\"1\",direction=\"in\"} 200\n",
        );
        after.at = before.at + Duration::from_secs(2);
        let used = before.until(&after);
        assert_eq!((used.rtp_in, used.rtp_out), (20.0, 90.0));
        assert_eq!(used.drops, BTreeMap::from([("big".to_owned(), 4.0)]));
        assert_eq!(used.shards["1"].datagrams_in_per_s, 100.0);
        assert_eq!(used.shards["1"].busy_ratio, None);
    }

    #[test]
    fn the_metrics_stand_beside_the_signaling() {
        assert_eq!(beside("ws://127.0.0.1:3000/signaling").as_deref(), Some("http://127.0.0.1:3000/metrics"));
        assert_eq!(beside("wss://voice.example/signaling"), None);
    }
}
