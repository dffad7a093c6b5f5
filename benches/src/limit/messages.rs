//! The kernel's view of datagrams: headers for `recvmmsg`, `sendmmsg` and io_uring, over one allocation each way.
//!
//! All of the limit's `unsafe` is here. The service has the same in its socket; this one stays apart, so that the limit
//! does not become what it is to judge.
#![expect(unsafe_code, reason = "batched and segmented datagrams have no safe interface without cost")]

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};
use std::ptr;

use io_uring::{IoUring, opcode, squeue, types};
use socket2::SockAddr;

/// Messages of one `sendmmsg` or one submission, and packets that a paced turn takes unless told otherwise. More changes nothing
/// measurable.
pub(super) const MESSAGES_MAX: usize = 64;

/// Datagrams of one `recvmmsg`: the more a turn takes, the more leaves as one message. The service takes as many.
pub(super) const BATCH_MAX: usize = 512;

/// Datagrams that the kernel cuts one message into: its UDP_MAX_SEGMENTS, before it was raised to 128.
pub(super) const SEGMENTS_MAX: usize = 64;

/// Bytes of one message: the largest UDP payload over IPv4.
const MESSAGE_LEN_MAX: usize = 65_507;

/// Messages begin at a cache line.
const ALIGNMENT: usize = 64;

/// A control message with a segment length; `u64` for its alignment, 24 bytes are used.
type Control = [u64; 4];

fn empty_header() -> libc::mmsghdr {
    // SAFETY: the structure consists of numbers and raw pointers, for which zero is a valid value.
    unsafe { std::mem::zeroed() }
}

const EMPTY_IOVEC: libc::iovec = libc::iovec { iov_base: ptr::null_mut(), iov_len: 0 };

/// What a receiving call does where nothing has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wait {
    /// It returns at once.
    Never,
    /// It sleeps until the first datagram, or as long as the socket's timeout says.
    ForOne,
}

/// Received datagrams.
pub(super) struct Incoming {
    bytes: Box<[u8]>,
    slot_len: usize,
    headers: Box<[libc::mmsghdr]>,
    iovecs: Box<[libc::iovec]>,
}

impl Incoming {
    /// Makes room for [`BATCH_MAX`] datagrams of at most `slot_len` bytes.
    pub(super) fn new(slot_len: usize) -> Self {
        Self {
            bytes: vec![0; BATCH_MAX * slot_len].into(),
            slot_len,
            headers: vec![empty_header(); BATCH_MAX].into(),
            iovecs: vec![EMPTY_IOVEC; BATCH_MAX].into(),
        }
    }

    /// Takes at most `count` datagrams; 0 where none has come.
    pub(super) fn receive(&mut self, socket: BorrowedFd<'_>, count: usize, wait: Wait) -> io::Result<usize> {
        let count = count.min(BATCH_MAX);
        let slots = self.bytes.chunks_exact_mut(self.slot_len);
        for ((header, iovec), slot) in self.headers.iter_mut().zip(&mut *self.iovecs).zip(slots).take(count) {
            *iovec = libc::iovec { iov_base: slot.as_mut_ptr().cast(), iov_len: slot.len() };
            header.msg_hdr.msg_iov = iovec;
            header.msg_hdr.msg_iovlen = 1;
        }
        let flags = match wait {
            Wait::Never => libc::MSG_DONTWAIT,
            Wait::ForOne => libc::MSG_WAITFORONE,
        };
        // SAFETY: each of the `count` headers has just been pointed at an iovec of its own, and that at a slot of its own, with
        // its true length; all belong to `self`, which is borrowed for the call.
        let taken = unsafe {
            libc::recvmmsg(socket.as_raw_fd(), self.headers.as_mut_ptr(), count as _, flags as _, ptr::null_mut())
        };
        usize::try_from(taken).or_else(|_| match io::Error::last_os_error() {
            error if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => Ok(0),
            error => Err(error),
        })
    }

    /// One of the datagrams that [`Self::receive`] has just taken.
    pub(super) fn datagram_mut(&mut self, at: usize) -> &mut [u8] {
        let len = self.headers[at].msg_len as usize;
        &mut self.bytes[at * self.slot_len..][..len]
    }

    /// See [`Self::datagram_mut`].
    pub(super) fn datagram(&self, at: usize) -> &[u8] {
        let len = self.headers[at].msg_len as usize;
        &self.bytes[at * self.slot_len..][..len]
    }
}

/// A message that waits to be sent.
#[derive(Clone, Copy, Debug, Default)]
struct Staged {
    begin: usize,
    len: usize,
    segment_len: usize,
    destination: usize,
}

/// Messages to be sent, each of one datagram or of several for one destination, of which only the last may be shorter.
pub(super) struct Outgoing {
    bytes: Box<[u8]>,
    headers: Box<[libc::mmsghdr]>,
    iovecs: Box<[libc::iovec]>,
    controls: Box<[Control]>,
    staged: Box<[Staged]>,
    used: usize,
    /// Where the message that is being written begins, and where it ends so far.
    begin: usize,
    end: usize,
    /// Bytes of that message's first datagram, and of its last so far.
    segment_len: usize,
    last_len: usize,
}

impl Outgoing {
    /// Makes room for [`MESSAGES_MAX`] messages of `segments` datagrams of at most `len_max` bytes.
    pub(super) fn new(len_max: usize, segments: usize) -> Self {
        let message_len = (len_max * segments).next_multiple_of(ALIGNMENT);
        Self {
            bytes: vec![0; MESSAGES_MAX * message_len].into(),
            headers: vec![empty_header(); MESSAGES_MAX].into(),
            iovecs: vec![EMPTY_IOVEC; MESSAGES_MAX].into(),
            controls: vec![Control::default(); MESSAGES_MAX].into(),
            staged: vec![Staged::default(); MESSAGES_MAX].into(),
            used: 0,
            begin: 0,
            end: 0,
            segment_len: 0,
            last_len: 0,
        }
    }

    /// How many datagrams of `datagram_len` bytes one message can hold.
    pub(super) fn segments_max(datagram_len: usize) -> usize {
        (MESSAGE_LEN_MAX / datagram_len).clamp(1, SEGMENTS_MAX)
    }

    /// Whether no message waits.
    pub(super) fn is_empty(&self) -> bool {
        self.used == 0
    }

    /// Whether a message is being written.
    pub(super) fn is_writing(&self) -> bool {
        self.end > self.begin
    }

    /// Whether a datagram of `len` bytes can be the next of the message that is being written, which holds at most `segments`.
    pub(super) fn is_joinable(&self, len: usize, segments: usize) -> bool {
        !self.is_writing()
            || (len <= self.segment_len
                && self.last_len == self.segment_len
                && self.end - self.begin < segments * self.segment_len)
    }

    /// Room for the next datagram of the message that is being written, of `len` bytes.
    pub(super) fn append(&mut self, len: usize) -> &mut [u8] {
        let at = self.end;
        if !self.is_writing() {
            self.segment_len = len;
        }
        self.last_len = len;
        self.end += len;
        &mut self.bytes[at..self.end]
    }

    /// The message that is being written, which is then forgotten: the next begins in its place.
    pub(super) fn take_written(&mut self) -> &[u8] {
        let written = &self.bytes[self.begin..self.end];
        self.end = self.begin;
        written
    }

    /// Ends the message that is being written, which goes to `destination`; whether it was the last that has room.
    pub(super) fn stage(&mut self, destination: usize) -> bool {
        let (begin, len) = (self.begin, self.end - self.begin);
        self.staged[self.used] = Staged { begin, len, segment_len: self.segment_len, destination };
        self.used += 1;
        self.begin = self.end.next_multiple_of(ALIGNMENT);
        self.end = self.begin;
        self.used == MESSAGES_MAX
    }

    /// Sends all that is staged by one `sendmmsg`; how many messages there were.
    pub(super) fn send(&mut self, socket: BorrowedFd<'_>, destinations: &[SockAddr]) -> io::Result<usize> {
        let count = self.write_headers(Some(destinations));
        let mut sent = 0;
        while sent < count {
            let rest = &mut self.headers[sent..count];
            // SAFETY: `write_headers` has pointed each of these headers at an iovec, a control buffer and bytes of `self` and at an
            // address in `destinations`, all with their true lengths and all borrowed for the call.
            let taken = unsafe {
                libc::sendmmsg(socket.as_raw_fd(), rest.as_mut_ptr(), rest.len() as _, libc::MSG_DONTWAIT as _)
            };
            sent += usize::try_from(taken).map_err(|_| io::Error::last_os_error())?;
        }
        self.clear();
        Ok(count)
    }

    /// Sends all that is staged through the ring, each message by the registered socket that has its destination's number,
    /// in one submission; how many messages there were.
    pub(super) fn submit(&mut self, ring: &mut IoUring, form: Form) -> io::Result<usize> {
        let count = match form {
            Form::Datagram => self.used,
            Form::Message => self.write_headers(None),
        };
        for at in 0..count {
            let Staged { begin, len, destination, .. } = self.staged[at];
            let socket = types::Fixed(destination as u32);
            let entry = match form {
                Form::Datagram => opcode::Send::new(socket, self.bytes[begin..].as_ptr(), len as u32)
                    .flags(libc::MSG_DONTWAIT)
                    .build(),
                Form::Message => opcode::SendMsg::new(socket, &raw const self.headers[at].msg_hdr)
                    .flags(libc::MSG_DONTWAIT as u32)
                    .build(),
            };
            // SAFETY: what the entry points at belongs to `self` and keeps its place. A send that must not wait is through when the
            // submission below returns, before `self` is touched again.
            unsafe { ring.submission().push(&entry.flags(squeue::Flags::SKIP_SUCCESS)) }
                .map_err(|_| io::Error::other("the submission queue has fewer entries than a batch has messages"))?;
        }
        ring.submit()?;
        self.clear();
        // Only failures are told.
        match ring.completion().next() {
            Some(failure) => Err(io::Error::from_raw_os_error(-failure.result())),
            None => Ok(count),
        }
    }

    /// Forgets all messages.
    fn clear(&mut self) {
        (self.used, self.begin, self.end) = (0, 0, 0);
    }

    fn write_headers(&mut self, destinations: Option<&[SockAddr]>) -> usize {
        let parts = self.headers.iter_mut().zip(&mut *self.iovecs).zip(&mut *self.controls).zip(&*self.staged);
        for (((header, iovec), control), staged) in parts.take(self.used) {
            let bytes = &mut self.bytes[staged.begin..][..staged.len];
            *iovec = libc::iovec { iov_base: bytes.as_mut_ptr().cast(), iov_len: bytes.len() };
            let header = &mut header.msg_hdr;
            let name = destinations.map(|all| &all[staged.destination]);
            header.msg_name = name.map_or(ptr::null_mut(), |name| name.as_ptr().cast_mut().cast());
            header.msg_namelen = name.map_or(0, SockAddr::len);
            header.msg_iov = iovec;
            header.msg_iovlen = 1;
            if staged.len > staged.segment_len {
                write_segment_len(header, control, staged.segment_len as u16);
            } else {
                header.msg_control = ptr::null_mut();
                header.msg_controllen = 0;
            }
        }
        self.used
    }
}

/// How the ring is told of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// By its bytes: one datagram.
    Datagram,
    /// By a header: several datagrams.
    Message,
}

/// Points `header` at a control message that tells the kernel where to cut (udp(7), `UDP_SEGMENT`).
fn write_segment_len(header: &mut libc::msghdr, control: &mut Control, segment_len: u16) {
    const LEN: u32 = size_of::<u16>() as u32;
    header.msg_control = control.as_mut_ptr().cast();
    // SAFETY: these only compute lengths; the buffer has 32 bytes, of which a control message with two takes 24. It is aligned
    // for `cmsghdr`, and `header` points at it with its true length.
    unsafe {
        header.msg_controllen = libc::CMSG_SPACE(LEN) as _;
        let message = libc::CMSG_FIRSTHDR(header);
        (*message).cmsg_level = libc::SOL_UDP;
        (*message).cmsg_type = libc::UDP_SEGMENT;
        (*message).cmsg_len = libc::CMSG_LEN(LEN) as _;
        libc::CMSG_DATA(message).cast::<u16>().write_unaligned(segment_len);
    }
}

/// The numbers of sockets, as a ring takes them.
pub(super) fn descriptors(sockets: &[socket2::Socket]) -> Vec<RawFd> {
    sockets.iter().map(AsRawFd::as_raw_fd).collect()
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;

    use socket2::{Domain, Socket, Type};

    use super::*;

    fn pair() -> (Socket, Socket, SockAddr) {
        let [sending, receiving] = [(); 2].map(|()| Socket::new(Domain::IPV4, Type::DGRAM, None).unwrap());
        receiving.bind(&std::net::SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
        let address = receiving.local_addr().unwrap();
        (sending, receiving, address)
    }

    #[test]
    fn a_message_of_three_arrives_as_three_datagrams() {
        let (sending, receiving, address) = pair();
        let mut outgoing = Outgoing::new(100, 3);
        for fill in [1, 2, 3] {
            outgoing.append(100).fill(fill);
        }
        assert!(!outgoing.stage(0));
        outgoing.append(100).fill(4);
        outgoing.stage(0);
        assert_eq!(outgoing.send(sending.as_fd(), &[address]).unwrap(), 2);
        let mut incoming = Incoming::new(2048);
        receiving.set_read_timeout(Some(std::time::Duration::from_secs(10))).unwrap();
        let mut fills = Vec::new();
        while fills.len() < 4 {
            let taken = incoming.receive(receiving.as_fd(), 64, Wait::ForOne).unwrap();
            assert!(taken > 0, "{fills:?} and no more");
            fills.extend((0..taken).map(|at| (incoming.datagram(at).len(), incoming.datagram(at)[0])));
        }
        assert_eq!(fills, [(100, 1), (100, 2), (100, 3), (100, 4)]);
        assert_eq!(incoming.receive(receiving.as_fd(), 64, Wait::Never).unwrap(), 0);
    }

    #[test]
    fn only_the_last_datagram_of_a_message_may_be_shorter_and_none_longer() {
        let mut outgoing = Outgoing::new(100, 3);
        assert!(!outgoing.is_writing() && outgoing.is_joinable(100, 3));
        outgoing.append(90);
        assert!(!outgoing.is_joinable(91, 3) && outgoing.is_joinable(90, 3) && !outgoing.is_joinable(90, 1));
        outgoing.append(90);
        outgoing.append(50);
        assert!(!outgoing.is_joinable(50, 9), "the one before it is shorter");
        outgoing.stage(0);
        assert!(!outgoing.is_writing() && outgoing.is_joinable(100, 3));
    }

    #[test]
    fn a_message_never_outgrows_what_the_kernel_takes() {
        for (len, segments) in [(1, 64), (200, 64), (1200, 54), (65_507, 1), (70_000, 1)] {
            assert_eq!(Outgoing::segments_max(len), segments);
        }
    }
}
