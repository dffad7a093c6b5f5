//! What came of what was sent: the streams of all lanes together.

use std::collections::HashMap;
use std::time::Duration;

use serde::Serialize;

use crate::lane::{LaneOutcome, ProducerOutcome, StreamOutcome};
use crate::measure::histogram::Summary;
use crate::measure::latency::Latency;
use crate::measure::mos;
use crate::measure::stream::Counts;
use crate::source::Kind;

/// A stream has stalled where nothing of it came for so long while its producer sent: longer than the pauses of comfort
/// frames, and than what is under way at the end.
const STALL: Duration = Duration::from_secs(2);

/// What came of what was sent.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Media {
    /// RTP packets sent a second, in the measured time.
    pub sent_per_s: f64,
    /// RTP packets received a second.
    pub received_per_s: f64,
    /// Thousands of bits received a second, in datagrams.
    pub received_kbps: f64,
    /// RTP packets sent in the whole run.
    pub sent: u64,
    /// RTP packets received in the whole run.
    pub received: u64,
    /// Of those, such as were authenticated and compared with what was sent.
    pub checked: u64,
    /// Retransmissions received.
    pub retransmissions: u64,
    /// Packets sent again because the server asked.
    pub resent: u64,
    /// Key frames that the server asked for.
    pub key_frames_asked: u64,
    /// Streams that got nothing, or stopped, while their producer sent.
    pub stalled_streams: u64,
    /// Streams that were never announced, or could not be taken, though their producers were made.
    pub missing_streams: u64,
    /// Voice.
    pub audio: StreamsSummary,
    /// Pictures.
    pub video: StreamsSummary,
}

/// Many streams of one kind.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct StreamsSummary {
    /// Streams.
    pub streams: u64,
    /// Of those, such as were authenticated and checked.
    pub verified_streams: u64,
    /// One-way latency of verified streams in the measured time: the kernel's stamp of arrival less the time of
    /// sending.
    pub latency: Summary,
    /// Of that, what was measured while this tool's processor was not throttled.
    pub latency_unthrottled: Summary,
    /// From the headers of all streams, in the whole run.
    pub packets: Counts,
    /// Places in the streams that no packet had.
    pub lost: u64,
    /// The same in percent of the places.
    pub loss_percent: f64,
    /// From the content of verified streams; what was lost at their ends is in it.
    pub content: Counts,
    /// Contents that did not arrive.
    pub content_lost: u64,
    /// The same in percent of the contents.
    pub content_loss_percent: f64,
    /// The greatest jitter that each stream came to (RFC 3550).
    pub jitter: Spread,
    /// The streams' mean opinion scores (ITU-T G.107); of voice alone.
    pub mos: Spread,
}

/// How values of many streams lie.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Spread {
    /// The least.
    pub min: f64,
    /// 1 % are less.
    pub p1: f64,
    /// Half are less.
    pub p50: f64,
    /// 99 % are no more.
    pub p99: f64,
    /// The greatest.
    pub max: f64,
}

impl Spread {
    /// Of values in any order; zeros where there are none.
    pub fn of(mut values: Vec<f64>) -> Self {
        values.sort_by(f64::total_cmp);
        let at = |share: f64| {
            let place = (share * values.len() as f64).ceil() as usize;
            values.get(place.saturating_sub(1)).copied().unwrap_or(0.0)
        };
        Self { min: at(0.0), p1: at(0.01), p50: at(0.5), p99: at(0.99), max: at(1.0) }
    }
}

impl Media {
    /// What the lanes together have measured.
    pub fn new(outcome: &LaneOutcome) -> Self {
        let measured_s = outcome.measured.as_secs_f64().max(f64::EPSILON);
        let producers: HashMap<u32, ProducerOutcome> =
            outcome.producers.iter().map(|producer| (producer.publisher, *producer)).collect();
        let stalled = outcome.streams.iter().filter(|stream| is_stalled(stream, &producers)).count();
        let (traffic, measured) = (&outcome.traffic, &outcome.traffic_measured);
        Self {
            sent_per_s: measured.sent as f64 / measured_s,
            received_per_s: measured.received as f64 / measured_s,
            received_kbps: measured.received_bytes as f64 * 8.0 / 1000.0 / measured_s,
            sent: traffic.sent,
            received: traffic.received,
            checked: traffic.checked,
            retransmissions: traffic.retransmissions,
            resent: traffic.resent,
            key_frames_asked: traffic.key_frames_asked,
            stalled_streams: stalled as u64,
            missing_streams: 0,
            audio: StreamsSummary::new(Kind::Audio, &outcome.streams, &producers, &outcome.audio_latency),
            video: StreamsSummary::new(Kind::Video, &outcome.streams, &producers, &outcome.video_latency),
        }
    }
}

impl StreamsSummary {
    /// The greater of what the numbers of all streams and what the contents of verified ones say.
    pub fn worst_loss_percent(&self) -> f64 {
        self.loss_percent.max(self.content_loss_percent)
    }

    fn new(
        kind: Kind,
        streams: &[StreamOutcome],
        producers: &HashMap<u32, ProducerOutcome>,
        latency: &Latency,
    ) -> Self {
        let mut summary = Self {
            latency: latency.all.summary(),
            latency_unthrottled: latency.unthrottled.summary(),
            ..Self::default()
        };
        let (mut jitters, mut scores) = (Vec::new(), Vec::new());
        for stream in streams.iter().filter(|stream| stream.kind == kind) {
            summary.streams += 1;
            summary.packets.add(&stream.counts);
            let mut loss = stream.counts.loss();
            if let Some(content) = &stream.content {
                summary.verified_streams += 1;
                let mut counts = content.counts;
                counts.expected += lost_at_end(stream, producers);
                summary.content.add(&counts);
                loss = loss.max(counts.loss());
            }
            if stream.counts.received > 1 {
                jitters.push(stream.jitter_ms);
                // Where the way of this stream is not known, it is taken to be that of most.
                let way_ms = stream.content.map_or(summary.latency.p50_ms, |content| content.latency_mean_ms);
                let rating = mos::rating(mos::mouth_to_ear_ms(way_ms, stream.jitter_ms), loss);
                scores.push(mos::mean_opinion_score(rating));
            }
        }
        summary.lost = summary.packets.lost();
        summary.loss_percent = 100.0 * summary.packets.loss();
        summary.content_lost = summary.content.lost();
        summary.content_loss_percent = 100.0 * summary.content.loss();
        summary.jitter = Spread::of(jitters);
        if kind == Kind::Audio {
            summary.mos = Spread::of(scores);
        }
        summary
    }
}

/// Contents that the producer sent after the last that came, of a stream that lived to the end.
fn lost_at_end(stream: &StreamOutcome, producers: &HashMap<u32, ProducerOutcome>) -> u64 {
    let highest = stream.content.and_then(|content| content.highest);
    match (producers.get(&stream.publisher), highest) {
        (Some(producer), Some(highest)) if !stream.is_closed => producer.sent.saturating_sub(highest + 1),
        _ => 0,
    }
}

fn is_stalled(stream: &StreamOutcome, producers: &HashMap<u32, ProducerOutcome>) -> bool {
    let Some(producer) = producers.get(&stream.publisher).filter(|_| !stream.is_closed) else { return false };
    let latest_ns = stream.latest_at_ns.unwrap_or(stream.opened_at_ns);
    producer.last_sent_at_ns.saturating_sub(latest_ns) > STALL.as_nanos() as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lane::ContentOutcome;

    const SECOND_NS: u64 = 1_000_000_000;

    fn stream(latest_s: Option<u64>) -> StreamOutcome {
        let counts = Counts { expected: 100, received: 95, repeats: 1, reordered: 2 };
        StreamOutcome {
            publisher: 7,
            kind: Kind::Audio,
            opened_at_ns: 10 * SECOND_NS,
            latest_at_ns: latest_s.map(|seconds| seconds * SECOND_NS),
            is_closed: false,
            counts,
            jitter_ms: 1.0,
            content: Some(ContentOutcome { counts, highest: Some(99), latency_mean_ms: 5.0 }),
        }
    }

    fn media(streams: Vec<StreamOutcome>) -> Media {
        let producer = ProducerOutcome { publisher: 7, sent: 110, last_sent_at_ns: 20 * SECOND_NS };
        Media::new(&LaneOutcome { streams, producers: vec![producer], ..LaneOutcome::default() })
    }

    #[test]
    fn what_was_sent_after_the_last_arrival_is_lost_too() {
        let media = media(vec![stream(Some(20))]);
        assert_eq!((media.audio.lost, media.audio.content_lost), (5, 15));
        assert_eq!((media.audio.loss_percent, media.stalled_streams), (5.0, 0));
        assert!((13.6..13.7).contains(&media.audio.worst_loss_percent()));
        assert!((3.0..3.2).contains(&media.audio.mos.p50), "{:?}", media.audio.mos);
    }

    #[test]
    fn streams_that_stop_or_never_begin_are_stalled_unless_they_were_closed() {
        let closed = StreamOutcome { is_closed: true, ..stream(None) };
        assert_eq!(media(vec![stream(Some(19)), stream(Some(15)), stream(None), closed]).stalled_streams, 2);
    }

    #[test]
    fn a_spread_has_its_shares() {
        let spread = Spread::of((1..=200).rev().map(f64::from).collect());
        assert_eq!(spread, Spread { min: 1.0, p1: 2.0, p50: 100.0, p99: 198.0, max: 200.0 });
        assert_eq!(Spread::of(Vec::new()), Spread::default());
    }
}
