//! Records and handshake fragments of DTLS 1.2 in a datagram, borrowed (RFC 6347 sections 4.1 and 4.2.2).
//!
//! Only the shape is judged here: every length fits what surrounds it. What a handshake may hold is the filter's.

use shard_protocol::stats::DropReason;

/// Bytes of a record's header.
pub const RECORD_HEADER_LEN: usize = 13;

/// Bytes of the header of a handshake fragment.
pub const FRAGMENT_HEADER_LEN: usize = 12;

/// Content types, RFC 5246 section 6.2.1.
pub mod content_type {
    /// The message that switches the ciphers on.
    pub const CHANGE_CIPHER_SPEC: u8 = 20;
    /// A warning, or the end of the connection.
    pub const ALERT: u8 = 21;
    /// Handshake fragments.
    pub const HANDSHAKE: u8 = 22;
    /// Data of the application.
    pub const APPLICATION_DATA: u8 = 23;
}

/// Types of the handshake messages that are sent in the clear, RFC 5246 section 7.4 and RFC 6347 section 4.3.2.
pub mod message_type {
    /// The client's offer.
    pub const CLIENT_HELLO: u8 = 1;
    /// The server's choice.
    pub const SERVER_HELLO: u8 = 2;
    /// The server's cookie.
    pub const HELLO_VERIFY_REQUEST: u8 = 3;
    /// A certificate chain.
    pub const CERTIFICATE: u8 = 11;
    /// The server's ephemeral key.
    pub const SERVER_KEY_EXCHANGE: u8 = 12;
    /// The server's demand for a certificate.
    pub const CERTIFICATE_REQUEST: u8 = 13;
    /// The end of the server's flight; has no body.
    pub const SERVER_HELLO_DONE: u8 = 14;
    /// The client's proof that the certificate is its own.
    pub const CERTIFICATE_VERIFY: u8 = 15;
    /// The client's ephemeral key.
    pub const CLIENT_KEY_EXCHANGE: u8 = 16;
}

/// One record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record<'a> {
    /// One of [`content_type`].
    pub content: u8,
    /// 0 while nothing is encrypted.
    pub epoch: u16,
    /// What the record carries; never empty.
    pub payload: &'a [u8],
    /// The record with its header.
    pub bytes: &'a [u8],
}

/// A piece of a handshake message, or all of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fragment<'a> {
    /// One of [`message_type`], or any other.
    pub message: u8,
    /// Bytes of the whole message's body.
    pub message_len: usize,
    /// The place of the message in the handshake.
    pub message_seq: u16,
    /// Where the piece begins in the body.
    pub offset: usize,
    /// The piece; it lies within the body.
    pub body: &'a [u8],
}

/// Walks over the records of a datagram; after an error it ends.
///
/// An error is a record that is cut short or empty, or of another version than DTLS 1.0 (which a first ClientHello may
/// carry) or 1.2.
pub fn records(datagram: &[u8]) -> impl Iterator<Item = Result<Record<'_>, DropReason>> {
    walk(datagram, |rest| {
        let (header, body) = rest.split_first_chunk::<RECORD_HEADER_LEN>()?;
        let [content, 0xfe, 0xfd | 0xff, epoch_high, epoch_low, .., len_high, len_low] = *header else { return None };
        let len = usize::from(u16::from_be_bytes([len_high, len_low]));
        let payload = body.get(..len).filter(|payload| !payload.is_empty())?;
        let (bytes, rest) = rest.split_at_checked(RECORD_HEADER_LEN + len)?;
        Some((Record { content, epoch: u16::from_be_bytes([epoch_high, epoch_low]), payload, bytes }, rest))
    })
}

/// Walks over the handshake fragments of a record's payload; after an error it ends.
///
/// An error is a fragment that is cut short, or that does not lie within its message.
pub fn fragments(payload: &[u8]) -> impl Iterator<Item = Result<Fragment<'_>, DropReason>> {
    walk(payload, |rest| {
        let (header, rest) = rest.split_first_chunk::<FRAGMENT_HEADER_LEN>()?;
        let [message, l0, l1, l2, seq_high, seq_low, o0, o1, o2, f0, f1, f2] = *header;
        let message_len = length(l0, l1, l2);
        let offset = length(o0, o1, o2);
        let (body, rest) = rest.split_at_checked(length(f0, f1, f2))?;
        if offset + body.len() > message_len {
            return None;
        }
        let message_seq = u16::from_be_bytes([seq_high, seq_low]);
        Some((Fragment { message, message_len, message_seq, offset, body }, rest))
    })
}

fn walk<'a, T>(
    bytes: &'a [u8],
    split: impl Fn(&'a [u8]) -> Option<(T, &'a [u8])>,
) -> impl Iterator<Item = Result<T, DropReason>> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        match split(rest) {
            Some((item, after)) => {
                rest = after;
                Some(Ok(item))
            }
            None => {
                rest = &[];
                Some(Err(DropReason::DtlsMalformed))
            }
        }
    })
}

/// A length of 24 bits.
fn length(high: u8, middle: u8, low: u8) -> usize {
    usize::from(high) << 16 | usize::from(middle) << 8 | usize::from(low)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::security::dtls::sample::{fragment, record};

    #[test]
    fn records_and_fragments_are_walked_in_their_order() {
        let hello = fragment(message_type::CLIENT_HELLO, 5, 0, 1, b"abc");
        let done = fragment(message_type::SERVER_HELLO_DONE, 0, 4, 0, b"");
        let payload = [hello, done].concat();
        let datagram =
            [record(content_type::HANDSHAKE, 0, &payload), record(content_type::CHANGE_CIPHER_SPEC, 1, &[1])].concat();
        let found: Vec<_> = records(&datagram).map(Result::unwrap).collect();
        assert_eq!(found.len(), 2);
        assert_eq!((found[0].content, found[0].epoch, found[0].payload), (22, 0, &payload[..]));
        assert_eq!((found[1].content, found[1].epoch, found[1].payload), (20, 1, &[1u8][..]));
        assert_eq!([found[0].bytes, found[1].bytes].concat(), datagram);
        let pieces: Vec<_> = fragments(&payload).map(Result::unwrap).collect();
        assert_eq!(
            pieces,
            [
                Fragment { message: 1, message_len: 5, message_seq: 0, offset: 1, body: b"abc" },
                Fragment { message: 14, message_len: 0, message_seq: 4, offset: 0, body: b"" },
            ]
        );
    }

    #[test]
    fn whatever_is_cut_short_is_an_error_and_ends_the_walk() {
        let payload = fragment(message_type::CLIENT_HELLO, 3, 0, 0, b"abc");
        let datagram = record(content_type::HANDSHAKE, 0, &payload);
        for len in 1..datagram.len() {
            let walked: Vec<_> = records(&datagram[..len]).collect();
            assert_eq!(walked, [Err(DropReason::DtlsMalformed)], "{len} bytes of a record");
        }
        for len in 1..payload.len() {
            let walked: Vec<_> = fragments(&payload[..len]).collect();
            assert_eq!(walked, [Err(DropReason::DtlsMalformed)], "{len} bytes of a fragment");
        }
    }

    #[test]
    fn a_fragment_that_leaves_its_message_is_an_error() {
        for (len, offset) in [(2, 0), (3, 1), (0xff_ffff, 0xff_fffd)] {
            let payload = fragment(message_type::CERTIFICATE, len, 0, offset, b"abc");
            assert!(fragments(&payload).all(|fragment| fragment.is_err()), "offset {offset} of {len}");
        }
    }

    #[test]
    fn other_versions_and_empty_records_are_errors() {
        let mut datagram = record(content_type::HANDSHAKE, 0, b"x");
        for (major, minor, is_known) in [(0xfe, 0xfd, true), (0xfe, 0xff, true), (0xfe, 0xfc, false), (3, 3, false)] {
            datagram[1] = major;
            datagram[2] = minor;
            assert_eq!(records(&datagram).all(|record| record.is_ok()), is_known, "{major:x} {minor:x}");
        }
        assert!(records(&record(content_type::HANDSHAKE, 0, b"")).all(|record| record.is_err()));
    }
}
