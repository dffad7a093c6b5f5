//! One peer connection: its transport, what it sends and receives, and what is staged for it.

use std::time::{Duration, Instant};

use shard_protocol::event::{DtlsState, IceState};
use shard_protocol::tables::Ssrc;

use super::keys::{ConsumerKey, PeerKey, ProducerKey, RouterKey};
use super::timers::Timers;
use crate::media::{Arrivals, Policer, PublisherClock, RtpListener};
use crate::transport::Transport;

/// What one peer may have sent again, all its streams together: a tenth of two dozen cameras at their best, and as much again.
/// Each stream has a budget of its own besides.
const RETRANSMISSION_BYTES_PER_SECOND: u64 = 1_000_000;

/// A peer connection.
pub(super) struct Peer {
    /// ICE, DTLS and SRTP.
    pub(super) transport: Transport,
    /// The room that it belongs to.
    pub(super) router: RouterKey,
    /// Which producer an incoming packet is for.
    pub(super) listener: RtpListener<ProducerKey>,
    /// What it sends.
    pub(super) producers: Vec<ProducerKey>,
    /// What it receives, by the SSRC of the copies, in their order.
    pub(super) consumers: Vec<(Ssrc, ConsumerKey)>,
    /// The highest SSRC that a consumer ever had.
    highest_ssrc: Option<Ssrc>,
    /// The deadline that counts.
    pub(super) timer_at: Option<Instant>,
    /// When RTCP reports are due.
    pub(super) reports_at: Option<Instant>,
    /// With which consumer they go on, where they found no room for all.
    pub(super) reports_from: usize,
    /// The round trip as this peer's receiver reports tell it.
    pub(super) receiver_round_trip: Option<Duration>,
    /// The round trip as this peer's answers to our receiver reference times tell it.
    pub(super) sender_round_trip: Option<Duration>,
    /// What it may have sent again in all.
    pub(super) retransmission_budget: Policer,
    /// What it is told of what it sends, once it sends pictures.
    pub(super) uplink: Option<Box<Uplink>>,
    /// Its clock, as its sender reports tell it.
    pub(super) clock: PublisherClock,
    /// The operator's cap on what it may send, in bits per second.
    pub(super) incoming_bitrate_max_bps: Option<u32>,
    /// Whether a change of state waits to be told.
    pub(super) has_news: bool,
    /// The state that signaling was told, or is about to be.
    known_state: (IceState, DtlsState),
}

/// The feedback on what a peer sends: requests for what is lost, and how its packets arrive.
#[derive(Default)]
pub(super) struct Uplink {
    /// When feedback is due.
    pub(super) due_at: Option<Instant>,
    /// What is to be told of arrivals.
    pub(super) arrivals: Arrivals,
    /// When it is to be told; `None` while nothing has come.
    pub(super) arrivals_at: Option<Instant>,
    /// Counts the tellings; wraps.
    pub(super) arrivals_count: u8,
    /// When the limit of the bit rate is told next.
    pub(super) limit_at: Option<Instant>,
}

impl Uplink {
    /// Says that feedback is due at `at` at the latest.
    pub(super) fn wake_by(&mut self, at: Instant) {
        self.due_at = Some(self.due_at.map_or(at, |due_at| due_at.min(at)));
    }
}

impl Peer {
    /// Makes a peer that sends and receives nothing yet.
    pub(super) fn new(transport: Transport, router: RouterKey, incoming_bitrate_max_bps: Option<u32>) -> Self {
        Self {
            known_state: transport.state(),
            transport,
            router,
            listener: RtpListener::default(),
            producers: Vec::new(),
            consumers: Vec::new(),
            highest_ssrc: None,
            timer_at: None,
            reports_at: None,
            reports_from: 0,
            receiver_round_trip: None,
            sender_round_trip: None,
            retransmission_budget: Policer::with_rate(RETRANSMISSION_BYTES_PER_SECOND),
            uplink: None,
            clock: PublisherClock::default(),
            incoming_bitrate_max_bps,
            has_news: false,
        }
    }

    /// Whether the state has changed since this was last asked.
    pub(super) fn take_state_change(&mut self) -> bool {
        let state = self.transport.state();
        std::mem::replace(&mut self.known_state, state) != state
    }

    /// Sets the timer to the soonest thing that is due.
    pub(super) fn set_timer(&mut self, timers: &mut Timers, key: PeerKey) {
        let feedback_at = self.uplink.as_ref().and_then(|uplink| uplink.due_at);
        let wanted = [self.transport.poll_timeout(), self.reports_at, feedback_at].into_iter().flatten().min();
        if let Some(at) = wanted
            && self.timer_at.is_none_or(|timer_at| at < timer_at)
        {
            self.timer_at = Some(at);
            timers.push(at, key);
        }
    }

    /// Whether a consumer may have `ssrc`: only one above all that this peer's consumers ever had. Were one used again, its
    /// packet indices would be too, under the same key, which under AES-GCM gives the key stream away.
    pub(super) fn is_fresh(&self, ssrc: Ssrc) -> bool {
        self.highest_ssrc.is_none_or(|highest| ssrc > highest)
    }

    /// Enters a consumer whose SSRCs are fresh.
    pub(super) fn add_consumer(&mut self, ssrc: Ssrc, rtx_ssrc: Option<Ssrc>, consumer: ConsumerKey) {
        debug_assert!(self.is_fresh(ssrc));
        self.highest_ssrc = Some(rtx_ssrc.map_or(ssrc, |rtx_ssrc| rtx_ssrc.max(ssrc)));
        self.consumers.push((ssrc, consumer));
    }

    /// The consumer of `ssrc`.
    pub(super) fn consumer(&self, ssrc: Ssrc) -> Option<ConsumerKey> {
        let place = self.consumers.binary_search_by_key(&ssrc, |(ssrc, _)| *ssrc).ok()?;
        self.consumers.get(place).map(|(_, consumer)| *consumer)
    }

    /// Takes the consumer of `ssrc` out.
    pub(super) fn remove_consumer(&mut self, ssrc: Ssrc) {
        if let Ok(place) = self.consumers.binary_search_by_key(&ssrc, |(ssrc, _)| *ssrc) {
            self.consumers.remove(place);
        }
    }
}
