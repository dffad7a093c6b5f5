//! Sending: every message one header, all of them one `sendmmsg`.
//!
//! What cannot be sent at once is dropped and counted: media that waits is worth nothing, and the loop never blocks.

#![allow(unsafe_code)]

use std::io;
use std::net::IpAddr;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr;

use super::address::{Family, Name};
use super::control::Control;
use super::empty_header;
use crate::packet::{Message, OutputBatch};
use crate::shard::SendOutcome;

/// Headers of one system call. A batch has as many messages at the most; where the kernel does not cut them, its datagrams
/// go in several calls.
const HEADERS_MAX: usize = 256;

/// What is known of a staged message besides its header.
#[derive(Clone, Copy, Default)]
struct Staged {
    /// How many datagrams it holds.
    datagrams: u64,
    /// Bytes of each but the last.
    segment_len: usize,
    /// Bytes of its control messages without the segment length.
    source_len: usize,
}

/// The kernel's view of the messages, allocated once.
pub(super) struct Sender {
    family: Family,
    /// The address that the socket is bound to, where that is one: all leaves from it without being told.
    bound: IpAddr,
    headers: Box<[libc::mmsghdr]>,
    iovecs: Box<[libc::iovec]>,
    names: Box<[Name]>,
    controls: Box<[Control]>,
    staged: Box<[Staged]>,
    pub(super) used: usize,
    /// Whether the kernel cuts messages; `false` once a device has refused.
    pub(super) is_segmenting: bool,
    /// Whether the socket's buffer is full for the rest of this batch.
    is_full: bool,
}

impl Sender {
    pub(super) fn new(family: Family, bound: IpAddr) -> Self {
        Self {
            family,
            bound,
            headers: vec![empty_header(); HEADERS_MAX].into_boxed_slice(),
            iovecs: vec![libc::iovec { iov_base: ptr::null_mut(), iov_len: 0 }; HEADERS_MAX].into_boxed_slice(),
            names: vec![Name::default(); HEADERS_MAX].into_boxed_slice(),
            controls: vec![Control::default(); HEADERS_MAX].into_boxed_slice(),
            staged: vec![Staged::default(); HEADERS_MAX].into_boxed_slice(),
            used: 0,
            is_segmenting: true,
            is_full: false,
        }
    }

    /// Sends every message of `batch` that the kernel takes at once. An error of one message skips that message only.
    pub(super) fn send(&mut self, socket: BorrowedFd<'_>, batch: &OutputBatch) -> SendOutcome {
        let mut outcome = SendOutcome::default();
        self.is_full = false;
        for message in batch.messages() {
            if self.is_segmenting {
                self.stage(socket, message, &mut outcome);
            } else {
                for bytes in message.datagrams() {
                    self.stage(socket, Message { bytes, segment_len: bytes.len(), ..message }, &mut outcome);
                }
            }
        }
        self.flush(socket, &mut outcome);
        outcome.is_uncut = !self.is_segmenting;
        outcome
    }

    /// Writes one message's header, sending what is staged where there is no room for it. The bytes must live until the next
    /// [`Self::flush`]; both are called by [`Self::send`] alone.
    pub(super) fn stage(&mut self, socket: BorrowedFd<'_>, message: Message<'_>, outcome: &mut SendOutcome) {
        let datagrams = message.bytes.len().div_ceil(message.segment_len.max(1)) as u64;
        let named = Name::new(self.family, message.destination);
        let source = if message.source.is_unspecified() || message.source == self.bound {
            Some(IpAddr::from([0; 4]))
        } else {
            self.family.native(message.source)
        };
        let (Some((name, name_len)), Some(source), Ok(segment_len)) =
            (named, source, u16::try_from(message.segment_len))
        else {
            outcome.datagrams_failed += datagrams;
            return;
        };
        if self.used == HEADERS_MAX {
            self.flush(socket, outcome);
        }
        let at = self.used;
        self.used += 1;
        self.names[at] = name;
        self.iovecs[at] =
            libc::iovec { iov_base: message.bytes.as_ptr().cast_mut().cast(), iov_len: message.bytes.len() };
        let control = &mut self.controls[at];
        let source_len = control.write_source(source);
        let control_len = if datagrams > 1 { control.write_segment_len(source_len, segment_len) } else { source_len };
        self.staged[at] = Staged { datagrams, segment_len: message.segment_len, source_len };
        let header = &mut self.headers[at].msg_hdr;
        header.msg_name = ptr::from_mut(&mut self.names[at]).cast();
        header.msg_namelen = name_len;
        header.msg_iov = &mut self.iovecs[at];
        header.msg_iovlen = 1;
        header.msg_control = if control_len == 0 { ptr::null_mut() } else { control.as_mut_ptr() };
        header.msg_controllen = control_len as _;
        header.msg_flags = 0;
    }

    /// Sends all that is staged.
    pub(super) fn flush(&mut self, socket: BorrowedFd<'_>, outcome: &mut SendOutcome) {
        let mut next = 0;
        while next < self.used && !self.is_full {
            let waiting = &mut self.headers[next..self.used];
            outcome.calls += 1;
            // SAFETY: `stage` pointed each of these headers at a name, a control buffer and an iovec of this sender, and at bytes
            // of the batch that `send` borrows, all with their true lengths; the kernel only reads what they point at.
            let sent = unsafe {
                libc::sendmmsg(socket.as_raw_fd(), waiting.as_mut_ptr(), waiting.len() as _, libc::MSG_DONTWAIT as _)
            };
            if let Ok(sent @ 1..) = usize::try_from(sent) {
                outcome.messages_sent += sent as u64;
                outcome.datagrams_sent +=
                    self.staged[next..next + sent].iter().map(|staged| staged.datagrams).sum::<u64>();
                next += sent;
            } else if self.on_refused(socket, next, &io::Error::last_os_error(), outcome) {
                next += 1;
            }
        }
        outcome.datagrams_buffer_full +=
            self.staged[next..self.used].iter().map(|staged| staged.datagrams).sum::<u64>();
        self.used = 0;
    }

    /// Deals with the error of the message `at`; returns whether it is done with.
    pub(super) fn on_refused(
        &mut self,
        socket: BorrowedFd<'_>,
        at: usize,
        error: &io::Error,
        outcome: &mut SendOutcome,
    ) -> bool {
        let datagrams = self.staged[at].datagrams;
        match error.raw_os_error() {
            Some(libc::EINTR) => return false,
            Some(libc::EAGAIN | libc::ENOBUFS | libc::ENOMEM) => {
                self.is_full = true;
                return false;
            }
            // A device without checksum offload says EIO, and will say so again. The others may have to do with this one
            // destination: a port 0, a path with a small MTU. No peer may make the shard give up segmenting for all.
            Some(error @ (libc::EIO | libc::EINVAL | libc::EMSGSIZE)) if datagrams > 1 => {
                self.is_segmenting &= error != libc::EIO;
                self.send_singly(socket, at, outcome);
            }
            _ => outcome.datagrams_failed += datagrams,
        }
        true
    }

    /// Sends the datagrams of the message `at` one by one.
    fn send_singly(&mut self, socket: BorrowedFd<'_>, at: usize, outcome: &mut SendOutcome) {
        let Staged { segment_len, source_len, .. } = self.staged[at];
        let whole = self.iovecs[at];
        let header = &mut self.headers[at].msg_hdr;
        header.msg_controllen = source_len as _;
        if source_len == 0 {
            header.msg_control = ptr::null_mut();
        }
        for start in (0..whole.iov_len).step_by(segment_len.max(1)) {
            if self.is_full {
                outcome.datagrams_buffer_full += 1;
                continue;
            }
            let len = segment_len.min(whole.iov_len - start);
            let mut part = libc::iovec { iov_base: whole.iov_base.wrapping_byte_add(start), iov_len: len };
            header.msg_iov = &mut part;
            outcome.calls += 1;
            // SAFETY: as in `flush`; `part` lies within the message's bytes and outlives the call.
            let sent = unsafe { libc::sendmsg(socket.as_raw_fd(), header, libc::MSG_DONTWAIT) };
            if sent >= 0 {
                outcome.messages_sent += 1;
                outcome.datagrams_sent += 1;
                continue;
            }
            match io::Error::last_os_error().raw_os_error() {
                Some(libc::EAGAIN | libc::ENOBUFS | libc::ENOMEM) => {
                    self.is_full = true;
                    outcome.datagrams_buffer_full += 1;
                }
                _ => outcome.datagrams_failed += 1,
            }
        }
    }
}
