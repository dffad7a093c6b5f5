//! Waiting on the executor's ring until a descriptor has something to read.

#![allow(unsafe_code)]

use std::future::Future;
use std::os::fd::{FromRawFd, IntoRawFd, OwnedFd};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use glommio::net::TcpStream;

/// Tells when a socket of any kind has something to receive.
///
/// glommio's own UDP socket takes one datagram a call, but a peek of one byte through its stream makes the ring wait for
/// readiness and consumes nothing. One peek stays in the ring until it fires, over as many turns as that takes.
pub(super) struct Readiness {
    stream: Rc<TcpStream>,
    peek: Option<Pin<Box<dyn Future<Output = ()>>>>,
}

impl Readiness {
    /// Watches `socket`, a duplicate of the one to read from; to be called on an executor.
    pub(super) fn new(socket: OwnedFd) -> Self {
        // SAFETY: the descriptor is open, and nothing else owns it any more. That it is no TCP socket makes no difference to a
        // peek, the only thing that is done with it.
        let stream = unsafe { TcpStream::from_raw_fd(socket.into_raw_fd()) };
        Self { stream: Rc::new(stream), peek: None }
    }

    /// Ready once something may be there: data, or an error that the next read takes.
    pub(super) fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let peek = self.peek.get_or_insert_with(|| {
            let stream = Rc::clone(&self.stream);
            Box::pin(async move {
                let _ = stream.peek(&mut [0]).await;
            })
        });
        let result = peek.as_mut().poll(context);
        if result.is_ready() {
            self.peek = None;
        }
        result
    }
}
