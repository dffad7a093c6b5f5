//! What is read off a row in one round.

use std::collections::BTreeMap;
use std::time::Instant;

use peer::Metrics;
use serde_json::Value;

/// The metrics at a moment.
pub(super) struct Reading {
    at: Instant,
    metrics: Metrics,
}

impl Reading {
    pub(super) fn new(metrics: Metrics) -> Self {
        Self { at: Instant::now(), metrics }
    }

    /// What a metric with such labels grew by since an earlier reading.
    fn grown_since(&self, before: &Self, name: &str, labels: &[(&str, &str)]) -> f64 {
        self.metrics.sum(name, labels) - before.metrics.sum(name, labels)
    }

    fn busy_s_since(&self, before: &Self) -> f64 {
        self.grown_since(before, "voice_shard_busy_seconds_total", &[])
    }

    fn forwarded_since(&self, before: &Self) -> f64 {
        self.grown_since(before, "voice_rtp_packets_total", &[("direction", "out")])
    }
}

/// Half, 99 % and 99.9 % of all are no more, in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Quantiles {
    pub(super) p50_ms: f64,
    pub(super) p99_ms: f64,
    pub(super) p999_ms: f64,
}

/// By how many bytes the load tool's voices are shorter or longer than their mean: they have 50 to 110.
const VOICE_LEN_SPREAD: usize = 30;

/// What a row gave in one round.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Round {
    pub(super) figures: Figures,
    /// None where there is no bare loop of the kind.
    pub(super) limit: Option<Limit>,
}

/// What the service did with a row.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Figures {
    /// RTP packets that the service took, a second.
    pub(super) taken_per_s: f64,
    /// RTP packets that it forwarded, a second.
    pub(super) forwarded_per_s: f64,
    /// The share of its core that the shard's thread used.
    pub(super) busy: f64,
    /// CPU time of the shard's thread for one forwarded packet; the median of all slices in which one was forwarded.
    pub(super) cpu_ns: f64,
    /// Datagrams of one message to the kernel.
    pub(super) segments: f64,
    /// Times that the shard slept, a second.
    pub(super) sleeps_per_s: f64,
    /// From the kernel's receive stamp to the last send.
    pub(super) residence: Quantiles,
    /// From a participant's send to the kernel's receive stamp of another.
    pub(super) latency: Quantiles,
    /// How much of the time the processor did not keep its pace.
    pub(super) throttled_percent: f64,
    /// The latency of the other times.
    pub(super) latency_unthrottled: Quantiles,
    /// The share of the latencies that is.
    pub(super) unthrottled_share: f64,
    pub(super) loss_percent: f64,
    /// Bytes of a datagram that participants received.
    pub(super) received_len: f64,
    /// What the service's memory grew by for each participant.
    pub(super) bytes_each: f64,
    pub(super) joins_per_s: Option<f64>,
    /// Why the load tool's own figures can't be trusted.
    pub(super) invalid_because: Vec<String>,
}

impl Figures {
    /// Of the readings at the beginning and at the end of each slice.
    pub(super) fn new(readings: &[Reading], told: &Value, bytes_each: f64) -> Self {
        let (Some(before), Some(after)) = (readings.first(), readings.last()) else {
            unreachable!("a row is measured between readings")
        };
        let wall_s = after.at.duration_since(before.at).as_secs_f64();
        let grown = |name: &str, labels: &[(&str, &str)]| after.grown_since(before, name, labels);
        let costs = readings.windows(2).filter_map(|slice| {
            let (busy_s, forwarded) = (slice[1].busy_s_since(&slice[0]), slice[1].forwarded_since(&slice[0]));
            (forwarded > 0.0).then_some(1e9 * busy_s / forwarded)
        });
        let number = |pointer: &str| told.pointer(pointer).and_then(Value::as_f64).unwrap_or(f64::NAN);
        let kind = if number("/media/video/streams") > 0.0 { "video" } else { "audio" };
        let count = |name: &str| number(&format!("/media/{kind}/{name}/count"));
        let latency = |name: &str| {
            let is_known = count(name) > 0.0;
            let quantile =
                |share: &str| if is_known { number(&format!("/media/{kind}/{name}/{share}")) } else { f64::NAN };
            Quantiles { p50_ms: quantile("p50Ms"), p99_ms: quantile("p99Ms"), p999_ms: quantile("p999Ms") }
        };
        let reasons = told.pointer("/verdict/invalidBecause").and_then(Value::as_array).cloned().unwrap_or_default();
        Self {
            taken_per_s: grown("voice_rtp_packets_total", &[("direction", "in")]) / wall_s,
            forwarded_per_s: after.forwarded_since(before) / wall_s,
            busy: after.busy_s_since(before) / wall_s,
            cpu_ns: median(costs.collect()),
            segments: grown("voice_shard_datagrams_total", &[("direction", "out")])
                / grown("voice_shard_send_messages_total", &[]),
            sleeps_per_s: grown("voice_shard_sleeps_total", &[]) / wall_s,
            residence: residence(&before.metrics, &after.metrics),
            latency: latency("latency"),
            throttled_percent: number("/generator/throttling/percent"),
            latency_unthrottled: latency("latencyUnthrottled"),
            unthrottled_share: count("latencyUnthrottled") / count("latency"),
            loss_percent: number(&format!("/media/{kind}/lossPercent"))
                .max(number(&format!("/media/{kind}/contentLossPercent"))),
            received_len: number("/media/receivedKbps") * 1000.0 / 8.0 / number("/media/receivedPerS"),
            bytes_each,
            joins_per_s: None,
            invalid_because: reasons.iter().filter_map(|reason| reason.as_str().map(str::to_owned)).collect(),
        }
    }

    /// Bytes of a datagram, the least and the most, for the limit: those of pictures have the mean length, and voices any around
    /// it.
    pub(super) fn datagram_lens(&self, is_voice: bool) -> (usize, usize) {
        let (mean, spread) = (self.received_len.round() as usize, if is_voice { VOICE_LEN_SPREAD } else { 0 });
        (mean.saturating_sub(spread), mean + spread)
    }
}

/// The quantiles of the time that packets spent in the shard between two readings, each within its bucket as if the packets
/// lay evenly in it.
fn residence(before: &Metrics, after: &Metrics) -> Quantiles {
    const NAME: &str = "voice_shard_residence_seconds_bucket";
    let known = before.by_label(NAME, "le");
    let mut buckets: Vec<(f64, f64)> = after
        .by_label(NAME, "le")
        .into_iter()
        .filter_map(|(bound, count)| Some((bound.parse().ok()?, count - known.get(&bound).unwrap_or(&0.0))))
        .collect();
    buckets.sort_by(|(one, _), (other, _)| one.total_cmp(other));
    let quantile = |share: f64| 1000.0 * quantile(&buckets, share);
    Quantiles { p50_ms: quantile(0.5), p99_ms: quantile(0.99), p999_ms: quantile(0.999) }
}

/// Where `share` of all lies, by cumulative counts up to ascending bounds; in the last, unbounded one, the bound before.
fn quantile(buckets: &[(f64, f64)], share: f64) -> f64 {
    let wanted = share * buckets.last().map_or(0.0, |(_, count)| *count);
    let (mut from, mut below) = (0.0, 0.0);
    for &(bound, count) in buckets {
        if count >= wanted && count > below && bound.is_finite() {
            return from + (bound - from) * (wanted - below) / (count - below);
        }
        if bound.is_finite() {
            (from, below) = (bound, count);
        }
    }
    from
}

/// The middle of values in any order; of an even number, the mean of the two in the middle.
pub(super) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len().saturating_sub(1) / 2..=values.len() / 2;
    let middle = values.get(middle).unwrap_or_default();
    middle.iter().sum::<f64>() / middle.len() as f64
}

/// What each way of the bare loop costs that sends, by its name: CPU ns for one forwarded packet.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Limit(pub(super) BTreeMap<String, f64>);

impl Limit {
    /// Reads the limit's report; `None` where it has no way that sends.
    pub(super) fn read(report: &Value) -> Option<Self> {
        let variants = report.pointer("/variants")?.as_array()?;
        let cost = |variant: &Value| {
            let name = variant.get("variant")?.as_str()?;
            let cpu_ns = variant.get("cpu_ns_per_packet")?.as_f64()?;
            (name != "crypto").then(|| (name.to_owned(), cpu_ns))
        };
        let costs: BTreeMap<_, _> = variants.iter().filter_map(cost).collect();
        (!costs.is_empty()).then_some(Self(costs))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_lie_in_their_buckets() {
        let buckets = [(0.001, 50.0), (0.002, 50.0), (0.004, 90.0), (f64::INFINITY, 100.0)];
        assert_eq!(quantile(&buckets, 0.25), 0.0005);
        assert_eq!(quantile(&buckets, 0.5), 0.001);
        assert_eq!(quantile(&buckets, 0.7), 0.003);
        assert_eq!(quantile(&buckets, 0.99), 0.004);
        assert_eq!(quantile(&[], 0.5), 0.0);
    }

    #[test]
    fn the_ways_that_send_are_read() {
        let report = serde_json::json!({ "variants": [
            { "variant": "crypto", "cpu_ns_per_packet": 90.0 },
            { "variant": "sendmmsg", "cpu_ns_per_packet": 2900.2 },
            { "variant": "connected", "cpu_ns_per_packet": 2600.4 },
        ] });
        let costs = [("connected".to_owned(), 2600.4), ("sendmmsg".to_owned(), 2900.2)];
        assert_eq!(Limit::read(&report), Some(Limit(costs.into())));
        assert_eq!(Limit::read(&serde_json::json!({ "variants": [] })), None);
    }

    #[test]
    fn the_median_is_the_middle_or_the_mean_of_two() {
        assert_eq!(median(vec![3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(vec![4.0, 1.0, 2.0, 3.0]), 2.5);
        assert_eq!(median(vec![4.0]), 4.0);
        assert!(median(Vec::new()).is_nan());
    }
}
