//! The service's last flight as DTLS server, repeated by the shard when the peer shows that it was lost.
//!
//! The handshake is over for the service once it has sent ChangeCipherSpec and Finished, but not for a client that did
//! not get them: it sends its own last flight again until it does (RFC 6347 section 4.2.4).

use std::time::{Duration, Instant};

use super::record::{content_type, records};

/// The least time between two repetitions. Copies of one flight come closer together, and the shortest retransmission
/// timer in use, 50 ms in browsers, is longer.
pub const RESEND_INTERVAL: Duration = Duration::from_millis(20);

/// The last flight of one connection, from the handshake's end until the peer has its keys for certain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LastFlight {
    bytes: Box<[u8]>,
    sent_at: Instant,
}

impl LastFlight {
    /// Keeps the datagram `bytes`, which was sent at `now`. The caller drops all of it when the first authenticated SRTP
    /// or SRTCP packet of the peer comes, for that proves that the peer has keys.
    pub fn new(bytes: Box<[u8]>, now: Instant) -> Self {
        Self { bytes, sent_at: now }
    }

    /// Takes a DTLS datagram that came after the handshake, and gives the flight where it is to be sent again.
    pub fn handle_datagram(&mut self, now: Instant, datagram: &[u8]) -> Option<&[u8]> {
        // Data and alerts of a peer that is through are encrypted; only one that is not sends handshakes in the clear.
        let is_lost = records(datagram)
            .map_while(Result::ok)
            .any(|record| record.epoch == 0 && record.content == content_type::HANDSHAKE);
        if !is_lost || now.saturating_duration_since(self.sent_at) < RESEND_INTERVAL {
            return None;
        }
        self.sent_at = now;
        Some(&self.bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::security::dtls::record::message_type;
    use crate::security::dtls::sample::{record, whole};

    fn lost() -> Vec<u8> {
        [record(22, 0, &whole(message_type::CERTIFICATE, 2, &[5; 90])), record(22, 1, &[0; 40])].concat()
    }

    #[test]
    fn the_flight_is_repeated_for_each_retransmission_but_not_faster_than_the_interval() {
        let begin = Instant::now();
        let mut flight = LastFlight::new([1, 2, 3].into(), begin);
        let mut sent_at_ms = Vec::new();
        for at_ms in [0, 19, 20, 21, 39, 40, 100, 110, 119, 121] {
            if let Some(bytes) = flight.handle_datagram(begin + Duration::from_millis(at_ms), &lost()) {
                assert_eq!(bytes, [1, 2, 3]);
                sent_at_ms.push(at_ms);
            }
        }
        assert_eq!(sent_at_ms, [20, 40, 100, 121]);
    }

    #[test]
    fn only_a_handshake_in_the_clear_asks_for_it() {
        let begin = Instant::now();
        let now = begin + Duration::from_secs(1);
        let mut flight = LastFlight::new([1].into(), begin);
        for other in [
            record(21, 1, &[0; 30]),
            record(22, 1, &[0; 40]),
            record(23, 0, &[0; 30]),
            record(21, 0, &[2, 40]),
            record(20, 0, &[1]),
            vec![22, 0xfe, 0xfd, 0, 0],
            vec![],
        ] {
            assert_eq!(flight.handle_datagram(now, &other), None);
        }
        assert!(flight.handle_datagram(now, &lost()).is_some());
    }
}
