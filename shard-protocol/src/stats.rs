//! What a shard counts.

use std::time::Duration;

/// Why a datagram, or a packet of one, was not used. Drops are counted by reason and never logged one by one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum DropReason {
    /// Longer than a slot; the kernel cut it.
    Oversized,
    /// Empty, or a first byte of no protocol of RFC 7983.
    UnknownProtocol,
    /// Not from an address that ICE has validated.
    UnknownAddress,
    /// STUN: cut short, or lengths that contradict each other.
    StunMalformed,
    /// STUN: not a binding request.
    StunUnexpected,
    /// STUN: no transport has the user name fragment.
    StunUnknownUser,
    /// STUN: MESSAGE-INTEGRITY or FINGERPRINT is absent or wrong.
    StunUnauthenticated,
    /// STUN: from an address that is another transport's.
    StunAddressTaken,
    /// STUN: an authentic request that was sent before from another address.
    StunReplayed,
    /// DTLS: outside the bounds of a sane handshake.
    DtlsMalformed,
    /// DTLS: before the peer's parameters are known, or after the handshake.
    DtlsUnexpected,
    /// DTLS: the handshake thread is behind, or too many handshakes are under way.
    DtlsOverload,
    /// RTP: a header that does not fit its packet.
    RtpMalformed,
    /// RTP: no producer has the SSRC, the MID or the RID.
    RtpUnknownStream,
    /// RTP: the publisher has begun more streams on its transport than can be guarded against replays.
    RtpTooManyStreams,
    /// RTP: a payload type that was not negotiated.
    RtpUnknownPayloadType,
    /// RTP: the stream is not to be forwarded: its producer is paused or its owner muted.
    RtpPaused,
    /// RTP: the publisher sends more than any encoder does.
    RtpOverRate,
    /// RTP: a payload descriptor that does not hold together.
    PayloadMalformed,
    /// RTX: a retransmission without its original number, or of a stream that has not begun.
    RtxMalformed,
    /// RTX: a retransmission of what is not missed: it has come, and browsers fill gaps with such, or its stream has ended.
    RtxUnwanted,
    /// RTP or RTCP before the transport has keys.
    SrtpNoKeys,
    /// SRTP or SRTCP: authentication failed.
    SrtpUnauthenticated,
    /// SRTP or SRTCP: seen before, or too old to tell.
    SrtpReplayed,
    /// RTCP: a compound packet that does not hold together.
    RtcpMalformed,
    /// RTCP: a retransmission asked for by a receiver over its budget, or of a packet that is not kept any more.
    RetransmissionRefused,
    /// Egress: the kernel had no room; the datagram was not sent.
    SendBufferFull,
    /// Egress: the kernel refused the datagram.
    SendFailed,
}

impl DropReason {
    /// How many there are.
    pub const COUNT: usize = 28;

    /// All of them, in the order of their discriminants.
    pub const ALL: [Self; Self::COUNT] = [
        Self::Oversized,
        Self::UnknownProtocol,
        Self::UnknownAddress,
        Self::StunMalformed,
        Self::StunUnexpected,
        Self::StunUnknownUser,
        Self::StunUnauthenticated,
        Self::StunAddressTaken,
        Self::StunReplayed,
        Self::DtlsMalformed,
        Self::DtlsUnexpected,
        Self::DtlsOverload,
        Self::RtpMalformed,
        Self::RtpUnknownStream,
        Self::RtpTooManyStreams,
        Self::RtpUnknownPayloadType,
        Self::RtpPaused,
        Self::RtpOverRate,
        Self::PayloadMalformed,
        Self::RtxMalformed,
        Self::RtxUnwanted,
        Self::SrtpNoKeys,
        Self::SrtpUnauthenticated,
        Self::SrtpReplayed,
        Self::RtcpMalformed,
        Self::RetransmissionRefused,
        Self::SendBufferFull,
        Self::SendFailed,
    ];

    /// The reason as a metric's label.
    pub fn label(self) -> &'static str {
        match self {
            Self::Oversized => "oversized",
            Self::UnknownProtocol => "unknown_protocol",
            Self::UnknownAddress => "unknown_address",
            Self::StunMalformed => "stun_malformed",
            Self::StunUnexpected => "stun_unexpected",
            Self::StunUnknownUser => "stun_unknown_user",
            Self::StunUnauthenticated => "stun_unauthenticated",
            Self::StunAddressTaken => "stun_address_taken",
            Self::StunReplayed => "stun_replayed",
            Self::DtlsMalformed => "dtls_malformed",
            Self::DtlsUnexpected => "dtls_unexpected",
            Self::DtlsOverload => "dtls_overload",
            Self::RtpMalformed => "rtp_malformed",
            Self::RtpUnknownStream => "rtp_unknown_stream",
            Self::RtpTooManyStreams => "rtp_too_many_streams",
            Self::RtpUnknownPayloadType => "rtp_unknown_payload_type",
            Self::RtpPaused => "rtp_paused",
            Self::RtpOverRate => "rtp_over_rate",
            Self::PayloadMalformed => "payload_malformed",
            Self::RtxMalformed => "rtx_malformed",
            Self::RtxUnwanted => "rtx_unwanted",
            Self::SrtpNoKeys => "srtp_no_keys",
            Self::SrtpUnauthenticated => "srtp_unauthenticated",
            Self::SrtpReplayed => "srtp_replayed",
            Self::RtcpMalformed => "rtcp_malformed",
            Self::RetransmissionRefused => "retransmission_refused",
            Self::SendBufferFull => "send_buffer_full",
            Self::SendFailed => "send_failed",
        }
    }
}

/// Counts of dropped datagrams and packets, by reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DropCounts([u64; DropReason::COUNT]);

impl DropCounts {
    /// Counts one.
    pub fn add(&mut self, reason: DropReason) {
        self.add_many(reason, 1);
    }

    /// Counts `count`.
    pub fn add_many(&mut self, reason: DropReason, count: u64) {
        self.0[reason as usize] += count;
    }

    /// Adds what another place has counted.
    pub fn add_all(&mut self, counts: &Self) {
        for (count, more) in self.0.iter_mut().zip(counts.0) {
            *count += more;
        }
    }

    /// How many were dropped for `reason`.
    pub fn count(&self, reason: DropReason) -> u64 {
        self.0[reason as usize]
    }
}

/// The upper bounds of the latency histogram's buckets in milliseconds; one more bucket holds what is over the last.
pub const LATENCY_BUCKETS_MS: [u32; 7] = [10, 25, 50, 100, 250, 500, 1000];

/// A histogram of the network way of voice packets, observed once a second for each audio consumer.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct LatencyHistogram {
    /// Observations by bucket, not cumulative; the last holds what is over the last bound.
    pub buckets: [u64; LATENCY_BUCKETS_MS.len() + 1],
    /// The sum of all observations in milliseconds.
    pub sum_ms: f64,
    /// Observations that could not be made because a round trip was not known yet.
    pub skipped: u64,
}

impl LatencyHistogram {
    /// Adds one observation.
    pub fn observe(&mut self, latency_ms: f64) {
        let bucket = LATENCY_BUCKETS_MS.iter().position(|&bound| latency_ms <= f64::from(bound));
        self.buckets[bucket.unwrap_or(LATENCY_BUCKETS_MS.len())] += 1;
        self.sum_ms += latency_ms;
    }
}

/// The upper bounds of the residence histogram's buckets in microseconds; one more bucket holds what is over the last. Fine
/// about the milliseconds in which datagrams gather, so that quantiles read from it are good to a fifth.
pub const RESIDENCE_BUCKETS_US: [u32; 22] = [
    25, 50, 100, 150, 200, 300, 400, 500, 750, 1000, 1250, 1500, 2000, 2500, 3000, 4000, 5000, 7500, 10_000, 25_000,
    50_000, 100_000,
];

/// A histogram of the time that forwarded packets spend in a shard, from the kernel's receive stamp to the send of the last
/// copy.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ResidenceHistogram {
    /// Packets by bucket, not cumulative; the last holds what is over the last bound.
    pub buckets: [u64; RESIDENCE_BUCKETS_US.len() + 1],
    /// The sum of all times.
    pub sum: Duration,
}

impl ResidenceHistogram {
    /// Adds one packet.
    pub fn observe(&mut self, residence: Duration) {
        let bucket = RESIDENCE_BUCKETS_US.partition_point(|&bound| Duration::from_micros(bound.into()) < residence);
        self.buckets[bucket] += 1;
        self.sum += residence;
    }
}

/// A shard's figures since it began, and what lives in it now.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ShardStats {
    /// Datagrams taken from the socket.
    pub datagrams_in: u64,
    /// Datagrams given to the kernel.
    pub datagrams_out: u64,
    /// System calls that sent; several messages share one.
    pub send_calls: u64,
    /// Messages that the kernel took; datagrams for one destination share one.
    pub messages_out: u64,
    /// RTP packets accepted from publishers.
    pub rtp_in: u64,
    /// RTP packets sent to receivers.
    pub rtp_out: u64,
    /// Times that the shard slept.
    pub sleeps: u64,
    /// Drops by reason.
    pub drops: DropCounts,
    /// The network way of voice packets.
    pub latency: LatencyHistogram,
    /// The time that forwarded packets spend in the shard.
    pub residence: ResidenceHistogram,
    /// CPU time of the shard's thread.
    pub busy: Duration,
    /// Routers that live now.
    pub routers: usize,
    /// Transports that live now.
    pub transports: usize,
    /// Producers that live now.
    pub producers: usize,
    /// Consumers that live now.
    pub consumers: usize,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drop_reasons_stand_at_their_own_place_and_have_labels_of_their_own() {
        let mut labels = std::collections::HashSet::new();
        for (place, reason) in DropReason::ALL.into_iter().enumerate() {
            assert_eq!(reason as usize, place);
            assert!(labels.insert(reason.label()));
        }
    }

    #[test]
    fn counts_of_two_places_add_up_by_reason() {
        let (mut one, mut other) = (DropCounts::default(), DropCounts::default());
        one.add(DropReason::Oversized);
        other.add(DropReason::Oversized);
        other.add(DropReason::SendFailed);
        one.add_all(&other);
        assert_eq!(DropReason::ALL.map(|reason| one.count(reason)).iter().sum::<u64>(), 3);
        assert_eq!(one.count(DropReason::Oversized), 2);
    }

    #[test]
    fn an_observation_falls_into_the_first_bucket_that_holds_it() {
        let mut histogram = LatencyHistogram::default();
        for latency_ms in [0.5, 10.0, 10.1, 1000.0, 1000.1] {
            histogram.observe(latency_ms);
        }
        assert_eq!(histogram.buckets, [2, 1, 0, 0, 0, 0, 1, 1]);
        let mut histogram = ResidenceHistogram::default();
        for residence_us in [0, 25, 26, 100_000, 100_001] {
            histogram.observe(Duration::from_micros(residence_us));
        }
        assert_eq!((histogram.buckets[..2].to_vec(), histogram.buckets[21..].to_vec()), (vec![2, 1], vec![1, 1]));
    }
}
