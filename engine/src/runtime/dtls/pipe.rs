//! What the handshake library takes for a socket: the peer's datagrams from a queue, the service's to the outbox.

use std::any::Any;
use std::collections::VecDeque;
use std::future;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use shard_protocol::ids::TransportId;
use tokio::sync::mpsc;
use webrtc_util::{Conn, Error};

use super::Outbox;
use crate::security::dtls::record::{content_type, records};
use crate::security::dtls::{Assembly, DtlsResponse};

type Result<T> = std::result::Result<T, Error>;

/// The peer's datagrams, made of whole messages.
pub(super) struct Inbound {
    datagrams: mpsc::Receiver<Box<[u8]>>,
    assembly: Assembly,
    assembled: VecDeque<Vec<u8>>,
    outbox: Arc<Outbox>,
}

impl Inbound {
    /// Reads from `datagrams`, which have passed the filter; what is dropped of them is counted in `outbox`.
    pub(super) fn new(datagrams: mpsc::Receiver<Box<[u8]>>, outbox: Arc<Outbox>) -> Self {
        Self { datagrams, assembly: Assembly::new(), assembled: VecDeque::new(), outbox }
    }

    /// Waits for the first ClientHello that is whole and sane, and gives its body; it is still to be read. `None` when no
    /// more datagrams come.
    pub(super) async fn client_hello(&mut self) -> Option<&[u8]> {
        while self.assembly.client_hello().is_none() {
            self.assemble().await?;
        }
        self.assembly.client_hello()
    }

    async fn next(&mut self) -> Option<Vec<u8>> {
        while self.assembled.is_empty() {
            self.assemble().await?;
        }
        self.assembled.pop_front()
    }

    /// Takes one datagram of the peer; cancelled, it has taken none.
    async fn assemble(&mut self) -> Option<()> {
        let datagram = self.datagrams.recv().await?;
        if let Err(reason) = self.assembly.take(&datagram, |whole| self.assembled.push_back(whole)) {
            self.outbox.count_drop(reason);
        }
        Some(())
    }
}

/// One connection's pipe.
pub(super) struct Pipe {
    transport: TransportId,
    inbound: tokio::sync::Mutex<Inbound>,
    outbox: Arc<Outbox>,
    /// The last datagram sent that begins with ChangeCipherSpec.
    last_flight: Mutex<Option<Box<[u8]>>>,
}

impl Pipe {
    /// Joins a connection's queues.
    pub(super) fn new(transport: TransportId, inbound: Inbound, outbox: Arc<Outbox>) -> Self {
        Self { transport, inbound: tokio::sync::Mutex::new(inbound), outbox, last_flight: Mutex::new(None) }
    }

    /// The datagram with ChangeCipherSpec and Finished, once the service has sent it as server.
    pub(super) fn take_last_flight(&self) -> Option<Box<[u8]>> {
        self.last_flight.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn begins_with_change_cipher_spec(datagram: &[u8]) -> bool {
        matches!(records(datagram).next(), Some(Ok(record)) if record.content == content_type::CHANGE_CIPHER_SPEC)
    }
}

#[async_trait]
impl Conn for Pipe {
    async fn connect(&self, _addr: SocketAddr) -> Result<()> {
        Err(Error::Other("a pipe is connected".to_owned()))
    }

    async fn recv(&self, buffer: &mut [u8]) -> Result<usize> {
        let datagram = self.inbound.lock().await.next().await;
        let Some((datagram, room)) =
            datagram.as_ref().and_then(|datagram| Some((datagram, buffer.get_mut(..datagram.len())?)))
        else {
            // The library would call again at once, for ever. The connection's end drops it where it waits.
            return future::pending().await;
        };
        room.copy_from_slice(datagram);
        Ok(datagram.len())
    }

    async fn recv_from(&self, _buffer: &mut [u8]) -> Result<(usize, SocketAddr)> {
        Err(Error::Other("a pipe has no addresses".to_owned()))
    }

    async fn send(&self, datagram: &[u8]) -> Result<usize> {
        let bytes: Box<[u8]> = datagram.into();
        if Self::begins_with_change_cipher_spec(datagram) {
            *self.last_flight.lock().unwrap_or_else(PoisonError::into_inner) = Some(bytes.clone());
        }
        self.outbox.send_datagram(DtlsResponse::Datagram { transport: self.transport, bytes });
        Ok(datagram.len())
    }

    async fn send_to(&self, _datagram: &[u8], _target: SocketAddr) -> Result<usize> {
        Err(Error::Other("a pipe has no addresses".to_owned()))
    }

    fn local_addr(&self) -> Result<SocketAddr> {
        Err(Error::Other("a pipe has no addresses".to_owned()))
    }

    fn remote_addr(&self) -> Option<SocketAddr> {
        None
    }

    async fn close(&self) -> Result<()> {
        Ok(())
    }

    fn as_any(&self) -> &(dyn Any + Send + Sync) {
        self
    }
}
