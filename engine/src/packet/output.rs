//! The datagrams that one turn gives to the socket.

use std::net::{IpAddr, SocketAddr};

/// Messages of one batch: as many as one system call sends well (UIO_MAXIOV is 1024).
const MESSAGES_MAX: usize = 256;

/// Bytes of one batch's arena. 64 messages of a full Ethernet frame; a batch that is full is sent and begun anew.
const ARENA_LEN: usize = 128 * 1024;

/// Datagrams of one message: what the kernel takes in one UDP_SEGMENT send (UDP_MAX_SEGMENTS).
pub const SEGMENTS_MAX: usize = 64;

/// Bytes of one message: what one UDP_SEGMENT send can carry, an IP packet's 65 535 less the headers of IPv6 and UDP.
const MESSAGE_LEN_MAX: usize = 65_535 - 40 - 8;

/// One or more datagrams for one destination: `bytes` cut every `segment_len` bytes, the last one may be shorter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message<'a> {
    /// Who it goes to.
    pub destination: SocketAddr,
    /// The address of this host to send from.
    pub source: IpAddr,
    /// Bytes of each datagram but the last.
    pub segment_len: usize,
    /// The datagrams, one after another.
    pub bytes: &'a [u8],
}

impl<'a> Message<'a> {
    /// The single datagrams.
    pub fn datagrams(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        self.bytes.chunks(self.segment_len.max(1))
    }
}

#[derive(Clone, Copy)]
struct Entry {
    destination: SocketAddr,
    source: IpAddr,
    start: usize,
    end: usize,
    segment_len: usize,
    segments: usize,
    /// A shorter datagram ends a message: the kernel cuts all others to one length.
    closed: bool,
}

impl Entry {
    /// Whether another datagram with these addresses can join, if it is not longer than the others.
    fn takes(&self, destination: SocketAddr, source: IpAddr) -> bool {
        !self.closed
            && self.destination == destination
            && self.source == source
            && self.segments < SEGMENTS_MAX
            && self.end - self.start + self.segment_len <= MESSAGE_LEN_MAX
    }
}

/// The messages of one system call, with their bytes.
pub struct OutputBatch {
    arena: Box<[u8]>,
    used: usize,
    entries: Vec<Entry>,
    datagrams: usize,
}

impl Default for OutputBatch {
    fn default() -> Self {
        Self::new()
    }
}

impl OutputBatch {
    /// Makes an empty batch; the only allocation it ever makes.
    pub fn new() -> Self {
        Self {
            arena: vec![0; ARENA_LEN].into_boxed_slice(),
            used: 0,
            entries: Vec::with_capacity(MESSAGES_MAX),
            datagrams: 0,
        }
    }

    /// Takes all messages out.
    pub fn clear(&mut self) {
        self.used = 0;
        self.datagrams = 0;
        self.entries.clear();
    }

    /// How many messages there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// How many datagrams the messages hold.
    pub fn datagrams(&self) -> usize {
        self.datagrams
    }

    /// The messages, in the order they were begun.
    pub fn messages(&self) -> impl ExactSizeIterator<Item = Message<'_>> {
        self.entries.iter().map(|entry| Message {
            destination: entry.destination,
            source: entry.source,
            segment_len: entry.segment_len,
            bytes: &self.arena[entry.start..entry.end],
        })
    }

    /// Whether a datagram of `len_max` bytes is sure to fit.
    pub fn has_room(&self, len_max: usize) -> bool {
        self.arena.len() - self.used >= len_max && self.entries.len() < MESSAGES_MAX
    }

    /// Whether a datagram of `len_max` bytes fits and leaves half of the batch to others.
    pub fn has_spare_room(&self, len_max: usize) -> bool {
        self.used + len_max <= self.arena.len() / 2 && self.entries.len() < MESSAGES_MAX / 2
    }

    /// The longest datagram that would join the last message; `None` where that takes none with these addresses.
    pub fn joined_len_max(&self, destination: SocketAddr, source: IpAddr) -> Option<usize> {
        self.entries.last().filter(|last| last.takes(destination, source)).map(|last| last.segment_len)
    }

    /// Appends one datagram of at most `len_max` bytes that `write` puts into the room it is given, returning its length;
    /// 0 appends nothing. The datagram joins the last message where that has the same addresses and the kernel can cut
    /// them apart. `false`, without calling `write`, when the batch has no room left.
    pub fn append(
        &mut self,
        destination: SocketAddr,
        source: IpAddr,
        len_max: usize,
        write: impl FnOnce(&mut [u8]) -> usize,
    ) -> bool {
        if !self.has_room(len_max) {
            return false;
        }
        let start = self.used;
        let len = write(&mut self.arena[start..start + len_max]);
        debug_assert!(len <= len_max);
        if len == 0 {
            return true;
        }
        self.used += len;
        self.datagrams += 1;
        match self.entries.last_mut() {
            Some(last) if len <= last.segment_len && last.takes(destination, source) => {
                last.end += len;
                last.segments += 1;
                last.closed = len < last.segment_len;
            }
            _ => self.entries.push(Entry {
                destination,
                source,
                start,
                end: start + len,
                segment_len: len,
                segments: 1,
                closed: false,
            }),
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(port: u16) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], port))
    }

    fn append(batch: &mut OutputBatch, port: u16, len: usize) -> bool {
        batch.append(address(port), address(0).ip(), len, |room| {
            room.fill(len as u8);
            len
        })
    }

    fn shape(batch: &OutputBatch) -> Vec<Vec<usize>> {
        batch.messages().map(|message| message.datagrams().map(<[u8]>::len).collect()).collect()
    }

    #[test]
    fn equal_datagrams_for_one_destination_become_one_message_and_a_shorter_one_ends_it() {
        let mut batch = OutputBatch::new();
        for (port, len) in [(1, 100), (1, 100), (1, 60), (1, 60), (1, 80), (2, 80), (2, 80)] {
            assert!(append(&mut batch, port, len));
        }
        assert_eq!(shape(&batch), [vec![100, 100, 60], vec![60], vec![80], vec![80, 80]]);
        assert_eq!(batch.datagrams(), 7);
    }

    #[test]
    fn a_message_holds_what_the_kernel_takes_and_a_full_batch_says_so() {
        let mut batch = OutputBatch::new();
        let mut appended = 0;
        while append(&mut batch, 1, 1400) {
            appended += 1;
        }
        assert_eq!(appended, ARENA_LEN / 1400);
        assert!(batch.messages().all(|message| message.bytes.len() <= MESSAGE_LEN_MAX));
        assert_eq!(shape(&batch).concat().len(), appended);
        batch.clear();
        assert!(batch.is_empty());
        while append(&mut batch, 1, 10) {}
        assert!(batch.messages().all(|message| message.datagrams().count() <= SEGMENTS_MAX));
    }

    #[test]
    fn nothing_written_is_nothing_appended() {
        let mut batch = OutputBatch::new();
        assert!(batch.append(address(1), address(0).ip(), 100, |_| 0));
        assert!(batch.is_empty());
    }
}
