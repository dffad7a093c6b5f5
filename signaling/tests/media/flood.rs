//! Sends many datagrams, as fast as the service takes them.
//!
//! What the kernel drops because the service's socket is full, it drops blindly, packets of the call included; no program can
//! help that. So a flood looks at the socket's backlog and never lets it fill: every datagram reaches the service, and what
//! the call suffers is the service's doing.

use std::fs;
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::thread;
use std::time::Duration;

/// Datagrams between two looks at the backlog.
const BURST: usize = 32;
/// The backlog that a flood leaves to be worked off. With the kernel's own book-keeping a burst of full datagrams is about as
/// large, and the smallest receive buffer that a kernel gives by default is three times that.
const BACKLOG_MAX_BYTES: u64 = 64 * 1024;
/// Between two looks at a backlog that is too long.
const WAIT: Duration = Duration::from_micros(200);
/// Looks for a row before it counts as gone. One look in tens of thousands misses it.
const LOOKS_MAX: usize = 100;

/// A flood from one socket to one address.
pub(crate) struct Flood<'a> {
    socket: &'a UdpSocket,
    target: SocketAddr,
    sent: usize,
}

impl<'a> Flood<'a> {
    pub(crate) fn new(socket: &'a UdpSocket, target: SocketAddr) -> Self {
        Self { socket, target, sent: 0 }
    }

    /// Sends one datagram, waiting first if the service is behind.
    pub(crate) fn send(&mut self, datagram: &[u8]) -> io::Result<()> {
        if self.sent.is_multiple_of(BURST) {
            while backlog_bytes(self.target)? > BACKLOG_MAX_BYTES {
                thread::sleep(WAIT);
            }
        }
        while let Err(error) = self.socket.send_to(datagram, self.target) {
            match error.kind() {
                io::ErrorKind::WouldBlock => thread::sleep(WAIT),
                _ => return Err(error),
            }
        }
        self.sent += 1;
        Ok(())
    }

    /// How many were sent.
    pub(crate) fn sent(&self) -> usize {
        self.sent
    }
}

/// Bytes that wait in the receive buffer of the IPv4 UDP socket at `address`, as `/proc/net/udp` tells.
fn backlog_bytes(address: SocketAddr) -> io::Result<u64> {
    socket_row(address, |fields| fields.get(4)?.split_once(':').and_then(|(_, rx)| u64::from_str_radix(rx, 16).ok()))
}

/// Datagrams that the kernel dropped because the receive buffer at `address` was full.
pub(crate) fn kernel_drops(address: SocketAddr) -> io::Result<u64> {
    socket_row(address, |fields| fields.last()?.parse().ok())
}

/// One figure of the socket's row. The kernel gives the table in pieces, and a row is missed when other sockets come or go
/// between two; so it is looked for again.
fn socket_row(address: SocketAddr, read: impl Fn(&[&str]) -> Option<u64>) -> io::Result<u64> {
    let suffix = format!(":{:04X}", address.port());
    for _ in 0..LOOKS_MAX {
        let table = fs::read_to_string("/proc/net/udp")?;
        let mut rows = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
        let row = rows.find(|row| row.get(1).is_some_and(|local| local.ends_with(&suffix)));
        if let Some(figure) = row.and_then(|row| read(&row)) {
            return Ok(figure);
        }
    }
    Err(io::Error::new(io::ErrorKind::NotFound, "the service's socket is not in /proc/net/udp"))
}
