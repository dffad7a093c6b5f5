//! Receiving: a `recvmmsg` fills the slots of a turn, and under overload some more.

#![allow(unsafe_code)]

use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr;
use std::time::{Duration, Instant};

use super::address::Name;
use super::control::Control;
use super::empty_header;
use crate::packet::{InputBatch, SLOT_LEN, Slot};
use crate::runtime::clock;

/// Headers of one system call. Mostly fewer datagrams wait, and each header costs its preparation; where more do, there
/// are several calls.
const HEADERS_MAX: usize = 64;

/// The kernel's view of the slots, allocated once.
pub(super) struct Receiver {
    headers: Box<[libc::mmsghdr]>,
    iovecs: Box<[libc::iovec]>,
    names: Box<[Name]>,
    controls: Box<[Control]>,
}

impl Receiver {
    pub(super) fn new() -> Self {
        Self {
            headers: vec![empty_header(); HEADERS_MAX].into_boxed_slice(),
            iovecs: vec![libc::iovec { iov_base: ptr::null_mut(), iov_len: 0 }; HEADERS_MAX].into_boxed_slice(),
            names: vec![Name::default(); HEADERS_MAX].into_boxed_slice(),
            controls: vec![Control::default(); HEADERS_MAX].into_boxed_slice(),
        }
    }

    /// Fills `batch` with what waits in the socket; returns how many datagrams that is.
    ///
    /// Never waits. An error that tells of an earlier datagram, such as ICMP's, is no error here. `now` is the turn's time.
    pub(super) fn receive(
        &mut self,
        socket: BorrowedFd<'_>,
        batch: &mut InputBatch,
        now: Instant,
    ) -> io::Result<usize> {
        batch.set_len(0);
        let realtime = clock::realtime();
        let mut received = 0;
        for slots in batch.slots_mut().chunks_mut(HEADERS_MAX) {
            let filled = match self.fill(socket, slots, now, realtime) {
                Ok(filled) => filled,
                Err(error) if is_transient(&error) => 0,
                Err(error) => return Err(error),
            };
            received += filled;
            if filled < slots.len() {
                break;
            }
        }
        batch.set_len(received);
        Ok(received)
    }

    /// Fills at most [`HEADERS_MAX`] slots by one system call.
    fn fill(
        &mut self,
        socket: BorrowedFd<'_>,
        slots: &mut [Slot],
        now: Instant,
        realtime: Duration,
    ) -> io::Result<usize> {
        self.prepare(slots);
        let len = slots.len().min(HEADERS_MAX) as libc::c_uint;
        // MSG_TRUNC makes the kernel tell the length that a cut datagram had.
        let flags = libc::MSG_DONTWAIT | libc::MSG_TRUNC;
        // SAFETY: `prepare` pointed each of the `len` headers at a name, a control buffer, an iovec and through that one of
        // `slots`, all with their true lengths; nothing else uses them during the call, and a null time-out means none.
        let filled =
            unsafe { libc::recvmmsg(socket.as_raw_fd(), self.headers.as_mut_ptr(), len, flags as _, ptr::null_mut()) };
        let filled = usize::try_from(filled).map_err(|_| io::Error::last_os_error())?;
        let received = self.headers.iter().zip(self.names.iter().zip(&self.controls)).take(filled);
        for (slot, (header, (name, control))) in slots.iter_mut().zip(received) {
            let said = control.read(header.msg_hdr.msg_controllen);
            slot.local = said.local.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
            slot.received_at = said.stamp.map_or(now, |stamp| clock::instant_of(stamp, realtime, now));
            match name.address() {
                Some(source) => (slot.source, slot.len) = (source, header.msg_len as usize),
                // Without a sender it is nobody's: an empty datagram is dropped first of all.
                None => slot.len = 0,
            }
        }
        Ok(filled)
    }

    /// Points a header at each slot and gives it the lengths that the last call overwrote.
    fn prepare(&mut self, slots: &mut [Slot]) {
        let places = self.iovecs.iter_mut().zip(self.names.iter_mut().zip(self.controls.iter_mut()));
        for ((header, slot), (iovec, (name, control))) in self.headers.iter_mut().zip(slots).zip(places) {
            *iovec = libc::iovec { iov_base: slot.bytes.as_mut_ptr().cast(), iov_len: SLOT_LEN };
            let header = &mut header.msg_hdr;
            header.msg_name = ptr::from_mut(name).cast();
            header.msg_namelen = Name::LEN;
            header.msg_iov = iovec;
            header.msg_iovlen = 1;
            header.msg_control = control.as_mut_ptr();
            header.msg_controllen = Control::LEN as _;
            header.msg_flags = 0;
        }
    }
}

/// Whether the next call may well succeed: nothing waits, a signal came, memory is short, or an answer of ICMP (RFC 792) to
/// a datagram sent earlier is told here. Only what says that the call itself is wrong can never get better.
fn is_transient(error: &io::Error) -> bool {
    !matches!(error.raw_os_error(), Some(libc::EBADF | libc::ENOTSOCK | libc::EFAULT | libc::EINVAL))
}
