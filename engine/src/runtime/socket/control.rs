//! Control messages (cmsg(3)): the host's own address, the kernel's stamp, and how to cut a message into datagrams.
//!
//! They are read and written as bytes, so a length that lies can do no harm.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

/// A control message begins with its length, as a `size_t`, its level and its type.
const HEADER_LEN: usize = size_of::<libc::cmsghdr>();

/// Control messages are aligned to this.
const ALIGN: usize = size_of::<libc::size_t>();

/// The largest set of either direction: an IPv6 address (20 bytes) with a stamp (16) or a segment length (2), each behind
/// a header.
const LEN: usize = space(20) + space(16);

// A stamp is two 64-bit numbers; 32-bit targets with a shorter time are not served.
const _: () = assert!(size_of::<libc::timespec>() == 16);

/// Bytes that a control message of `len` bytes takes with its header and padding.
const fn space(len: usize) -> usize {
    HEADER_LEN + len.next_multiple_of(ALIGN)
}

/// Room for the control messages of one message.
#[repr(C, align(8))]
#[derive(Clone, Copy)]
pub(super) struct Control([u8; LEN]);

/// What the control messages of a received datagram say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Received {
    /// The address of this host that it was sent to.
    pub(super) local: Option<IpAddr>,
    /// When the kernel took it, as time since the Unix epoch.
    pub(super) stamp: Option<Duration>,
}

impl Default for Control {
    fn default() -> Self {
        Self([0; LEN])
    }
}

impl Control {
    /// Bytes that the kernel may fill.
    pub(super) const LEN: usize = LEN;

    /// Where the kernel reads and writes.
    pub(super) fn as_mut_ptr(&mut self) -> *mut libc::c_void {
        self.0.as_mut_ptr().cast()
    }

    /// Reads the first `len` bytes, as the kernel left them.
    pub(super) fn read(&self, len: usize) -> Received {
        let mut received = Received::default();
        let mut rest = self.0.get(..len).unwrap_or(&self.0);
        while let Some((level, kind, data, behind)) = split_first(rest) {
            match (level, kind) {
                (libc::SOL_IP, libc::IP_PKTINFO) => {
                    // struct in_pktinfo: the interface, the address to answer from, the header's destination.
                    received.local = bytes_at::<4>(data, 8).map(|ip| IpAddr::V4(Ipv4Addr::from(ip)));
                }
                (libc::SOL_IPV6, libc::IPV6_PKTINFO) => {
                    // struct in6_pktinfo: the destination, the interface.
                    received.local = bytes_at::<16>(data, 0).map(|ip| IpAddr::V6(Ipv6Addr::from(ip)).to_canonical());
                }
                (libc::SOL_SOCKET, libc::SCM_TIMESTAMPNS) => received.stamp = stamp(data),
                _ => {}
            }
            rest = behind;
        }
        received
    }

    /// Writes the address to send from, in the form of the socket's family; returns the bytes used so far. An unspecified
    /// address leaves the choice to the kernel.
    pub(super) fn write_source(&mut self, source: IpAddr) -> usize {
        match source {
            _ if source.is_unspecified() => 0,
            IpAddr::V4(ip) => {
                let mut data = [0; 12];
                data[4..8].copy_from_slice(&ip.octets());
                self.write(0, libc::SOL_IP, libc::IP_PKTINFO, &data)
            }
            IpAddr::V6(ip) => {
                let mut data = [0; 20];
                data[..16].copy_from_slice(&ip.octets());
                self.write(0, libc::SOL_IPV6, libc::IPV6_PKTINFO, &data)
            }
        }
    }

    /// Writes the length at which the kernel cuts the message, behind `used` bytes; returns the bytes used then.
    pub(super) fn write_segment_len(&mut self, used: usize, segment_len: u16) -> usize {
        self.write(used, libc::SOL_UDP, libc::UDP_SEGMENT, &segment_len.to_ne_bytes())
    }

    fn write(&mut self, used: usize, level: libc::c_int, kind: libc::c_int, data: &[u8]) -> usize {
        let Some(room) = self.0.get_mut(used..used + space(data.len())) else { return used };
        let (header, body) = room.split_at_mut(HEADER_LEN);
        header[..ALIGN].copy_from_slice(&(HEADER_LEN + data.len()).to_ne_bytes());
        header[ALIGN..ALIGN + 4].copy_from_slice(&level.to_ne_bytes());
        header[ALIGN + 4..ALIGN + 8].copy_from_slice(&kind.to_ne_bytes());
        body[..data.len()].copy_from_slice(data);
        used + space(data.len())
    }
}

/// Splits off the first control message: level, type, data, and what is behind it.
fn split_first(bytes: &[u8]) -> Option<(libc::c_int, libc::c_int, &[u8], &[u8])> {
    let len = usize::from_ne_bytes(bytes_at(bytes, 0)?);
    let level = libc::c_int::from_ne_bytes(bytes_at(bytes, ALIGN)?);
    let kind = libc::c_int::from_ne_bytes(bytes_at(bytes, ALIGN + 4)?);
    let data = bytes.get(HEADER_LEN..len)?;
    let behind = bytes.get(len.next_multiple_of(ALIGN)..).unwrap_or_default();
    Some((level, kind, data, behind))
}

fn bytes_at<const N: usize>(bytes: &[u8], start: usize) -> Option<[u8; N]> {
    bytes.get(start..)?.first_chunk().copied()
}

/// Reads a `struct timespec`.
fn stamp(data: &[u8]) -> Option<Duration> {
    let seconds = i64::from_ne_bytes(bytes_at(data, 0)?);
    let nanoseconds = i64::from_ne_bytes(bytes_at(data, 8)?);
    Some(Duration::new(u64::try_from(seconds).ok()?, u32::try_from(nanoseconds).ok()?))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_destination_and_a_stamp_are_read_in_any_order() {
        let mut control = Control::default();
        let mut timespec = [0; 16];
        timespec[..8].copy_from_slice(&7_i64.to_ne_bytes());
        timespec[8..].copy_from_slice(&9_i64.to_ne_bytes());
        let mut pktinfo = [0; 20];
        let mapped = Ipv4Addr::new(192, 0, 2, 1).to_ipv6_mapped();
        pktinfo[..16].copy_from_slice(&mapped.octets());
        let expected = Received { local: Some(IpAddr::from([192, 0, 2, 1])), stamp: Some(Duration::new(7, 9)) };

        let used = control.write(0, libc::SOL_SOCKET, libc::SCM_TIMESTAMPNS, &timespec);
        let used = control.write(used, libc::SOL_IPV6, libc::IPV6_PKTINFO, &pktinfo);
        assert_eq!(control.read(used), expected);

        let used = control.write(0, libc::SOL_IPV6, libc::IPV6_PKTINFO, &pktinfo);
        let used = control.write(used, libc::SOL_SOCKET, libc::SCM_TIMESTAMPNS, &timespec);
        assert_eq!(used, Control::LEN);
        assert_eq!(control.read(used), expected);
        assert_eq!(control.read(0), Received::default());
    }

    #[test]
    fn both_directions_fit_and_the_kernel_chooses_where_no_source_is_given() {
        let mut control = Control::default();
        for source in [IpAddr::from([192, 0, 2, 1]), IpAddr::V6(Ipv6Addr::LOCALHOST)] {
            let used = control.write_source(source);
            assert!(used > 0);
            assert!(control.write_segment_len(used, 1200) > used);
        }
        assert_eq!(control.write_source(IpAddr::V4(Ipv4Addr::UNSPECIFIED)), 0);
        assert_eq!(control.write_source(IpAddr::V6(Ipv6Addr::UNSPECIFIED)), 0);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_to_an_end(bytes in any::<[u8; 32]>(), len in 0_usize..200, header in 0_usize..64) {
            let mut control = Control::default();
            control.0[..32].copy_from_slice(&bytes);
            control.0[..ALIGN].copy_from_slice(&header.to_ne_bytes());
            let received = control.read(len);
            prop_assert!(len >= HEADER_LEN || received == Received::default());
        }
    }
}
