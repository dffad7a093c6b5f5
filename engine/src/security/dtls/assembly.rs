//! Makes whole handshake messages of the fragments that a peer sends (RFC 6347 section 4.2.3).
//!
//! It stands in the handshake thread, behind the filter and right before the handshake library, which so never sees a
//! fragment of a message in the clear: its own assembly loses its way in overlapping fragments, reads a record wrong that
//! ends one message and begins the next, and can't be asked what it made of a hello before it reads it. There, because
//! the shard then needs no buffer for each transport, and a hello is read once.

use shard_protocol::stats::DropReason;

use super::hello;
use super::record::{FRAGMENT_HEADER_LEN, Fragment, RECORD_HEADER_LEN, content_type, fragments, message_type, records};
use super::{MESSAGE_LEN_MAX, MESSAGE_SEQ_MAX};

/// Bytes of one datagram for the handshake library: what it reads at once.
pub const ASSEMBLED_LEN_MAX: usize = MESSAGE_LEN_MAX + FRAGMENT_HEADER_LEN + RECORD_HEADER_LEN;

/// Messages of one connection.
const MESSAGES: usize = MESSAGE_SEQ_MAX as usize + 1;

/// The fragments of one connection's messages, until each is whole.
///
/// It keeps no more than what was given to it since the last complete message of the same place; the limits of
/// [`super::HandshakeFilter`] bound that.
#[derive(Default)]
pub struct Assembly {
    parts: [Parts; MESSAGES],
    /// Records in the clear are numbered anew, for there are others than those that came.
    next_record: u64,
    client_hello: Option<Box<[u8]>>,
}

#[derive(Default)]
struct Parts {
    message: u8,
    len: usize,
    /// Offset and bytes of each fragment, as they came.
    fragments: Vec<(usize, Box<[u8]>)>,
}

impl Assembly {
    /// Makes the assembly of a new connection.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes a datagram that passed the filter and gives `emit` datagrams of at most [`ASSEMBLED_LEN_MAX`] bytes with
    /// every message that it completed, whole, and everything else as it was.
    ///
    /// # Errors
    ///
    /// [`DropReason::DtlsMalformed`] where a part was left out: a hello that is not sane, or a fragment of another message
    /// than the one whose place it claims. The rest has been emitted.
    pub fn take(&mut self, datagram: &[u8], mut emit: impl FnMut(Vec<u8>)) -> Result<(), DropReason> {
        let mut out = Vec::new();
        let mut outcome = Ok(());
        for record in records(datagram).map_while(Result::ok) {
            if record.epoch != 0 {
                append(&mut out, record.bytes, &mut emit);
            } else if record.content == content_type::HANDSHAKE {
                for fragment in fragments(record.payload).map_while(Result::ok) {
                    match self.complete(&fragment) {
                        Ok(Some(message)) => {
                            let record = self.write_record(content_type::HANDSHAKE, &message);
                            append(&mut out, &record, &mut emit);
                        }
                        Ok(None) => {}
                        Err(reason) => outcome = Err(reason),
                    }
                }
            } else {
                let record = self.write_record(record.content, record.payload);
                append(&mut out, &record, &mut emit);
            }
        }
        if !out.is_empty() {
            emit(out);
        }
        outcome
    }

    /// The body of the first sane ClientHello, once it has come.
    pub fn client_hello(&self) -> Option<&[u8]> {
        self.client_hello.as_deref()
    }

    /// Adds a fragment and gives the message with its header, if that is complete now.
    fn complete(&mut self, fragment: &Fragment<'_>) -> Result<Option<Vec<u8>>, DropReason> {
        let parts = self.parts.get_mut(usize::from(fragment.message_seq)).ok_or(DropReason::DtlsMalformed)?;
        let Some(body) = parts.complete(fragment)? else { return Ok(None) };
        if !hello::is_sane(fragment.message, &body) {
            return Err(DropReason::DtlsMalformed);
        }
        let [_, l0, l1, l2] = (body.len() as u32).to_be_bytes();
        let [seq_high, seq_low] = fragment.message_seq.to_be_bytes();
        let header: [u8; FRAGMENT_HEADER_LEN] = [fragment.message, l0, l1, l2, seq_high, seq_low, 0, 0, 0, l0, l1, l2];
        let message = [&header[..], &body].concat();
        if fragment.message == message_type::CLIENT_HELLO && self.client_hello.is_none() {
            self.client_hello = Some(body.into());
        }
        Ok(Some(message))
    }

    fn write_record(&mut self, content: u8, payload: &[u8]) -> Vec<u8> {
        let mut record = Vec::with_capacity(RECORD_HEADER_LEN + payload.len());
        record.extend([content, 0xfe, 0xfd]);
        // Epoch 0 in the upper two bytes: a connection has no 2^48 records.
        record.extend(self.next_record.to_be_bytes());
        // Both kinds of payload are within `MESSAGE_LEN_MAX` and a header.
        record.extend((payload.len() as u16).to_be_bytes());
        record.extend(payload);
        self.next_record += 1;
        record
    }
}

impl Parts {
    /// Adds a fragment and gives the body, if that is complete now.
    fn complete(&mut self, fragment: &Fragment<'_>) -> Result<Option<Vec<u8>>, DropReason> {
        if fragment.message_len > MESSAGE_LEN_MAX {
            return Err(DropReason::DtlsMalformed);
        }
        if fragment.body.len() == fragment.message_len {
            self.fragments.clear();
            return Ok(Some(fragment.body.to_vec()));
        }
        if self.fragments.is_empty() {
            self.message = fragment.message;
            self.len = fragment.message_len;
        } else if self.message != fragment.message || self.len != fragment.message_len {
            // Two messages can't have one place; the first to come is the peer's word.
            return Err(DropReason::DtlsMalformed);
        }
        self.fragments.push((fragment.offset, fragment.body.into()));
        let body = self.join();
        if body.is_some() {
            self.fragments.clear();
        }
        Ok(body)
    }

    /// The body, if no byte of it is missing.
    fn join(&self) -> Option<Vec<u8>> {
        let mut body = Vec::with_capacity(self.len);
        while body.len() < self.len {
            // Of all fragments that hold the next byte, the one that reaches farthest.
            let next = self
                .fragments
                .iter()
                .filter_map(|(offset, bytes)| bytes.get(body.len().checked_sub(*offset)?..))
                .max_by_key(|rest| rest.len())
                .filter(|rest| !rest.is_empty())?;
            body.extend_from_slice(next);
        }
        Some(body)
    }
}

/// Adds a record to the datagram under way; where there is no room for it, that one is given away first.
fn append(out: &mut Vec<u8>, record: &[u8], emit: &mut impl FnMut(Vec<u8>)) {
    if out.len() + record.len() > ASSEMBLED_LEN_MAX {
        emit(std::mem::take(out));
    }
    out.extend_from_slice(record);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::security::dtls::sample::{
        chromium_client_hello, client_hello, client_hello_records, fragment, record, whole,
    };

    fn take(assembly: &mut Assembly, datagram: &[u8]) -> Vec<Vec<u8>> {
        let mut taken = Vec::new();
        let _ = assembly.take(datagram, |datagram| taken.push(datagram));
        taken
    }

    /// Place and body of each message in the clear.
    fn messages(datagrams: &[Vec<u8>]) -> Vec<(u16, Vec<u8>)> {
        let mut found = Vec::new();
        for record in datagrams.iter().flat_map(|datagram| records(datagram)).map(Result::unwrap) {
            for fragment in fragments(record.payload).map(Result::unwrap) {
                assert_eq!((fragment.offset, fragment.body.len()), (0, fragment.message_len));
                found.push((fragment.message_seq, fragment.body.to_vec()));
            }
        }
        found
    }

    #[test]
    fn a_hello_in_two_datagrams_comes_out_whole_once_both_are_there() {
        let hello = chromium_client_hello();
        for order in [[0, 1], [1, 0]] {
            let datagrams = client_hello_records(&hello, 1200);
            assert_eq!(datagrams.len(), 2);
            let mut assembly = Assembly::new();
            assert!(take(&mut assembly, &datagrams[order[0]]).is_empty());
            assert_eq!(assembly.client_hello(), None);
            assert_eq!(messages(&take(&mut assembly, &datagrams[order[1]])), [(0, hello.clone())]);
            assert_eq!(assembly.client_hello(), Some(&hello[..]));
        }
    }

    #[test]
    fn a_lost_half_comes_with_the_retransmission() {
        let hello = chromium_client_hello();
        let (first, again) = (client_hello_records(&hello, 1200), client_hello_records(&hello, 900));
        let mut assembly = Assembly::new();
        assert!(take(&mut assembly, &first[0]).is_empty());
        assert_eq!(messages(&take(&mut assembly, &again[1])), [(0, hello)]);
    }

    #[test]
    fn a_retransmitted_message_comes_out_again() {
        let datagram = record(22, 0, &whole(message_type::CERTIFICATE, 2, &[5; 90]));
        let mut assembly = Assembly::new();
        assert_eq!(messages(&take(&mut assembly, &datagram)).len(), 1);
        assert_eq!(messages(&take(&mut assembly, &datagram)).len(), 1);
    }

    #[test]
    fn one_record_may_end_a_message_and_begin_the_next() {
        let (certificate, key) = ([1; 100], [2; 33]);
        let first = record(22, 0, &fragment(message_type::CERTIFICATE, 100, 2, 0, &certificate[..60]));
        let second = record(
            22,
            0,
            &[
                fragment(message_type::CERTIFICATE, 100, 2, 60, &certificate[60..]),
                fragment(message_type::CLIENT_KEY_EXCHANGE, 33, 3, 0, &key),
            ]
            .concat(),
        );
        let mut assembly = Assembly::new();
        assert!(take(&mut assembly, &first).is_empty());
        let found = messages(&take(&mut assembly, &second));
        assert_eq!(found, [(2, certificate.to_vec()), (3, key.to_vec())]);
    }

    #[test]
    fn records_in_the_clear_are_numbered_anew_and_others_stay_as_they_are() {
        let datagram = [
            record(22, 0, &whole(message_type::CERTIFICATE, 2, &[5; 9])),
            record(20, 0, &[1]),
            record(22, 1, &[7; 40]),
        ]
        .concat();
        let mut assembly = Assembly::new();
        for first in [0, 2] {
            let taken = take(&mut assembly, &datagram);
            let found: Vec<_> = records(&taken[0]).map(Result::unwrap).collect();
            let numbers: Vec<_> = found.iter().map(|record| record.bytes[10]).collect();
            assert_eq!(numbers, [first, first + 1, 0]);
            assert_eq!(found[2].bytes, record(22, 1, &[7; 40]));
        }
    }

    #[test]
    fn a_hello_that_is_not_sane_does_not_come_out() {
        let mut assembly = Assembly::new();
        let datagrams = client_hello_records(&client_hello(&[0, 23, 0]), 20);
        for (number, datagram) in datagrams.iter().enumerate() {
            let outcome = assembly.take(datagram, |_| panic!("nothing comes out"));
            let is_last = number == datagrams.len() - 1;
            assert_eq!(outcome, if is_last { Err(DropReason::DtlsMalformed) } else { Ok(()) });
        }
        assert_eq!(assembly.client_hello(), None);
    }

    #[test]
    fn a_fragment_of_another_message_in_the_same_place_is_left_out() {
        let mut assembly = Assembly::new();
        let piece = |message, len, at, body| record(22, 0, &fragment(message, len, 2, at, body));
        assert_eq!(assembly.take(&piece(11, 6, 0, &[1; 3]), |_| ()), Ok(()));
        for other in [piece(15, 6, 3, &[2; 3]), piece(11, 7, 3, &[2; 3])] {
            assert_eq!(assembly.take(&other, |_| ()), Err(DropReason::DtlsMalformed));
        }
        assert_eq!(messages(&take(&mut assembly, &piece(11, 6, 3, &[1; 3]))), [(2, vec![1; 6])]);
    }

    #[test]
    fn more_than_the_library_reads_at_once_is_spread_over_datagrams() {
        let mut assembly = Assembly::new();
        let mut parts = Vec::new();
        for seq in 0..3 {
            parts.push(fragment(message_type::CERTIFICATE, MESSAGE_LEN_MAX, seq, 1, &vec![3; MESSAGE_LEN_MAX - 1]));
        }
        for part in &parts {
            assert!(take(&mut assembly, &record(22, 0, part)).is_empty());
        }
        let last = (0..3).map(|seq| fragment(message_type::CERTIFICATE, MESSAGE_LEN_MAX, seq, 0, &[3]));
        let taken = take(&mut assembly, &record(22, 0, &last.collect::<Vec<_>>().concat()));
        assert_eq!(taken.iter().map(Vec::len).collect::<Vec<_>>(), [ASSEMBLED_LEN_MAX; 3]);
    }

    proptest! {
        #[test]
        fn any_cut_order_overlap_and_repetition_gives_the_message(
            body in prop::collection::vec(any::<u8>(), 4..400),
            mut pieces in prop::collection::vec((any::<prop::sample::Index>(), 1usize..120), 0..20),
            seed in any::<u64>(),
        ) {
            // A cover of the whole in steps of 50, and random pieces that overlap it.
            let mut ranges: Vec<_> = (0..body.len()).step_by(50).map(|at| (at, 50)).collect();
            ranges.extend(pieces.drain(..).map(|(at, len)| (at.index(body.len()), len)));
            let mut order = seed;
            for place in (1..ranges.len()).rev() {
                order = order.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                ranges.swap(place, (order >> 33) as usize % (place + 1));
            }
            let mut assembly = Assembly::new();
            let mut found = Vec::new();
            for (at, len) in ranges {
                let end = body.len().min(at + len);
                let piece = fragment(message_type::CERTIFICATE, body.len(), 4, at, &body[at..end]);
                found.extend(messages(&take(&mut assembly, &record(22, 0, &piece))));
            }
            prop_assert!(!found.is_empty());
            prop_assert!(found.iter().all(|message| *message == (4, body.clone())));
        }

        #[test]
        fn any_bytes_are_taken_and_what_comes_out_fits(datagram in prop::collection::vec(any::<u8>(), 0..2048)) {
            for taken in take(&mut Assembly::new(), &datagram) {
                prop_assert!(taken.len() <= ASSEMBLED_LEN_MAX);
                prop_assert!(records(&taken).all(|record| record.is_ok()));
            }
        }
    }
}
