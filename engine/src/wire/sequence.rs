//! RTP sequence numbers and packet indices.

/// RTP sequence number, RFC 3550 section 5.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SeqNo(pub u16);

/// Index of a packet in its stream: the roll-over counter times 2^16, and the sequence number (RFC 3711 section 3.3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PacketIndex(pub u64);
