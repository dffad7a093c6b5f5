//! Synthetic voice: payloads that a receiver can check.
//!
//! A payload has the size of an Opus frame and the first byte of one (the table of contents, RFC 6716 3.1). What
//! follows tells who sent it, its place in the stream and when it was sent; the rest is filler that follows from the
//! first two, so that a single altered byte shows. The engine never looks into a payload.

use std::time::{SystemTime, UNIX_EPOCH};

/// Opus in CELT fullband, 20 ms, stereo, one frame: configuration 31, `s` 1, code 0.
const TABLE_OF_CONTENTS: u8 = 31 << 3 | 1 << 2;
/// Table of contents, publisher, counter and send time.
const FIELDS_LEN: usize = 1 + 4 + 8 + 8;

/// What a payload says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VoicePayload {
    /// Who sent it.
    pub publisher: u32,
    /// Its place in the stream, from zero.
    pub counter: u64,
    /// When it was sent, in nanoseconds since the Unix epoch.
    pub sent_at_ns: u64,
}

impl VoicePayload {
    /// Twenty milliseconds of 128 kbit/s.
    pub const LEN: usize = 320;

    /// Writes the payload into `len` bytes, or as many as its fields need.
    pub fn encode(&self, len: usize) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(len.max(FIELDS_LEN));
        bytes.push(TABLE_OF_CONTENTS);
        bytes.extend_from_slice(&self.publisher.to_be_bytes());
        bytes.extend_from_slice(&self.counter.to_be_bytes());
        bytes.extend_from_slice(&self.sent_at_ns.to_be_bytes());
        bytes.extend(self.filler().take(len.saturating_sub(FIELDS_LEN)));
        bytes
    }

    /// Reads a payload; `None` where a byte is not as it was sent. The send time alone can't be checked.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let (contents, rest) = bytes.split_first()?;
        let (publisher, rest) = rest.split_first_chunk()?;
        let (counter, rest) = rest.split_first_chunk()?;
        let (sent_at_ns, filler) = rest.split_first_chunk()?;
        let payload = Self {
            publisher: u32::from_be_bytes(*publisher),
            counter: u64::from_be_bytes(*counter),
            sent_at_ns: u64::from_be_bytes(*sent_at_ns),
        };
        let is_whole = *contents == TABLE_OF_CONTENTS && payload.filler().take(filler.len()).eq(filler.iter().copied());
        is_whole.then_some(payload)
    }

    /// An endless run of bytes that follows from publisher and counter (SplitMix64).
    fn filler(&self) -> impl Iterator<Item = u8> + use<> {
        let mut state = u64::from(self.publisher) << 32 ^ self.counter;
        std::iter::repeat_with(move || {
            state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut mixed = state;
            mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            (mixed ^ (mixed >> 31)).to_be_bytes()
        })
        .flatten()
    }
}

/// The clock of all stamps: the kernel's, so that its receive stamps and our send stamps can be compared.
/// Nanoseconds since the Unix epoch.
pub fn now_ns() -> u64 {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since_epoch.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_payload_is_read_as_it_was_written(publisher: u32, counter: u64, sent_at_ns: u64, len in 0usize..400) {
            let payload = VoicePayload { publisher, counter, sent_at_ns };
            let bytes = payload.encode(len);
            prop_assert_eq!(bytes.len(), len.max(FIELDS_LEN));
            prop_assert_eq!(VoicePayload::decode(&bytes), Some(payload));
        }

        #[test]
        fn an_altered_or_foreign_payload_is_noticed(place in 0usize..VoicePayload::LEN, flip in 1u8..) {
            let payload = VoicePayload { publisher: 7, counter: 9, sent_at_ns: 11 };
            let mut bytes = payload.encode(VoicePayload::LEN);
            bytes[place] ^= flip;
            prop_assert_ne!(VoicePayload::decode(&bytes), Some(payload));
        }
    }
}
