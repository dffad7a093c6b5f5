//! What one receiver may have sent again, and how it is numbered (RFC 4588).

use std::time::{Duration, Instant};

use shard_protocol::tables::Ssrc;

use super::policer::Policer;
use crate::wire::sequence::{PacketIndex, SeqNo};

/// What a receiver may have again: half of a screen's 4 Mbit/s. One that loses more than every third packet is not helped by
/// more of them. Each number that it asks for costs as much as a packet's headers, found or not.
const BYTES_PER_SECOND: u64 = 250_000;

/// Numbers whose last retransmission is remembered.
const RECENT_MAX: usize = 64;

/// The least time between two retransmissions of one packet, where no round trip is known: what is under way needs not be
/// sent again.
const INTERVAL_DEFAULT: Duration = Duration::from_millis(30);

/// The most, for long ways.
const INTERVAL_MAX: Duration = Duration::from_millis(150);

/// The retransmission stream of one consumer.
#[derive(Debug)]
pub struct Retransmission {
    /// Its SSRC.
    pub ssrc: Ssrc,
    next_index: PacketIndex,
    budget: Policer,
    /// By the lower bits of the number: when it was sent again, in ms since the epoch.
    recent: [(SeqNo, Option<u32>); RECENT_MAX],
}

/// Why a packet is not sent again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefusedRequest {
    /// It has just been.
    UnderWay,
    /// The receiver has asked for too much.
    OverBudget,
}

impl Retransmission {
    /// Makes a stream that begins with `first_index`.
    pub fn new(ssrc: Ssrc, first_index: PacketIndex) -> Self {
        Self {
            ssrc,
            next_index: first_index,
            budget: Policer::with_rate(BYTES_PER_SECOND),
            recent: [(SeqNo(0), None); RECENT_MAX],
        }
    }

    /// Counts the receiver's wish for the packet `sequence`, made at `now`, `since_epoch` after an epoch that the caller keeps.
    ///
    /// # Errors
    /// Where it does not get it.
    pub fn try_request(
        &mut self,
        sequence: SeqNo,
        now: Instant,
        since_epoch: Duration,
        round_trip: Option<Duration>,
    ) -> Result<(), RefusedRequest> {
        if !self.budget.admits(0, now) {
            return Err(RefusedRequest::OverBudget);
        }
        let now_ms = since_epoch.as_millis() as u32;
        // A receiver asks again after a round trip; half of it tells that from a repeated request.
        let interval = round_trip.map_or(INTERVAL_DEFAULT, |round_trip| (round_trip / 2).min(INTERVAL_MAX));
        let Some(recent) = self.recent.get_mut(usize::from(sequence.0) % RECENT_MAX) else { return Ok(()) };
        if let (known, Some(at_ms)) = *recent
            && known == sequence
            && Duration::from_millis(u64::from(now_ms.wrapping_sub(at_ms))) < interval
        {
            return Err(RefusedRequest::UnderWay);
        }
        *recent = (sequence, Some(now_ms));
        Ok(())
    }

    /// Counts `len` bytes that are to be sent again, and says whether they may be.
    pub fn admits(&mut self, len: usize, now: Instant) -> bool {
        self.budget.admits(len, now)
    }

    /// The SSRC, and the index of the next packet, which is no other's.
    pub fn take_number(&mut self) -> (Ssrc, PacketIndex) {
        let index = self.next_index;
        self.next_index = index.next();
        (self.ssrc, index)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_packet_is_sent_again_when_the_last_time_is_lost_and_not_before() {
        let start = Instant::now();
        let mut stream = Retransmission::new(Ssrc(9), PacketIndex(5));
        let mut request = |sequence: u16, ms: u64| {
            let since = Duration::from_millis(ms);
            stream.try_request(SeqNo(sequence), start + since, since, Some(Duration::from_millis(80)))
        };
        assert_eq!(request(7, 0), Ok(()));
        assert_eq!(request(8, 0), Ok(()));
        assert_eq!(request(7, 39), Err(RefusedRequest::UnderWay));
        assert_eq!(request(7, 40), Ok(()));
    }

    #[test]
    fn a_flood_of_requests_stays_within_the_budget() {
        let start = Instant::now();
        let mut stream = Retransmission::new(Ssrc(9), PacketIndex(5));
        let mut sent = 0;
        for n in 0..100_000u64 {
            let since = Duration::from_micros(n * 100);
            let asked = stream.try_request(SeqNo(n as u16), start + since, since, None);
            if asked.is_ok() && stream.admits(1200, start + since) {
                sent += 1200;
            }
        }
        assert!(sent <= 11 * BYTES_PER_SECOND, "{sent} bytes in 10 s and a burst of one");
        assert!(sent > 0, "the first of them are served");
    }

    #[test]
    fn no_number_is_given_twice() {
        let mut stream = Retransmission::new(Ssrc(9), PacketIndex(0xffff));
        let numbers: Vec<_> = (0..3).map(|_| stream.take_number().1.0).collect();
        assert_eq!(numbers, [0xffff, 0x10000, 0x10001]);
    }
}
