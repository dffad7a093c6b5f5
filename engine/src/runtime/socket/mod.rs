//! The UDP socket of a shard: the kernel's side of the input and output batches.
//!
//! One socket serves all peers of a shard. [`UdpSocket::receive`] and [`UdpSocket::send`] make one system call, or a few where
//! there is more than one can carry; they wait for nothing and allocate nothing. Waiting for readiness is the event loop's.

#![allow(unsafe_code)]

mod address;
mod control;
mod receive;
mod send;
#[cfg(test)]
mod tests;

use std::fs;
use std::io;
use std::mem::MaybeUninit;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::time::Instant;

use socket2::{Domain, Protocol, SockAddr, Socket, Type};

use self::address::Family;
use self::receive::Receiver;
use self::send::Sender;
use crate::packet::{InputBatch, OutputBatch};
use crate::shard::SendOutcome;

/// Bytes of the kernel's buffer for each direction. The kernel accounts about 2.3 kB for a full frame and doubles what it is
/// given: 8 MiB hold 3600 datagrams, which is a tenth of a second at 36 000 a second, longer than any turn.
const BUFFER_LEN: usize = 4 * 1024 * 1024;

/// Why no socket could be bound.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// Every port of the slice is in use.
    #[error(
        "no UDP port of {}-{} is free on {ip}; see who has them with `ss -ulnp`, or give another range by --rtc-min-port and --rtc-max-port",
        ports.start(), ports.end()
    )]
    NoFreePort {
        /// The slice.
        ports: RangeInclusive<u16>,
        /// The address.
        ip: IpAddr,
    },
    /// The kernel refused for another reason.
    #[error(
        "binding a UDP socket to {ip}: {source}; `ip address` lists the addresses of this host, --listen-ip chooses one"
    )]
    Refused {
        /// The address.
        ip: IpAddr,
        /// What the kernel said.
        source: io::Error,
    },
}

/// The socket.
pub struct UdpSocket {
    socket: OwnedFd,
    port: u16,
    receiver: Receiver,
    sender: Sender,
}

impl UdpSocket {
    /// Binds the first free port of `ports` on `listen_ip`; on all addresses, of both families where the host has a global
    /// IPv6 address, when there is none.
    ///
    /// # Errors
    /// No port is free, or the kernel refuses the address.
    pub fn bind(ports: RangeInclusive<u16>, listen_ip: Option<IpAddr>) -> Result<Self, BindError> {
        let ip = listen_ip.unwrap_or_else(any_address);
        for port in ports.clone() {
            match open(SocketAddr::new(ip, port)) {
                Ok(socket) => return Self::new(socket, ip).map_err(|source| BindError::Refused { ip, source }),
                Err(error) if error.kind() == io::ErrorKind::AddrInUse => {}
                Err(source) => return Err(BindError::Refused { ip, source }),
            }
        }
        Err(BindError::NoFreePort { ports, ip })
    }

    fn new(socket: Socket, ip: IpAddr) -> io::Result<Self> {
        let port = socket.local_addr()?.as_socket().map_or(0, |address| address.port());
        let family = if ip.is_ipv6() { Family::V6 } else { Family::V4 };
        enlarge_buffers(&socket)?;
        set_options(&socket, family)?;
        Ok(Self { socket: socket.into(), port, receiver: Receiver::new(), sender: Sender::new(family, ip) })
    }

    /// The port that it is bound to.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Fills `batch` with what waits in the socket; returns how many datagrams that is. `now` is the turn's time.
    ///
    /// # Errors
    /// The socket is broken; what befalls single datagrams is no error.
    pub fn receive(&mut self, batch: &mut InputBatch, now: Instant) -> io::Result<usize> {
        self.receiver.receive(self.socket.as_fd(), batch, now)
    }

    /// Sends every message of `batch` that the kernel takes at once and counts what became of the others.
    pub fn send(&mut self, batch: &OutputBatch) -> SendOutcome {
        self.sender.send(self.socket.as_fd(), batch)
    }
}

/// The descriptor that is readable when there is something to receive.
impl AsFd for UdpSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// All addresses: of both families where the host has a global IPv6 address, of IPv4 alone otherwise.
fn any_address() -> IpAddr {
    // One line an address; the fourth column is the scope, 00 for a global one.
    let addresses = fs::read_to_string("/proc/net/if_inet6").unwrap_or_default();
    let is_global = |line: &str| line.split_ascii_whitespace().nth(3) == Some("00");
    if addresses.lines().any(is_global) { IpAddr::V6(Ipv6Addr::UNSPECIFIED) } else { IpAddr::V4(Ipv4Addr::UNSPECIFIED) }
}

/// Opens a socket bound to `address`, for itself alone: no other process can share its port.
fn open(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM.cloexec().nonblocking(), Some(Protocol::UDP))?;
    if address.is_ipv6() {
        socket.set_only_v6(!address.ip().is_unspecified())?;
    }
    socket.bind(&SockAddr::from(address))?;
    Ok(socket)
}

/// Asks for [`BUFFER_LEN`] in both directions; warns, with what mends it, where the kernel gives less.
fn enlarge_buffers(socket: &Socket) -> io::Result<()> {
    let wanted = BUFFER_LEN as libc::c_int;
    // The forced options pass the system's limit; they need CAP_NET_ADMIN.
    if set_option(socket, libc::SOL_SOCKET, libc::SO_RCVBUFFORCE, wanted).is_err() {
        socket.set_recv_buffer_size(BUFFER_LEN)?;
    }
    if set_option(socket, libc::SOL_SOCKET, libc::SO_SNDBUFFORCE, wanted).is_err() {
        socket.set_send_buffer_size(BUFFER_LEN)?;
    }
    // The kernel tells the double of what it gives.
    for (given, sysctl) in
        [(socket.recv_buffer_size()? / 2, "net.core.rmem_max"), (socket.send_buffer_size()? / 2, "net.core.wmem_max")]
    {
        if given < BUFFER_LEN {
            tracing::warn!(
                given,
                wanted,
                "a socket buffer is smaller than wanted, bursts may be lost; mend it with `sysctl -w {sysctl}={wanted}`"
            );
        }
    }
    Ok(())
}

/// Switches on what [`control`] reads, and fragmentation on the way.
fn set_options(socket: &Socket, family: Family) -> io::Result<()> {
    set_option(socket, libc::SOL_SOCKET, libc::SO_TIMESTAMPNS, 1)?;
    // Media has no use for path MTU discovery: a datagram is small, and its loss is not repeated at a smaller size. Routers may
    // cut what is too long for a link, and forged ICMP messages change nothing.
    set_option(socket, libc::SOL_IP, libc::IP_MTU_DISCOVER, libc::IP_PMTUDISC_OMIT)?;
    match family {
        Family::V4 => set_option(socket, libc::SOL_IP, libc::IP_PKTINFO, 1),
        Family::V6 => {
            set_option(socket, libc::SOL_IPV6, libc::IPV6_MTU_DISCOVER, libc::IPV6_PMTUDISC_OMIT)?;
            set_option(socket, libc::SOL_IPV6, libc::IPV6_RECVPKTINFO, 1)
        }
    }
}

fn set_option(socket: &Socket, level: libc::c_int, name: libc::c_int, value: libc::c_int) -> io::Result<()> {
    let len = size_of_val(&value) as libc::socklen_t;
    // SAFETY: the value is an int that lives through the call, and its length is told.
    let result = unsafe { libc::setsockopt(socket.as_raw_fd(), level, name, (&raw const value).cast(), len) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// A header that points nowhere.
fn empty_header() -> libc::mmsghdr {
    // SAFETY: the structure consists of numbers and raw pointers, for which zero is a valid value.
    unsafe { MaybeUninit::zeroed().assume_init() }
}
