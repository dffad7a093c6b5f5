//! Padding that makes packets for one listener equally long, so that the kernel takes them as one message.
//!
//! A message of several datagrams (UDP_SEGMENT) costs little more than one of one, but the kernel cuts it at one length, and
//! only the last may be shorter. Voices have frames of any length, and the packets of a picture differ by a byte or two. A
//! few bytes of padding (RFC 3550 section 5.1) close the gap. Only where another packet follows at once is anything padded.

use shard_protocol::tables::MediaKind;

use crate::packet::SEGMENTS_MAX;

/// Bytes of padding that any packet gets at most.
pub const PADDING_MAX: usize = 32;

/// Bytes of padding that a packet of `kind` gets at most.
///
/// Where four voices are on their way to one listener, their packets are a twentieth longer in the mean, for which three such
/// listeners get four messages instead of six. With half as much it would be more than five, and with half as much again
/// three, of packets that are a twelfth longer. Where one voice comes at a time, nothing is padded. A picture's packets differ by a byte or
/// two, and one of 1200 bytes has no room for more than sixteen in the 1280 that every path of IPv6 takes (RFC 8200 section
/// 5), beside SRTP's tag and the headers of UDP and IP.
pub fn padding_max(kind: MediaKind) -> usize {
    match kind {
        MediaKind::Audio => PADDING_MAX,
        MediaKind::Video => 16,
    }
}

/// How many bytes a packet of `len`, of which `payload_len` are payload, is padded by, `padding_max` at the most. It can join
/// a message whose packets have `joined_len` bytes, where there is one; behind it the listener gets packets with payloads of
/// `followers`.
pub fn padding_len(
    padding_max: usize,
    len: usize,
    payload_len: usize,
    joined_len: Option<usize>,
    followers: impl Iterator<Item = usize>,
) -> usize {
    let mut close =
        followers.take(SEGMENTS_MAX - 1).take_while(|follower| follower.abs_diff(payload_len) <= padding_max);
    match joined_len.and_then(|joined_len| joined_len.checked_sub(len)) {
        // A shorter one ends the message; so would this one, and nothing is to come.
        Some(gap) if gap > padding_max || close.next().is_none() => 0,
        Some(gap) => gap,
        // It begins a message, which is to hold the longest that follows closely.
        None => close.max().map_or(0, |longest| longest.saturating_sub(payload_len)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A packet with a payload of 100 and a header of 30 bytes.
    fn padding(joined_len: Option<usize>, followers: &[usize]) -> usize {
        padding_len(PADDING_MAX, 130, 100, joined_len, followers.iter().copied())
    }

    #[test]
    fn the_first_is_as_long_as_the_longest_that_follows_closely() {
        assert_eq!(padding(None, &[]), 0);
        assert_eq!(padding(None, &[90, 68]), 0);
        assert_eq!(padding(None, &[101, 132, 99]), 32);
        assert_eq!(padding(None, &[101, 133]), 1, "what is too long begins a message of its own");
        assert_eq!(padding(None, &[140, 101]), 0, "and so does what follows it");
        assert_eq!(padding(Some(129), &[101]), 1, "what is too long to join a message begins one");
    }

    #[test]
    fn one_that_joins_a_message_fills_its_segment_unless_it_is_the_last() {
        assert_eq!(padding(Some(130), &[100]), 0);
        assert_eq!(padding(Some(140), &[100]), 10);
        assert_eq!(padding(Some(163), &[100]), 0, "a shorter one ends the message");
        assert_eq!(padding(Some(140), &[]), 0);
    }

    #[test]
    fn four_voices_leave_as_less_than_one_message_and_a_half_and_grow_by_a_twentieth() {
        let (mut listeners, mut messages, mut bytes, mut padded) = (0, 0, 0, 0);
        // Each set of four lengths once, the longest first; speech at 32 kbit/s has such packets.
        let lens = || (95..=155_usize).step_by(5);
        for first in lens() {
            for second in lens().filter(|second| *second < first) {
                for third in lens().filter(|third| *third < second) {
                    for fourth in lens().filter(|fourth| *fourth < third) {
                        let voices = [first, second, third, fourth];
                        let mut joined_len = None;
                        for (at, &len) in voices.iter().enumerate() {
                            let padding =
                                padding_len(PADDING_MAX, len, len, joined_len, voices[at + 1..].iter().copied());
                            messages += usize::from(joined_len.is_none());
                            // A shorter one ends the message.
                            joined_len = Some(len + padding)
                                .filter(|len| joined_len.is_none_or(|joined_len| *len == joined_len));
                            padded += padding;
                        }
                        bytes += voices.iter().sum::<usize>();
                        listeners += 1;
                    }
                }
            }
        }
        assert!(2 * messages < 3 * listeners, "{messages} messages, {listeners} listeners");
        assert!(20 * padded <= bytes, "{padded} of {bytes} bytes");
    }
}
