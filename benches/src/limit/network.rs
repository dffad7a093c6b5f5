//! Sockets, addresses and CPUs of a run, and the device that copies go to.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::fd::AsFd;
use std::process::Command;
use std::time::Duration;

use clap::ValueEnum;
use core_affinity::CoreId;
use nix::errno::Errno;
use nix::sched::{CloneFlags, unshare};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::socket::{setsockopt, sockopt};
use serde::Serialize;
use socket2::{Domain, Protocol, SockAddr, Socket, Type};

use super::LimitError;

/// Where copies go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Device {
    /// Loopback, 127.1.x.y: the kernel's whole way, receiving included, is charged to the sender; a second thread drains
    Lo,
    /// A device that frees what it is sent, in a network namespace of the run's own: a card with a free driver; needs root
    Ifb,
}

impl Device {
    /// Its name, as it is asked for.
    pub fn name(self) -> &'static str {
        match self {
            Self::Lo => "lo",
            Self::Ifb => "ifb",
        }
    }
}

/// Where copies go that nobody receives: the discard protocol's port (RFC 863).
const DISCARD_PORT: u16 = 9;

/// Bytes that a socket may hold: thousands of packets with all that the kernel keeps for each. The kernel takes memory for
/// what is held alone.
const BUFFER_LEN: usize = 64 << 20;

/// Bytes that a queued packet counts at most, of the sizes that are allowed here.
const QUEUED_PACKET_LEN: usize = 4096;

/// How long the forwarder waits for a packet before it looks whether the run is at its end.
pub(super) const RECEIVE_TIMEOUT: Duration = Duration::from_millis(100);

const NETUP: &str = include_str!("../../netup.sh");

/// Makes ready what copies are sent to. Call it before there are threads: only the calling thread, and those that it
/// starts later, change their namespace.
pub(super) fn enter(device: Device) -> Result<(), LimitError> {
    if device == Device::Lo {
        return Ok(());
    }
    unshare(CloneFlags::CLONE_NEWNET).map_err(|error| match error {
        Errno::EPERM => LimitError::Namespace(
            "`--device ifb` makes a network namespace and a device in it, which needs root (CAP_SYS_ADMIN and \
             CAP_NET_ADMIN); run it as root, or take `--device lo`"
                .into(),
        ),
        error => LimitError::Namespace(format!("a network namespace can't be had: {error}")),
    })?;
    let output = Command::new("sh")
        .args(["-c", NETUP])
        .output()
        .map_err(|error| LimitError::Namespace(format!("netup.sh can't be run by `sh`: {error}")))?;
    if output.status.success() {
        return Ok(());
    }
    Err(LimitError::Namespace(format!(
        "netup.sh failed with {}: {}; it needs `ip` (iproute2) and the kernel's module ifb",
        output.status,
        String::from_utf8_lossy(&output.stderr).trim()
    )))
}

/// The address of each of `count` members. On loopback they share the ports of `sinks`.
pub(super) fn destinations(device: Device, sinks: &[Socket], count: usize) -> Vec<SockAddr> {
    let base = match device {
        Device::Lo => Ipv4Addr::new(127, 1, 0, 1),
        Device::Ifb => Ipv4Addr::new(198, 18, 0, 1),
    };
    let port =
        |sink: &Socket| sink.local_addr().ok().and_then(|address| address.as_socket()).map(|address| address.port());
    let mut ports: Vec<u16> = sinks.iter().filter_map(port).collect();
    if ports.is_empty() {
        ports.push(DISCARD_PORT);
    }
    let ips = (base.to_bits()..).map(Ipv4Addr::from_bits);
    ips.zip(ports.iter().cycle()).map(|(ip, port)| SocketAddr::from((ip, *port)).into()).take(count).collect()
}

/// The sockets that copies are drained from, `count` of them; none where the device frees them. Each has a port that is free.
pub(super) fn sinks(device: Device, count: usize) -> Result<Vec<Socket>, LimitError> {
    let count = if device == Device::Lo { count } else { 0 };
    allow_descriptors(count)?;
    let bound = |_| {
        let socket = open()?;
        socket
            .bind(&SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)).into())
            .map_err(|source| LimitError::Socket { what: "a socket to drain".into(), source })?;
        Ok(socket)
    };
    (0..count).map(bound).collect()
}

/// The socket that packets come in by, and its address.
pub(super) fn input() -> Result<(Socket, SockAddr), LimitError> {
    let socket = open()?;
    let bound = || {
        socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into())?;
        socket.set_read_timeout(Some(RECEIVE_TIMEOUT))?;
        socket.local_addr()
    };
    let address = bound().map_err(|source| LimitError::Socket { what: "the socket of the input".into(), source })?;
    Ok((socket, address))
}

/// Packets that `socket` holds unread for certain.
pub(super) fn queue_len(socket: &Socket) -> usize {
    socket.recv_buffer_size().unwrap_or(0) / QUEUED_PACKET_LEN
}

/// A socket with large buffers: past the system's limit where the process may, and as large as that otherwise.
pub(super) fn open() -> Result<Socket, LimitError> {
    let open = || -> io::Result<Socket> {
        let socket = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP))?;
        if setsockopt(&socket.as_fd(), sockopt::RcvBufForce, &BUFFER_LEN).is_err() {
            socket.set_recv_buffer_size(BUFFER_LEN)?;
        }
        if setsockopt(&socket.as_fd(), sockopt::SndBufForce, &BUFFER_LEN).is_err() {
            socket.set_send_buffer_size(BUFFER_LEN)?;
        }
        Ok(socket)
    };
    open().map_err(|source| LimitError::Socket { what: "a UDP socket".into(), source })
}

/// A connected socket for each of `destinations`.
pub(super) fn connect(destinations: &[SockAddr], sinks: usize) -> Result<Vec<Socket>, LimitError> {
    allow_descriptors(destinations.len() + sinks)?;
    let connected = |destination: &SockAddr| {
        let socket = open()?;
        socket.connect(destination).map_err(|source| LimitError::Socket {
            what: format!("connecting a socket to each of {} destinations", destinations.len()),
            source,
        })?;
        Ok(socket)
    };
    destinations.iter().map(connected).collect()
}

/// Descriptors beside those of the destinations.
const DESCRIPTORS_SPARE: u64 = 64;

fn allow_descriptors(count: usize) -> Result<(), LimitError> {
    let needed = count as u64 + DESCRIPTORS_SPARE;
    let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE) else { return Ok(()) };
    if soft >= needed || setrlimit(Resource::RLIMIT_NOFILE, needed, hard.max(needed)).is_ok() {
        return Ok(());
    }
    Err(LimitError::Descriptors { needed, hard })
}

/// Which CPU is whose.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cpus {
    pub(super) forwarder: CoreId,
    /// `None` where there is only one.
    pub(super) far_end: Option<CoreId>,
}

impl Cpus {
    /// The first two that the process may use.
    pub(super) fn choose() -> Result<Self, LimitError> {
        let mut all = core_affinity::get_core_ids().unwrap_or_default().into_iter();
        Ok(Self { forwarder: all.next().ok_or(LimitError::Cpus)?, far_end: all.next() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_member_has_an_address_of_its_own_in_the_devices_network() {
        for (device, network) in [(Device::Lo, [127, 1]), (Device::Ifb, [198, 18])] {
            let all = destinations(device, &sinks(device, 8).unwrap(), super::super::shape::DESTINATIONS_MAX);
            let mut ips: Vec<_> =
                all.iter().filter_map(SockAddr::as_socket_ipv4).map(|address| *address.ip()).collect();
            assert!(ips.iter().all(|ip| ip.octets()[..2] == network));
            ips.sort_unstable();
            ips.dedup();
            assert_eq!((ips.len(), all.len()), (20_000, 20_000));
        }
    }

    #[test]
    fn members_on_loopback_share_the_sinks_evenly() {
        let sinks = sinks(Device::Lo, 8).unwrap();
        let all = destinations(Device::Lo, &sinks, 10 * sinks.len());
        for sink in &sinks {
            let port = sink.local_addr().unwrap().as_socket().unwrap().port();
            let is_its = |address: &&SockAddr| address.as_socket().unwrap().port() == port;
            assert_eq!(all.iter().filter(is_its).count(), 10);
        }
    }
}
