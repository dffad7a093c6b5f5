//! A transport's socket as a lane reads it: connected, with the kernel's stamps and its count of what it threw away.

use std::io::{self, IoSliceMut};
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsRawFd;

use nix::cmsg_space;
use nix::sys::socket::{ControlMessageOwned, MsgFlags, getsockopt, recvmsg, setsockopt, sockopt};
use nix::sys::time::TimeSpec;
use peer::stamp_ns;

/// What a socket may hold unread: a third of a second of a large room's voice, should the lane sleep.
pub const RECEIVE_BUFFER_LEN: usize = 1 << 20;
/// Longer than any datagram of a path.
const DATAGRAM_LEN_MAX: usize = 2048;

/// Makes the socket a lane's own. Gives the length of the receive buffer that the kernel allowed.
pub(crate) fn prepare(socket: &UdpSocket, remote: SocketAddr) -> io::Result<usize> {
    socket.set_nonblocking(true)?;
    socket.connect(remote)?;
    setsockopt(socket, sockopt::ReceiveTimestampns, &true)?;
    setsockopt(socket, sockopt::RxqOvfl, &1)?;
    // Refused by a small net.core.rmem_max; what was granted is told below.
    setsockopt(socket, sockopt::RcvBuf, &RECEIVE_BUFFER_LEN)?;
    // The kernel doubles what it is asked for, for its own bookkeeping.
    Ok(getsockopt(socket, sockopt::RcvBuf)? / 2)
}

/// Buffers that one lane reads all its sockets with.
pub(crate) struct Reader {
    datagram: Box<[u8; DATAGRAM_LEN_MAX]>,
    control: Vec<u8>,
}

/// A datagram that was read.
pub(crate) struct Datagram<'a> {
    /// Its bytes.
    pub(crate) bytes: &'a [u8],
    /// When the kernel took it, in nanoseconds since the Unix epoch; `None` without a stamp.
    pub(crate) arrived_at_ns: Option<u64>,
    /// Datagrams that the kernel has thrown away on this socket so far, where it says so.
    pub(crate) overflowed: Option<u32>,
}

impl Reader {
    /// Makes the buffers.
    pub(crate) fn new() -> Self {
        Self { datagram: Box::new([0; DATAGRAM_LEN_MAX]), control: cmsg_space!(TimeSpec, u32) }
    }

    /// The next datagram of `socket`; `None` where there is none now.
    pub(crate) fn read(&mut self, socket: &UdpSocket) -> io::Result<Option<Datagram<'_>>> {
        let mut slices = [IoSliceMut::new(&mut self.datagram[..])];
        let flags = MsgFlags::MSG_DONTWAIT;
        let message = match recvmsg::<()>(socket.as_raw_fd(), &mut slices, Some(&mut self.control), flags) {
            Ok(message) => message,
            Err(nix::Error::EAGAIN) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let (mut arrived_at_ns, mut overflowed) = (None, None);
        for control in message.cmsgs()? {
            match control {
                ControlMessageOwned::ScmTimestampns(stamp) => arrived_at_ns = stamp_ns(stamp),
                ControlMessageOwned::RxqOvfl(count) => overflowed = Some(count),
                _ => {}
            }
        }
        let len = message.bytes;
        Ok(Some(Datagram { bytes: &self.datagram[..len], arrived_at_ns, overflowed }))
    }
}
