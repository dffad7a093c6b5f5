//! Telling protocols apart on one socket.

/// What a datagram is, by RFC 7983 and, for RTP and RTCP, RFC 5761 section 4.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DatagramClass {
    /// STUN: an ICE connectivity check.
    Stun,
    /// DTLS: a handshake.
    Dtls,
    /// SRTP.
    Rtp,
    /// SRTCP.
    Rtcp,
    /// Nothing that is spoken here: empty, ZRTP, TURN channels, or noise.
    Unknown,
}

impl DatagramClass {
    /// Looks at the first two bytes.
    pub fn of(datagram: &[u8]) -> Self {
        match datagram {
            [0..=3, ..] => Self::Stun,
            [20..=63, ..] => Self::Dtls,
            // RTCP packet types 192–223 stand where RTP has its marker and a payload type of 64–95.
            [128..=191, 192..=223, ..] => Self::Rtcp,
            [128..=191, _, ..] => Self::Rtp,
            _ => Self::Unknown,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_byte_tells_the_protocol() {
        for first in 0..=255 {
            let expected = match first {
                0..=3 => DatagramClass::Stun,
                20..=63 => DatagramClass::Dtls,
                128..=191 => DatagramClass::Rtp,
                _ => DatagramClass::Unknown,
            };
            assert_eq!(DatagramClass::of(&[first, 0, 0]), expected, "{first}");
        }
        assert_eq!(DatagramClass::of(&[]), DatagramClass::Unknown);
        assert_eq!(DatagramClass::of(&[0x80]), DatagramClass::Unknown);
    }

    #[test]
    fn the_second_byte_tells_rtcp_from_rtp() {
        for second in 0..=255 {
            let expected = if (192..=223).contains(&second) { DatagramClass::Rtcp } else { DatagramClass::Rtp };
            assert_eq!(DatagramClass::of(&[0x80, second]), expected, "{second}");
        }
    }
}
