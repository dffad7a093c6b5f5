//! The ways to hand copies to the kernel.

use std::os::fd::AsFd;

use clap::ValueEnum;
use io_uring::IoUring;
use serde::Serialize;
use socket2::{SockAddr, Socket};

use super::LimitError;
use super::messages::{Form, MESSAGES_MAX, Outgoing, descriptors};

/// How copies are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Variant {
    /// Not at all: receiving and cryptography alone
    Crypto,
    /// One `sendto` for each copy
    Sendto,
    /// One `sendmmsg` for up to 64 copies
    Sendmmsg,
    /// A connected socket for each destination, registered with one io_uring (SINGLE_ISSUER, DEFER_TASKRUN), 64 sends a
    /// submission, successes not told
    Connected,
    /// The packets that a turn has for one destination in as few messages as their lengths allow, which the kernel cuts
    /// (UDP_SEGMENT), by `sendmmsg`
    Gso,
    /// The same through the connected sockets and the ring
    ConnectedGso,
}

impl Variant {
    /// Whether packets of a turn for one destination leave as one message.
    pub fn is_segmenting(self) -> bool {
        matches!(self, Self::Gso | Self::ConnectedGso)
    }

    /// Whether it sends anything.
    pub fn is_sending(self) -> bool {
        self != Self::Crypto
    }

    /// Its name, as it is asked for.
    pub fn name(self) -> &'static str {
        match self {
            Self::Crypto => "crypto",
            Self::Sendto => "sendto",
            Self::Sendmmsg => "sendmmsg",
            Self::Connected => "connected",
            Self::Gso => "gso",
            Self::ConnectedGso => "connected-gso",
        }
    }
}

/// What was sent.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Sent {
    /// System calls.
    pub(super) calls: u64,
    /// Messages: the kernel's stack is walked once for each.
    pub(super) messages: u64,
}

/// Sends copies, each way.
pub(super) struct Sender {
    pub(super) variant: Variant,
    pub(super) sent: Sent,
    pub(super) out: Outgoing,
    socket: Socket,
    destinations: Vec<SockAddr>,
    ring: IoUring,
    /// Kept open for the ring.
    _connected: Vec<Socket>,
}

impl Sender {
    /// Sends datagrams of at most `len_max` bytes, at most `segments` in one message.
    pub(super) fn new(
        socket: Socket,
        destinations: Vec<SockAddr>,
        connected: Vec<Socket>,
        len_max: usize,
        segments: usize,
    ) -> Result<Self, LimitError> {
        let ring = || -> std::io::Result<IoUring> {
            let mut builder = IoUring::builder();
            let ring = builder.setup_single_issuer().setup_defer_taskrun().build(MESSAGES_MAX as u32)?;
            if !connected.is_empty() {
                ring.submitter().register_files(&descriptors(&connected))?;
            }
            Ok(ring)
        };
        Ok(Self {
            variant: Variant::Crypto,
            sent: Sent::default(),
            out: Outgoing::new(len_max, segments),
            ring: ring().map_err(LimitError::Ring)?,
            socket,
            destinations,
            _connected: connected,
        })
    }

    /// Ends the message that was appended to [`Self::out`]; it goes to `destination`, now or with others.
    #[inline]
    pub(super) fn finish(&mut self, destination: usize) -> Result<(), LimitError> {
        match self.variant {
            Variant::Crypto => {
                self.out.take_written();
            }
            Variant::Sendto => {
                let address = &self.destinations[destination];
                let written = self.out.take_written();
                self.socket.send_to_with_flags(written, address, libc::MSG_DONTWAIT).map_err(LimitError::Send)?;
                self.sent.calls += 1;
                self.sent.messages += 1;
            }
            Variant::Sendmmsg | Variant::Connected | Variant::Gso | Variant::ConnectedGso => {
                if self.out.stage(destination) {
                    self.flush()?;
                }
            }
        }
        Ok(())
    }

    /// Sends what waits.
    pub(super) fn flush(&mut self) -> Result<(), LimitError> {
        if self.out.is_empty() {
            return Ok(());
        }
        let messages = match self.variant {
            Variant::Connected => self.out.submit(&mut self.ring, Form::Datagram),
            Variant::ConnectedGso => self.out.submit(&mut self.ring, Form::Message),
            _ => self.out.send(self.socket.as_fd(), &self.destinations),
        };
        self.sent.messages += messages.map_err(LimitError::Send)? as u64;
        self.sent.calls += 1;
        Ok(())
    }
}
