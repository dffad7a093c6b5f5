//! The filter in front of the handshakes: a datagram that no sane peer sends in a handshake goes no further.
//!
//! It stands in the shard, one for each transport, between ingress and the queue to the handshake thread, and neither
//! allocates nor keeps anything but counts. What can only be judged of a whole message is left to [`super::Assembly`].

use shard_protocol::stats::DropReason;

use super::record::{Fragment, Record, content_type, fragments, message_type, records};

/// Records of one datagram. The longest flight, the client's second, has five.
const RECORDS_PER_DATAGRAM_MAX: usize = 16;

/// Bytes of one handshake message: what fits, with the headers of record and fragment, into the 8192 bytes that the
/// handshake library reads at once. A browser's longest, a post-quantum ClientHello, has 1500.
pub const MESSAGE_LEN_MAX: usize = 8192 - 25;

/// The highest place of a message in a handshake. A full one of DTLS 1.2 ends at 7.
pub const MESSAGE_SEQ_MAX: u16 = 8;

/// Handshake fragments and ChangeCipherSpecs of one connection: more than twenty times what a handshake takes, for
/// retransmissions.
const FRAGMENTS_MAX: u16 = 128;

/// Bytes of one connection, as generous as [`FRAGMENTS_MAX`].
const BYTES_MAX: u32 = 64 * 1024;

/// Encrypted records of one connection before the handshake is complete. Only Finished comes then, and again with each
/// retransmission; the handshake library keeps each until it has keys.
const EARLY_RECORDS_MAX: u8 = 32;

/// The shortest payload of an encrypted record: the explicit nonce and the tag of AES-GCM (RFC 5288 section 3). The
/// handshake library computes with less without looking.
const ENCRYPTED_LEN_MIN: usize = 8 + 16;

/// Counts what one connection has sent and tells what may go on to its handshake.
///
/// [`Self::check`] every datagram from the peer's validated address until the handshake is complete; after that only
/// [`super::LastFlight`] looks at the peer's DTLS.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HandshakeFilter {
    fragments: u16,
    bytes: u32,
    early_records: u8,
}

impl HandshakeFilter {
    /// Makes the filter of a new connection.
    pub fn new() -> Self {
        Self::default()
    }

    /// Says whether the handshake may see `datagram`, as a whole. A dropped datagram leaves the counts as they were.
    ///
    /// # Errors
    ///
    /// [`DropReason::DtlsMalformed`] for what is out of shape or over a limit, [`DropReason::DtlsUnexpected`] for what
    /// has no place in a handshake: alerts in the clear, which anyone can forge, and data.
    pub fn check(&mut self, datagram: &[u8]) -> Result<(), DropReason> {
        let mut after = *self;
        after.bytes = after.bytes.saturating_add(u32::try_from(datagram.len()).unwrap_or(u32::MAX));
        let mut count = 0;
        for record in records(datagram) {
            count += 1;
            after.add_record(&record?)?;
        }
        let is_within = after.bytes <= BYTES_MAX
            && after.fragments <= FRAGMENTS_MAX
            && after.early_records <= EARLY_RECORDS_MAX
            && (1..=RECORDS_PER_DATAGRAM_MAX).contains(&count);
        if !is_within {
            return Err(DropReason::DtlsMalformed);
        }
        *self = after;
        Ok(())
    }

    fn add_record(&mut self, record: &Record<'_>) -> Result<(), DropReason> {
        match (record.epoch, record.content) {
            (0, content_type::HANDSHAKE) => {
                for fragment in fragments(record.payload) {
                    check_fragment(&fragment?)?;
                    self.fragments = self.fragments.saturating_add(1);
                }
                Ok(())
            }
            // The one body that there is; of anything else the library makes a fatal alert.
            (0, content_type::CHANGE_CIPHER_SPEC) if record.payload == [1] => {
                self.fragments = self.fragments.saturating_add(1);
                Ok(())
            }
            (0, content_type::ALERT | content_type::APPLICATION_DATA) => Err(DropReason::DtlsUnexpected),
            (1, content_type::HANDSHAKE | content_type::ALERT) if record.payload.len() >= ENCRYPTED_LEN_MIN => {
                self.early_records = self.early_records.saturating_add(1);
                Ok(())
            }
            // There are no data channels.
            (1, content_type::APPLICATION_DATA) => Err(DropReason::DtlsUnexpected),
            _ => Err(DropReason::DtlsMalformed),
        }
    }
}

fn check_fragment(fragment: &Fragment<'_>) -> Result<(), DropReason> {
    let len_min = message_len_min(fragment.message).ok_or(DropReason::DtlsUnexpected)?;
    let is_sane = (len_min..=MESSAGE_LEN_MAX).contains(&fragment.message_len)
        && fragment.message_seq <= MESSAGE_SEQ_MAX
        // An empty fragment of a message with a body says nothing.
        && fragment.body.is_empty() == (fragment.message_len == 0)
        && (fragment.message != message_type::SERVER_HELLO_DONE || fragment.message_len == 0);
    if is_sane { Ok(()) } else { Err(DropReason::DtlsMalformed) }
}

/// The shortest body that is not nonsense; `None` for a message that is not sent in the clear. The handshake library
/// reads the first bytes of both key exchanges without looking whether they are there.
fn message_len_min(message: u8) -> Option<usize> {
    match message {
        message_type::SERVER_HELLO_DONE => Some(0),
        message_type::HELLO_VERIFY_REQUEST | message_type::CERTIFICATE => Some(3),
        message_type::CERTIFICATE_REQUEST | message_type::CERTIFICATE_VERIFY => Some(4),
        message_type::SERVER_KEY_EXCHANGE | message_type::CLIENT_KEY_EXCHANGE => Some(4),
        // Version and random number alone.
        message_type::CLIENT_HELLO | message_type::SERVER_HELLO => Some(34),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::security::dtls::sample::{fragment, record, whole};

    const MALFORMED: Result<(), DropReason> = Err(DropReason::DtlsMalformed);
    const UNEXPECTED: Result<(), DropReason> = Err(DropReason::DtlsUnexpected);

    fn check(datagram: &[u8]) -> Result<(), DropReason> {
        HandshakeFilter::new().check(datagram)
    }

    fn handshake(payload: &[u8]) -> Vec<u8> {
        record(content_type::HANDSHAKE, 0, payload)
    }

    fn hello_piece() -> Vec<u8> {
        handshake(&fragment(message_type::CLIENT_HELLO, 1400, 0, 0, &[7; 10]))
    }

    #[test]
    fn a_flight_with_certificate_key_exchange_change_of_ciphers_and_finished_passes() {
        let flight = [
            handshake(&whole(message_type::CERTIFICATE, 2, &[0; 300])),
            handshake(&whole(message_type::CLIENT_KEY_EXCHANGE, 3, &[32; 33])),
            handshake(&whole(message_type::CERTIFICATE_VERIFY, 4, &[4; 76])),
            record(content_type::CHANGE_CIPHER_SPEC, 0, &[1]),
            record(content_type::HANDSHAKE, 1, &[9; 48]),
        ];
        assert_eq!(check(&flight.concat()), Ok(()));
    }

    #[test]
    fn nothing_and_cut_records_and_content_of_other_types_are_malformed() {
        assert_eq!(check(&[]), MALFORMED);
        let datagram = hello_piece();
        for len in 0..datagram.len() {
            assert_eq!(check(&datagram[..len]), MALFORMED);
        }
        for content in (0..=255).filter(|content| !(20..=23).contains(content)) {
            assert_eq!(check(&record(content, 0, &[1; 30])), MALFORMED);
            assert_eq!(check(&record(content, 1, &[1; 30])), MALFORMED);
        }
    }

    #[test]
    fn epochs_above_one_are_malformed() {
        for epoch in [2, 3, u16::MAX] {
            assert_eq!(check(&record(content_type::HANDSHAKE, epoch, &[0; 48])), MALFORMED);
        }
    }

    #[test]
    fn a_datagram_holds_at_most_sixteen_records() {
        let change = record(content_type::CHANGE_CIPHER_SPEC, 0, &[1]);
        assert_eq!(check(&change.repeat(16)), Ok(()));
        assert_eq!(check(&change.repeat(17)), MALFORMED);
    }

    #[test]
    fn a_message_is_neither_too_long_nor_too_late_in_the_handshake() {
        let piece = |len, seq| handshake(&fragment(message_type::CERTIFICATE, len, seq, 0, &[0; 10]));
        assert_eq!(check(&piece(MESSAGE_LEN_MAX, 8)), Ok(()));
        assert_eq!(check(&piece(MESSAGE_LEN_MAX + 1, 8)), MALFORMED);
        assert_eq!(check(&piece(100, 9)), MALFORMED);
    }

    #[test]
    fn an_empty_fragment_passes_only_where_the_message_is_empty_by_its_nature() {
        assert_eq!(check(&handshake(&whole(message_type::SERVER_HELLO_DONE, 5, &[]))), Ok(()));
        assert_eq!(check(&handshake(&whole(message_type::SERVER_HELLO_DONE, 5, &[0]))), MALFORMED);
        for message in [1, 2, 3, 11, 12, 13, 15, 16] {
            assert_eq!(check(&handshake(&fragment(message, 100, 0, 0, &[]))), MALFORMED);
            assert_eq!(check(&handshake(&whole(message, 0, &[]))), MALFORMED);
        }
    }

    #[test]
    fn key_exchanges_without_a_key_are_malformed() {
        for message in [message_type::SERVER_KEY_EXCHANGE, message_type::CLIENT_KEY_EXCHANGE] {
            for len in 0..4 {
                assert_eq!(check(&handshake(&whole(message, 3, &vec![0; len]))), MALFORMED);
            }
        }
    }

    #[test]
    fn messages_that_are_never_sent_in_the_clear_are_unexpected() {
        for message in [0, 4, 10, 20, 21, 22, 24, 255] {
            assert_eq!(check(&handshake(&whole(message, 0, &[0; 40]))), UNEXPECTED);
        }
    }

    #[test]
    fn alerts_in_the_clear_and_data_are_unexpected() {
        assert_eq!(check(&record(content_type::ALERT, 0, &[2, 40])), UNEXPECTED);
        assert_eq!(check(&record(content_type::APPLICATION_DATA, 0, &[0; 40])), UNEXPECTED);
        assert_eq!(check(&record(content_type::APPLICATION_DATA, 1, &[0; 40])), UNEXPECTED);
        assert_eq!(check(&[hello_piece(), record(content_type::ALERT, 0, &[1, 0])].concat()), UNEXPECTED);
    }

    #[test]
    fn a_change_of_ciphers_is_one_byte_in_the_clear() {
        assert_eq!(check(&record(content_type::CHANGE_CIPHER_SPEC, 0, &[1])), Ok(()));
        assert_eq!(check(&record(content_type::CHANGE_CIPHER_SPEC, 0, &[2])), MALFORMED);
        assert_eq!(check(&record(content_type::CHANGE_CIPHER_SPEC, 0, &[1, 1])), MALFORMED);
        assert_eq!(check(&record(content_type::CHANGE_CIPHER_SPEC, 1, &[1])), MALFORMED);
    }

    #[test]
    fn encrypted_records_too_short_to_be_any_are_malformed() {
        for content in [content_type::HANDSHAKE, content_type::ALERT] {
            assert_eq!(check(&record(content, 1, &[0; 23])), MALFORMED);
            assert_eq!(check(&record(content, 1, &[0; 24])), Ok(()));
        }
    }

    #[test]
    fn a_connection_sends_at_most_its_share_of_fragments() {
        let mut filter = HandshakeFilter::new();
        for _ in 0..127 {
            assert_eq!(filter.check(&hello_piece()), Ok(()));
        }
        assert_eq!(filter.check(&hello_piece().repeat(2)), MALFORMED);
        assert_eq!(filter.check(&hello_piece()), Ok(()));
        assert_eq!(filter.check(&hello_piece()), MALFORMED);
        assert_eq!(filter.check(&record(content_type::CHANGE_CIPHER_SPEC, 0, &[1])), MALFORMED);
    }

    #[test]
    fn many_fragments_in_one_record_count_each() {
        let piece = fragment(message_type::CERTIFICATE, 100, 0, 0, &[0]);
        assert_eq!(check(&handshake(&piece.repeat(128))), Ok(()));
        assert_eq!(check(&handshake(&piece.repeat(129))), MALFORMED);
    }

    #[test]
    fn a_connection_sends_at_most_its_share_of_bytes() {
        let datagram = handshake(&fragment(message_type::CERTIFICATE, 8000, 2, 0, &[0; 1500]));
        let mut filter = HandshakeFilter::new();
        let passed = (0..100).filter(|_| filter.check(&datagram).is_ok()).count();
        assert_eq!(passed, 64 * 1024 / datagram.len());
    }

    #[test]
    fn a_connection_sends_at_most_its_share_of_early_encrypted_records() {
        let mut filter = HandshakeFilter::new();
        let finished = record(content_type::HANDSHAKE, 1, &[0; 48]);
        let passed = (0..100).filter(|_| filter.check(&finished).is_ok()).count();
        assert_eq!(passed, 32);
        assert_eq!(filter.check(&hello_piece()), Ok(()), "records in the clear have their own share");
    }

    proptest! {
        #[test]
        fn whatever_comes_the_share_is_kept_and_a_drop_costs_nothing(
            datagrams in prop::collection::vec((prop::collection::vec(any::<u8>(), 0..200), any::<bool>()), 1..60)
        ) {
            let mut filter = HandshakeFilter::new();
            for (bytes, is_framed) in datagrams {
                let datagram = if is_framed { handshake(&whole(message_type::CERTIFICATE, 2, &bytes)) } else { bytes };
                let before = filter;
                if filter.check(&datagram).is_err() {
                    prop_assert_eq!(filter, before);
                }
                prop_assert!(filter.fragments <= FRAGMENTS_MAX && filter.bytes <= BYTES_MAX);
            }
        }
    }
}
