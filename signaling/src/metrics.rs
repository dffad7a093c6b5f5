//! What the service counts, in the text format of Prometheus.
//!
//! Signaling's own counts live here; those of shards are asked for at each scrape and shown as they came, so that they
//! cost nothing in between. A shard that does not answer shows its last figures: a counter never goes back.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::{ConstCounter, Counter};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::{Registry, Unit};
use shard_protocol::ids::ShardIndex;
use shard_protocol::stats::{DropReason, LATENCY_BUCKETS_MS, LatencyHistogram, RESIDENCE_BUCKETS_US, ShardStats};

use crate::auth::AuthError;
use crate::room::Census;
use crate::wire::request::Source;
use crate::wire::{CloseReason, ErrorCode};

type Label = [(&'static str, &'static str); 1];

/// Counters of signaling; clones count into the same ones.
#[derive(Clone, Debug, Default)]
pub struct Metrics {
    refusals: Family<Label, Counter>,
    auth_refusals: Family<Label, Counter>,
    closes: Family<Label, Counter>,
    connections_refused: Family<Label, Counter>,
}

/// Why a connection was refused before anybody asked who it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConnectionRefusal {
    /// There were as many TCP connections as there may be, and this one gave way to a newer.
    TooManySockets,
    /// There are as many WebSockets as there may be.
    TooManySessions,
}

impl Metrics {
    /// Counts a refused request.
    pub fn count_refusal(&self, code: ErrorCode) {
        self.refusals.get_or_create(&[("code", code.label())]).inc();
    }

    /// Counts a refused upgrade.
    pub fn count_auth_refusal(&self, error: AuthError) {
        self.auth_refusals.get_or_create(&[("reason", error.label())]).inc();
    }

    /// Counts a connection that the service closed.
    pub fn count_close(&self, reason: CloseReason) {
        self.closes.get_or_create(&[("reason", reason.label())]).inc();
    }

    /// Counts a refused connection.
    pub fn count_connection_refusal(&self, refusal: ConnectionRefusal) {
        let reason = match refusal {
            ConnectionRefusal::TooManySockets => "too_many_sockets",
            ConnectionRefusal::TooManySessions => "too_many_sessions",
        };
        self.connections_refused.get_or_create(&[("reason", reason)]).inc();
    }
}

/// All that a scrape shows.
pub struct Exposition {
    registry: Registry,
    snapshot: Arc<Snapshot>,
}

/// What the collector shows at this scrape.
#[derive(Debug, Default)]
struct Snapshot {
    latest: Mutex<(Census, BTreeMap<ShardIndex, ShardStats>)>,
}

impl Exposition {
    /// Registers all metrics.
    pub fn new(metrics: &Metrics) -> Self {
        let mut registry = Registry::default();
        registry.register(
            "voice_request_refusals",
            "Requests answered with an error, by its code",
            metrics.refusals.clone(),
        );
        registry.register(
            "voice_auth_refusals",
            "Upgrades refused for want of a good token, by reason",
            metrics.auth_refusals.clone(),
        );
        registry.register(
            "voice_connections_closed",
            "Connections that the service closed, by reason",
            metrics.closes.clone(),
        );
        registry.register(
            "voice_connections_refused",
            "Connections refused because there were too many, by which limit",
            metrics.connections_refused.clone(),
        );
        let snapshot = Arc::new(Snapshot::default());
        registry.register_collector(Box::new(ShardCollector(Arc::clone(&snapshot))));
        Self { registry, snapshot }
    }

    /// The text of a scrape, with a census of now and the figures of the shards that answered.
    ///
    /// # Errors
    /// Where the text cannot be written.
    pub fn encode(&self, census: Census, stats: Vec<(ShardIndex, ShardStats)>) -> Result<String, fmt::Error> {
        {
            let mut latest = self.snapshot.latest.lock().unwrap_or_else(PoisonError::into_inner);
            latest.0 = census;
            latest.1.extend(stats);
        }
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &self.registry)?;
        Ok(text)
    }
}

#[derive(Debug)]
struct ShardCollector(Arc<Snapshot>);

impl Collector for ShardCollector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let latest = self.0.latest.lock().unwrap_or_else(PoisonError::into_inner);
        let (census, shards) = &*latest;
        encode_census(census, &mut encoder)?;
        encode_shards(census, shards, &mut encoder)
    }
}

fn encode_census(census: &Census, encoder: &mut DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
    let mut gauge = |name: &str, help: &str, value: usize| {
        let gauge = ConstGauge::new(value as i64);
        gauge.encode(encoder.encode_descriptor(name, help, None, gauge.metric_type())?)
    };
    gauge(
        "voice_active_connections",
        "Participants whose media can flow over at least one transport",
        census.participants_connected,
    )?;
    gauge("voice_signaling_connections", "Open WebSockets", census.connections)?;
    gauge("voice_rooms", "Channels with somebody in them", census.rooms)?;
    gauge("voice_participants", "Users in channels", census.participants)?;
    gauge("voice_transports", "Transports as signaling knows them", census.transports)?;
    gauge("voice_consumer_count", "Streams that participants receive", census.consumers)?;
    let of = |sources: &[Source]| sources.iter().filter_map(|source| census.producers.get(source)).sum::<usize>();
    let kinds = [
        ("audio", of(&[Source::Mic, Source::ScreenAudio])),
        ("video", of(&[Source::Camera])),
        ("screen", of(&[Source::Screen])),
    ];
    let rows = kinds.map(|(kind, count)| ([("kind", kind)], count as i64));
    let help = "Streams that participants send, by kind: audio, video, screen";
    encode_gauges(encoder, "voice_producer_count", help, &rows)
}

fn encode_shards(
    census: &Census,
    shards: &BTreeMap<ShardIndex, ShardStats>,
    encoder: &mut DescriptorEncoder<'_>,
) -> Result<(), fmt::Error> {
    let total = |of: fn(&ShardStats) -> u64| shards.values().map(of).sum::<u64>();
    let packets =
        [([("direction", "in")], total(|stats| stats.rtp_in)), ([("direction", "out")], total(|stats| stats.rtp_out))];
    encode_counters(encoder, "voice_rtp_packets", "RTP packets taken from publishers and sent to receivers", &packets)?;
    encode_latency(encoder, shards)?;

    let mut datagrams = Vec::new();
    let mut drops = Vec::new();
    for (&index, stats) in shards {
        let shard = index.to_string();
        datagrams.push(([("shard", shard.clone()), ("direction", "in".to_owned())], stats.datagrams_in));
        datagrams.push(([("shard", shard.clone()), ("direction", "out".to_owned())], stats.datagrams_out));
        for reason in DropReason::ALL {
            let label = [("shard", shard.clone()), ("reason", reason.label().to_owned())];
            drops.push((label, stats.drops.count(reason)));
        }
    }
    encode_counters(encoder, "voice_shard_datagrams", "UDP datagrams of each shard", &datagrams)?;
    encode_counters(encoder, "voice_dropped_packets", "Datagrams and packets that were not used, by reason", &drops)?;
    let mut living = |name: &str, help: &str, count: fn(&ShardStats) -> usize| {
        let rows = shards.iter().map(|(index, stats)| ([("shard", index.to_string())], count(stats) as i64));
        encode_gauges(encoder, name, help, &rows.collect::<Vec<_>>())
    };
    living("voice_shard_routers", "Rooms that live in each shard", |stats| stats.routers)?;
    living("voice_shard_transports", "Transports that live in each shard", |stats| stats.transports)?;
    living("voice_shard_producers", "Producers that live in each shard", |stats| stats.producers)?;
    living("voice_shard_consumers", "Consumers that live in each shard", |stats| stats.consumers)?;

    let by_shard = |of: fn(&ShardStats) -> u64| {
        let rows = shards.iter().map(|(index, stats)| ([("shard", index.to_string())], of(stats)));
        rows.collect::<Vec<_>>()
    };
    encode_counters(encoder, "voice_shard_send_calls", "System calls that sent", &by_shard(|stats| stats.send_calls))?;
    let messages = by_shard(|stats| stats.messages_out);
    encode_counters(
        encoder,
        "voice_shard_send_messages",
        "Messages that the kernel took, each of one destination's datagrams",
        &messages,
    )?;
    encode_counters(encoder, "voice_shard_sleeps", "Times that each shard slept", &by_shard(|stats| stats.sleeps))?;
    encode_residence(encoder, shards)?;
    encode_busy(encoder, shards)?;
    let refusals = census.shard_refusals.iter().enumerate();
    let refusals: Vec<_> = refusals.map(|(index, &count)| ([("shard", index.to_string())], count)).collect();
    encode_counters(
        encoder,
        "voice_shard_command_refusals",
        "Commands that a shard's queue had no room for",
        &refusals,
    )?;
    let is_alive = |index| i64::from(census.shards_alive.contains(&ShardIndex(index as u16)));
    let alive: Vec<_> =
        (0..census.shard_refusals.len()).map(|index| ([("shard", index.to_string())], is_alive(index))).collect();
    encode_gauges(encoder, "voice_shard_up", "1 while a shard runs, 0 once it is lost", &alive)
}

fn encode_latency(
    encoder: &mut DescriptorEncoder<'_>,
    shards: &BTreeMap<ShardIndex, ShardStats>,
) -> Result<(), fmt::Error> {
    let mut all = LatencyHistogram::default();
    for stats in shards.values() {
        all.sum_ms += stats.latency.sum_ms;
        all.skipped += stats.latency.skipped;
        for (sum, bucket) in all.buckets.iter_mut().zip(stats.latency.buckets) {
            *sum += bucket;
        }
    }
    let bounds = LATENCY_BUCKETS_MS.iter().map(|&bound| f64::from(bound)).chain([f64::INFINITY]);
    let buckets: Vec<(f64, u64)> = bounds.zip(all.buckets).collect();
    let help = "The network way of voice packets in milliseconds, observed once a second for each audio consumer";
    let mut metric = encoder.encode_descriptor("voice_latency_ms", help, None, MetricType::Histogram)?;
    metric.encode_histogram::<NoLabelSet>(all.sum_ms, all.buckets.iter().sum(), &buckets, None)?;
    let skipped = ConstCounter::new(all.skipped);
    let help = "Latency observations left out because a round trip was not known yet";
    skipped.encode(encoder.encode_descriptor("voice_latency_skipped", help, None, skipped.metric_type())?)
}

fn encode_residence(
    encoder: &mut DescriptorEncoder<'_>,
    shards: &BTreeMap<ShardIndex, ShardStats>,
) -> Result<(), fmt::Error> {
    let help = "The time that forwarded packets spend in each shard, from the kernel's receive stamp to the last send";
    let unit = Unit::Seconds;
    let mut metric = encoder.encode_descriptor("voice_shard_residence", help, Some(&unit), MetricType::Histogram)?;
    for (index, ShardStats { residence, .. }) in shards {
        let bounds = RESIDENCE_BUCKETS_US.iter().map(|&bound| f64::from(bound) / 1e6).chain([f64::INFINITY]);
        let buckets: Vec<(f64, u64)> = bounds.zip(residence.buckets).collect();
        let count = residence.buckets.iter().sum();
        metric.encode_family(&[("shard", index.to_string())])?.encode_histogram::<NoLabelSet>(
            residence.sum.as_secs_f64(),
            count,
            &buckets,
            None,
        )?;
    }
    Ok(())
}

fn encode_busy(
    encoder: &mut DescriptorEncoder<'_>,
    shards: &BTreeMap<ShardIndex, ShardStats>,
) -> Result<(), fmt::Error> {
    let unit = Unit::Seconds;
    let help = "CPU time of each shard's thread; its rate is the share of a core that the shard is busy";
    let mut metric = encoder.encode_descriptor("voice_shard_busy", help, Some(&unit), MetricType::Counter)?;
    shards.iter().try_for_each(|(index, stats)| {
        encode_row(&mut metric, &[("shard", index.to_string())], &ConstCounter::new(stats.busy.as_secs_f64()))
    })
}

type Rows<L, N> = [(L, N)];

fn encode_counters<L: EncodeLabelSet>(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    rows: &Rows<L, u64>,
) -> Result<(), fmt::Error> {
    let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
    rows.iter().try_for_each(|(label, value)| encode_row(&mut metric, label, &ConstCounter::new(*value)))
}

fn encode_gauges<L: EncodeLabelSet>(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    rows: &Rows<L, i64>,
) -> Result<(), fmt::Error> {
    let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
    rows.iter().try_for_each(|(label, value)| encode_row(&mut metric, label, &ConstGauge::new(*value)))
}

fn encode_row(
    metric: &mut MetricEncoder<'_>,
    label: &impl EncodeLabelSet,
    value: &impl EncodeMetric,
) -> Result<(), fmt::Error> {
    value.encode(metric.encode_family(label)?)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_scrape_has_the_promised_names_and_keeps_the_last_figures_of_a_silent_shard() {
        let metrics = Metrics::default();
        metrics.count_refusal(ErrorCode::BadJson);
        metrics.count_auth_refusal(AuthError::Expired);
        let exposition = Exposition::new(&metrics);
        let mut stats = ShardStats { rtp_in: 5, rtp_out: 7, messages_out: 6, sleeps: 3, ..ShardStats::default() };
        stats.drops.add(DropReason::RtpPaused);
        stats.latency.observe(30.0);
        stats.residence.observe(Duration::from_micros(700));
        stats.busy = Duration::from_millis(1500);
        stats.latency.observe(5000.0);
        let census = Census {
            participants_connected: 2,
            producers: BTreeMap::from([(Source::Mic, 3), (Source::Screen, 1)]),
            shard_refusals: vec![4],
            shards_alive: vec![ShardIndex(0)],
            ..Census::default()
        };
        exposition.encode(census.clone(), vec![(ShardIndex(0), stats)]).unwrap();
        let text = exposition.encode(census, Vec::new()).unwrap();
        for line in [
            "voice_active_connections 2",
            "voice_producer_count{kind=\"audio\"} 3",
            "voice_producer_count{kind=\"screen\"} 1",
            "voice_rtp_packets_total{direction=\"in\"} 5",
            "voice_rtp_packets_total{direction=\"out\"} 7",
            "voice_latency_ms_bucket{le=\"25.0\"} 0",
            "voice_latency_ms_bucket{le=\"50.0\"} 1",
            "voice_latency_ms_bucket{le=\"1000.0\"} 1",
            "voice_latency_ms_bucket{le=\"+Inf\"} 2",
            "voice_latency_ms_count 2",
            "voice_dropped_packets_total{shard=\"0\",reason=\"rtp_paused\"} 1",
            "voice_shard_send_messages_total{shard=\"0\"} 6",
            "voice_shard_sleeps_total{shard=\"0\"} 3",
            "voice_shard_residence_seconds_bucket{le=\"0.0005\",shard=\"0\"} 0",
            "voice_shard_residence_seconds_bucket{le=\"0.00075\",shard=\"0\"} 1",
            "voice_shard_residence_seconds_sum{shard=\"0\"} 0.0007",
            "voice_shard_busy_seconds_total{shard=\"0\"} 1.5",
            "voice_shard_command_refusals_total{shard=\"0\"} 4",
            "voice_shard_up{shard=\"0\"} 1",
            "voice_request_refusals_total{code=\"bad_json\"} 1",
            "voice_auth_refusals_total{reason=\"expired\"} 1",
        ] {
            assert!(text.lines().any(|shown| shown == line), "{line} is not in\n{text}");
        }
    }
}
