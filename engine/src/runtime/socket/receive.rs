//! Receiving: one `recvmmsg` fills the slots of a turn.

#![allow(unsafe_code)]

use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr;
use std::time::Instant;

use super::address::Name;
use super::control::Control;
use super::empty_header;
use crate::packet::{BATCH_MAX, InputBatch, SLOT_LEN};
use crate::runtime::clock;

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
            headers: vec![empty_header(); BATCH_MAX].into_boxed_slice(),
            iovecs: vec![libc::iovec { iov_base: ptr::null_mut(), iov_len: 0 }; BATCH_MAX].into_boxed_slice(),
            names: vec![Name::default(); BATCH_MAX].into_boxed_slice(),
            controls: vec![Control::default(); BATCH_MAX].into_boxed_slice(),
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
        self.prepare(batch);
        let realtime = clock::realtime();
        let len = self.headers.len() as libc::c_uint;
        // MSG_TRUNC makes the kernel tell the length that a cut datagram had.
        let flags = libc::MSG_DONTWAIT | libc::MSG_TRUNC;
        // SAFETY: `prepare` pointed each of the `len` headers at a name, a control buffer, an iovec and through that a slot of
        // `batch`, all with their true lengths; nothing else uses them during the call, and a null time-out means none.
        let filled =
            unsafe { libc::recvmmsg(socket.as_raw_fd(), self.headers.as_mut_ptr(), len, flags as _, ptr::null_mut()) };
        let Ok(filled) = usize::try_from(filled) else {
            let error = io::Error::last_os_error();
            return if is_transient(&error) { Ok(0) } else { Err(error) };
        };
        let received = self.headers.iter().zip(self.names.iter().zip(&self.controls)).take(filled);
        for (slot, (header, (name, control))) in batch.slots_mut().iter_mut().zip(received) {
            let said = control.read(header.msg_hdr.msg_controllen);
            slot.local = said.local.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
            slot.received_at = said.stamp.map_or(now, |stamp| clock::instant_of(stamp, realtime, now));
            match name.address() {
                Some(source) => (slot.source, slot.len) = (source, header.msg_len as usize),
                // Without a sender it is nobody's: an empty datagram is dropped first of all.
                None => slot.len = 0,
            }
        }
        batch.set_len(filled);
        Ok(filled)
    }

    /// Points every header at its slot and gives it the lengths that the last call overwrote.
    fn prepare(&mut self, batch: &mut InputBatch) {
        let places = self.iovecs.iter_mut().zip(self.names.iter_mut().zip(self.controls.iter_mut()));
        for ((header, slot), (iovec, (name, control))) in self.headers.iter_mut().zip(batch.slots_mut()).zip(places) {
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
