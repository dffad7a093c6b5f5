//! Padding that makes packets for one listener equally long, so that the kernel takes them as one message.
//!
//! A message of several datagrams (UDP_SEGMENT) costs little more than one of one, but the kernel cuts it at one length, and
//! only the last may be shorter. Voices have frames of any length, and the packets of a picture differ by a byte or two. A
//! few bytes of padding (RFC 3550 section 5.1) close the gap. Only where another packet follows at once is anything padded.

/// Bytes of padding that a packet gets at most. A voice's packet has some 130 with SRTP, UDP and IP, and sixteen at most are
/// eight in the mean: a sixteenth more, for which three datagrams leave as a message where by their order alone it is two.
pub const PADDING_MAX: usize = 16;

/// How many bytes a packet of `len`, of which `payload_len` are payload, is padded by. It can join a message whose packets
/// have `joined_len` bytes, where there is one; behind it the listener gets packets with payloads of `followers`.
pub fn padding_len(
    len: usize,
    payload_len: usize,
    joined_len: Option<usize>,
    followers: impl Iterator<Item = usize>,
) -> usize {
    let mut close = followers.take_while(|follower| follower.abs_diff(payload_len) <= PADDING_MAX);
    match joined_len.and_then(|joined_len| joined_len.checked_sub(len)) {
        // A shorter one ends the message; so would this one, and nothing is to come.
        Some(gap) if gap > PADDING_MAX || close.next().is_none() => 0,
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
        padding_len(130, 100, joined_len, followers.iter().copied())
    }

    #[test]
    fn the_first_is_as_long_as_the_longest_that_follows_closely() {
        assert_eq!(padding(None, &[]), 0);
        assert_eq!(padding(None, &[90, 84]), 0);
        assert_eq!(padding(None, &[101, 116, 99]), 16);
        assert_eq!(padding(None, &[101, 117]), 1, "what is too long begins a message of its own");
        assert_eq!(padding(None, &[120, 101]), 0, "and so does what follows it");
        assert_eq!(padding(Some(129), &[101]), 1, "what is too long to join a message begins one");
    }

    #[test]
    fn one_that_joins_a_message_fills_its_segment_unless_it_is_the_last() {
        assert_eq!(padding(Some(130), &[100]), 0);
        assert_eq!(padding(Some(140), &[100]), 10);
        assert_eq!(padding(Some(147), &[100]), 0, "a shorter one ends the message");
        assert_eq!(padding(Some(140), &[]), 0);
    }
}
