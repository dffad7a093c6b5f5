//! Numbers that wrap: sequence numbers, their extension by the roll-over counter, timestamps.

/// RTP sequence number as it stands on the wire, RFC 3550 section 5.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SeqNo(pub u16);

/// SRTP packet index: roll-over counter times 2^16 plus sequence number, RFC 3711 section 3.3.1. It never wraps in use:
/// 2^48 packets are 180 000 years of voice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PacketIndex(pub u64);

impl PacketIndex {
    /// The part that stands on the wire.
    pub fn sequence(self) -> SeqNo {
        SeqNo(self.0 as u16)
    }

    /// The index after this one.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }

    /// How often the sequence number has wrapped.
    pub fn roll_over(self) -> u32 {
        (self.0 >> 16) as u32
    }
}

/// RTP timestamp in units of the stream's clock, RFC 3550 section 5.1. It wraps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Timestamp(pub u32);

impl Timestamp {
    /// This timestamp moved on by `ticks`.
    #[must_use]
    pub fn plus(self, ticks: u32) -> Self {
        Self(self.0.wrapping_add(ticks))
    }

    /// How many ticks lie between `earlier` and this timestamp.
    pub fn since(self, earlier: Self) -> u32 {
        self.0.wrapping_sub(earlier.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_index_is_its_roll_over_and_its_sequence() {
        let index = PacketIndex(0x0001_2345_fffe);
        assert_eq!((index.roll_over(), index.sequence()), (0x0001_2345, SeqNo(0xfffe)));
    }

    #[test]
    fn timestamps_wrap() {
        let late = Timestamp(u32::MAX - 9);
        assert_eq!(late.plus(20), Timestamp(10));
        assert_eq!(late.plus(20).since(late), 20);
    }
}
