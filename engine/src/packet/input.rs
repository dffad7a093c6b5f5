//! The datagrams that one turn took from the socket.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Instant;

use super::{BATCH_MAX, SLOT_LEN};

/// One received datagram.
pub struct Slot {
    /// The datagram's bytes; those from `len` on are left over from earlier ones.
    pub bytes: [u8; SLOT_LEN],
    /// How many bytes the datagram has; more than [`SLOT_LEN`] where it did not fit.
    pub len: usize,
    /// Who sent it.
    pub source: SocketAddr,
    /// The address of this host that it was sent to.
    pub local: IpAddr,
    /// When the kernel took it from the network; the turn's time where the kernel does not say.
    pub received_at: Instant,
}

impl Slot {
    /// The datagram, or `None` where it did not fit.
    pub fn datagram(&mut self) -> Option<&mut [u8]> {
        self.bytes.get_mut(..self.len)
    }
}

/// The datagrams of one turn, in the order of their arrival.
pub struct InputBatch {
    slots: Box<[Slot]>,
    len: usize,
}

impl InputBatch {
    /// Makes an empty batch of [`BATCH_MAX`] slots; `now` stands in until a slot is filled.
    pub fn new(now: Instant) -> Self {
        let unspecified = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
        let slots = (0..BATCH_MAX).map(|_| Slot {
            bytes: [0; SLOT_LEN],
            len: 0,
            source: SocketAddr::new(unspecified, 0),
            local: unspecified,
            received_at: now,
        });
        Self { slots: slots.collect(), len: 0 }
    }

    /// All slots, for filling from the first on.
    pub fn slots_mut(&mut self) -> &mut [Slot] {
        &mut self.slots
    }

    /// Says that the first `len` slots are filled; at most [`BATCH_MAX`].
    pub fn set_len(&mut self, len: usize) {
        self.len = len.min(self.slots.len());
    }

    /// Fills the next slot with a copy of `datagram`; `false` when the batch is full.
    pub fn push(&mut self, datagram: &[u8], source: SocketAddr, local: IpAddr, received_at: Instant) -> bool {
        let Some(slot) = self.slots.get_mut(self.len) else { return false };
        let held = datagram.len().min(SLOT_LEN);
        slot.bytes[..held].copy_from_slice(&datagram[..held]);
        slot.len = datagram.len();
        slot.source = source;
        slot.local = local;
        slot.received_at = received_at;
        self.len += 1;
        true
    }

    /// How many datagrams there are.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The filled slots.
    pub fn filled(&self) -> &[Slot] {
        &self.slots[..self.len]
    }

    /// The filled slots, for opening in place.
    pub fn filled_mut(&mut self) -> &mut [Slot] {
        &mut self.slots[..self.len]
    }
}
