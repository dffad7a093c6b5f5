//! One UDP socket: datagrams with the kernel's receive stamps, and a gate that may lose them.

use std::io::{self, IoSliceMut};
use std::net::{SocketAddr, UdpSocket as StdSocket};
use std::os::fd::AsRawFd;
use std::sync::{Mutex, PoisonError};

use nix::cmsg_space;
use nix::sys::socket::{ControlMessageOwned, MsgFlags, SockaddrStorage, recvmsg, setsockopt, sockopt};
use nix::sys::time::TimeSpec;
use tokio::io::Interest;
use tokio::net::UdpSocket;

use crate::voice::now_ns;

/// Longer than any datagram that the service may send: the largest that IPv4 carries.
pub(crate) const DATAGRAM_LEN_MAX: usize = 65_536;

/// Which way a datagram goes, as the participant sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// To the service.
    Outbound,
    /// From the service.
    Inbound,
}

/// Decides for each datagram whether it passes; one that does not is lost without a word.
pub type Gate = Box<dyn FnMut(Direction, &[u8]) -> bool + Send>;

/// A datagram's length, source and the kernel's receive stamp in nanoseconds since the Unix epoch.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Arrival {
    pub(crate) len: usize,
    pub(crate) source: SocketAddr,
    pub(crate) arrived_at_ns: u64,
}

pub(crate) struct Link {
    receiver: UdpSocket,
    /// A second descriptor of the same socket. The runtime's own would refuse a datagram until its first readiness event.
    sender: StdSocket,
    remote: Mutex<Option<SocketAddr>>,
    gate: Mutex<Option<Gate>>,
}

impl Link {
    /// Binds a socket on `local`; must be called in a tokio runtime.
    pub(crate) fn bind(local: SocketAddr, gate: Option<Gate>) -> io::Result<Self> {
        let sender = StdSocket::bind(local)?;
        sender.set_nonblocking(true)?;
        setsockopt(&sender, sockopt::ReceiveTimestampns, &true)?;
        let receiver = UdpSocket::from_std(sender.try_clone()?)?;
        Ok(Self { receiver, sender, remote: Mutex::new(None), gate: Mutex::new(gate) })
    }

    pub(crate) fn local_address(&self) -> io::Result<SocketAddr> {
        self.sender.local_addr()
    }

    /// Another descriptor of the socket, non-blocking.
    pub(crate) fn duplicate(&self) -> io::Result<StdSocket> {
        self.sender.try_clone()
    }

    /// Where datagrams go from now on.
    pub(crate) fn set_remote(&self, remote: SocketAddr) {
        *self.remote.lock().unwrap_or_else(PoisonError::into_inner) = Some(remote);
    }

    pub(crate) fn remote_address(&self) -> Option<SocketAddr> {
        *self.remote.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn set_gate(&self, gate: Option<Gate>) {
        *self.gate.lock().unwrap_or_else(PoisonError::into_inner) = gate;
    }

    /// Sends to the remote address.
    pub(crate) fn send(&self, datagram: &[u8]) -> io::Result<()> {
        self.send_to(datagram, self.remote_address().ok_or(io::ErrorKind::NotConnected)?)
    }

    pub(crate) fn send_to(&self, datagram: &[u8], target: SocketAddr) -> io::Result<()> {
        if self.is_passing(Direction::Outbound, datagram) {
            self.sender.send_to(datagram, target)?;
        }
        Ok(())
    }

    /// Waits for the next datagram that the gate lets pass.
    pub(crate) async fn receive(&self, buffer: &mut [u8]) -> io::Result<Arrival> {
        loop {
            self.receiver.readable().await?;
            match self.receiver.try_io(Interest::READABLE, || receive_stamped(&self.receiver, buffer)) {
                Ok(arrival) if self.is_passing(Direction::Inbound, &buffer[..arrival.len]) => return Ok(arrival),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
    }

    fn is_passing(&self, direction: Direction, datagram: &[u8]) -> bool {
        let mut gate = self.gate.lock().unwrap_or_else(PoisonError::into_inner);
        gate.as_mut().is_none_or(|gate| gate(direction, datagram))
    }
}

/// One `recvmsg` with the kernel's stamp; without a stamp, the time now.
fn receive_stamped(socket: &UdpSocket, buffer: &mut [u8]) -> io::Result<Arrival> {
    let mut control = cmsg_space!(TimeSpec);
    let mut slices = [IoSliceMut::new(buffer)];
    let message =
        recvmsg::<SockaddrStorage>(socket.as_raw_fd(), &mut slices, Some(&mut control), MsgFlags::MSG_DONTWAIT)?;
    let arrived_at_ns = message.cmsgs()?.find_map(|control| match control {
        ControlMessageOwned::ScmTimestampns(stamp) => stamp_ns(stamp),
        _ => None,
    });
    let source = message.address.as_ref().and_then(socket_address).ok_or(io::ErrorKind::InvalidData)?;
    Ok(Arrival { len: message.bytes, source, arrived_at_ns: arrived_at_ns.unwrap_or_else(now_ns) })
}

/// A kernel's receive stamp in nanoseconds since the Unix epoch; `None` for one before it.
pub fn stamp_ns(stamp: TimeSpec) -> Option<u64> {
    let seconds_ns = u64::try_from(stamp.tv_sec()).ok()?.checked_mul(1_000_000_000)?;
    seconds_ns.checked_add(u64::try_from(stamp.tv_nsec()).ok()?)
}

fn socket_address(address: &SockaddrStorage) -> Option<SocketAddr> {
    match (address.as_sockaddr_in(), address.as_sockaddr_in6()) {
        (Some(v4), _) => Some(SocketAddr::V4((*v4).into())),
        (_, Some(v6)) => Some(SocketAddr::V6((*v6).into())),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_datagram_arrives_with_its_source_and_a_stamp_between_sending_and_reading() {
        let local: SocketAddr = "127.0.0.1:0".parse().expect("an address");
        let (left, right) = (Link::bind(local, None).expect("left"), Link::bind(local, None).expect("right"));
        left.set_remote(right.local_address().expect("right's address"));
        let before_ns = now_ns();
        left.send(b"word").expect("loopback takes it");
        let mut buffer = [0; 16];
        let arrival = right.receive(&mut buffer).await.expect("it arrives");
        assert_eq!(&buffer[..arrival.len], b"word");
        assert_eq!(arrival.source, left.local_address().expect("left's address"));
        assert!((before_ns..=now_ns()).contains(&arrival.arrived_at_ns));
    }

    #[tokio::test]
    async fn a_gate_loses_what_it_does_not_let_pass_in_either_direction() {
        let local: SocketAddr = "127.0.0.1:0".parse().expect("an address");
        let lose_a: Gate = Box::new(|direction, datagram| direction != Direction::Outbound || datagram != b"a");
        let lose_b: Gate = Box::new(|direction, datagram| direction != Direction::Inbound || datagram != b"b");
        let (left, right) =
            (Link::bind(local, Some(lose_a)).expect("left"), Link::bind(local, Some(lose_b)).expect("right"));
        left.set_remote(right.local_address().expect("right's address"));
        for word in [b"a", b"b", b"c"] {
            left.send(word).expect("loopback takes it");
        }
        let mut buffer = [0; 16];
        let arrival = right.receive(&mut buffer).await.expect("one arrives");
        assert_eq!(&buffer[..arrival.len], b"c");
    }
}
