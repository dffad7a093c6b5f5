//! From a captured packet to the UDP datagram in it: link layer, IP, UDP. etherparse reads the layers; which begins the
//! packet is told by the link type, <https://www.tcpdump.org/linktypes.html>.
//!
//! Check sums are not looked at: a sender's own capture often shows packets before the network card has filled them in.

use std::net::{IpAddr, SocketAddr};

use etherparse::{EtherType, NetSlice, SlicedPacket, TransportSlice};

/// One UDP datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Datagram<'a> {
    pub(crate) source: SocketAddr,
    pub(crate) destination: SocketAddr,
    pub(crate) payload: &'a [u8],
}

/// Why a packet gives no datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// The link type is not known here.
    ForeignLink,
    /// It is something else than UDP over IP.
    NotUdp,
    /// It is a part of an IP packet. Parts are not put together: RTP is made to fit one packet.
    Fragment,
    /// A layer contradicts itself or the packet's length.
    Malformed,
}

const NULL: u16 = 0;
const ETHERNET: u16 = 1;
const LOOP: u16 = 108;
const LINUX_SLL: u16 = 113;
const LINUX_SLL2: u16 = 276;
/// Raw IP: as files name it, as two systems name it, and with a version of its own.
const RAW: [u16; 5] = [101, 12, 14, 228, 229];

/// Bytes of the address family before a loopback packet.
const FAMILY_LEN: usize = 4;
/// What systems call IPv4 and IPv6 there.
const FAMILIES: [u32; 5] = [2, 10, 24, 28, 30];

/// Bytes of the second form of Linux' cooked header, which begins with the protocol.
const SLL2_LEN: usize = 20;

/// Whether packets of this link type can be read.
pub(crate) fn is_known(link_type: u16) -> bool {
    matches!(link_type, NULL | ETHERNET | LOOP | LINUX_SLL | LINUX_SLL2) || RAW.contains(&link_type)
}

/// Finds the datagram in `packet`.
pub(crate) fn dissect(link_type: u16, packet: &[u8]) -> Result<Datagram<'_>, Refusal> {
    let sliced = match link_type {
        ETHERNET => SlicedPacket::from_ethernet(packet),
        LINUX_SLL => SlicedPacket::from_linux_sll(packet),
        LINUX_SLL2 => {
            let (header, rest) = packet.split_at_checked(SLL2_LEN).ok_or(Refusal::Malformed)?;
            SlicedPacket::from_ether_type(EtherType(u16::from_be_bytes([header[0], header[1]])), rest)
        }
        NULL | LOOP => SlicedPacket::from_ip(behind_family(packet)?),
        _ if RAW.contains(&link_type) => SlicedPacket::from_ip(packet),
        _ => return Err(Refusal::ForeignLink),
    };
    datagram(&sliced.map_err(|_| Refusal::Malformed)?)
}

/// The family stands in the byte order of the machine that captured.
fn behind_family(packet: &[u8]) -> Result<&[u8], Refusal> {
    let (family, rest) = packet.split_first_chunk::<FAMILY_LEN>().ok_or(Refusal::Malformed)?;
    let is_ip = [u32::from_le_bytes(*family), u32::from_be_bytes(*family)].iter().any(|word| FAMILIES.contains(word));
    if is_ip { Ok(rest) } else { Err(Refusal::NotUdp) }
}

fn datagram<'a>(packet: &SlicedPacket<'a>) -> Result<Datagram<'a>, Refusal> {
    if packet.is_ip_payload_fragmented() {
        return Err(Refusal::Fragment);
    }
    let (source, destination): (IpAddr, IpAddr) = match &packet.net {
        Some(NetSlice::Ipv4(ip)) => (ip.header().source_addr().into(), ip.header().destination_addr().into()),
        Some(NetSlice::Ipv6(ip)) => (ip.header().source_addr().into(), ip.header().destination_addr().into()),
        _ => return Err(Refusal::NotUdp),
    };
    let Some(TransportSlice::Udp(udp)) = &packet.transport else { return Err(Refusal::NotUdp) };
    Ok(Datagram {
        source: (source, udp.source_port()).into(),
        destination: (destination, udp.destination_port()).into(),
        payload: udp.payload(),
    })
}

#[cfg(test)]
mod tests {
    use etherparse::PacketBuilder;

    use super::*;

    const PAYLOAD: &[u8] = b"payload";

    fn ipv4() -> Vec<u8> {
        let mut packet = Vec::new();
        PacketBuilder::ipv4([10, 0, 0, 1], [10, 0, 0, 2], 64).udp(5004, 40_000).write(&mut packet, PAYLOAD).unwrap();
        packet
    }

    fn ipv6() -> Vec<u8> {
        let mut packet = Vec::new();
        PacketBuilder::ipv6([1; 16], [2; 16], 64).udp(5004, 40_000).write(&mut packet, PAYLOAD).unwrap();
        packet
    }

    fn behind(header: &[u8], packet: Vec<u8>) -> Vec<u8> {
        [header, &packet].concat()
    }

    #[test]
    fn the_datagram_is_found_behind_every_link_layer() {
        let ethernet = |ether_type: &[u8]| [&[2; 12], ether_type].concat();
        let sll = |protocol: [u8; 2]| [&[0, 0, 0, 1, 0, 6, 1, 2, 3, 4, 5, 6, 0, 0][..], &protocol].concat();
        let sll2 =
            |protocol: [u8; 2]| [&protocol[..], &[0, 0, 0, 0, 0, 3, 0, 1, 0, 6, 1, 2, 3, 4, 5, 6, 0, 0]].concat();
        for (link_type, packet) in [
            (ETHERNET, behind(&ethernet(&[8, 0]), ipv4())),
            (ETHERNET, behind(&ethernet(&[0x86, 0xdd]), ipv6())),
            (ETHERNET, behind(&ethernet(&[0x81, 0, 0, 7, 8, 0]), ipv4())),
            (ETHERNET, behind(&ethernet(&[0x88, 0xa8, 0, 7, 0x81, 0, 0, 8, 0x86, 0xdd]), ipv6())),
            // Padded to the shortest frame.
            (ETHERNET, [behind(&ethernet(&[8, 0]), ipv4()), vec![0; 11]].concat()),
            (LINUX_SLL, behind(&sll([8, 0]), ipv4())),
            (LINUX_SLL, behind(&sll([0x86, 0xdd]), ipv6())),
            (LINUX_SLL2, behind(&sll2([8, 0]), ipv4())),
            (LINUX_SLL2, behind(&sll2([0x86, 0xdd]), ipv6())),
            (101, ipv4()),
            (12, ipv6()),
            (228, ipv4()),
            (229, ipv6()),
            (NULL, behind(&[2, 0, 0, 0], ipv4())),
            (NULL, behind(&[0, 0, 0, 30], ipv6())),
            (LOOP, behind(&[0, 0, 0, 2], ipv4())),
        ] {
            assert!(is_known(link_type));
            let datagram = dissect(link_type, &packet).unwrap();
            assert_eq!((datagram.source.port(), datagram.destination.port()), (5004, 40_000), "{link_type}");
            assert_eq!(datagram.payload, PAYLOAD, "{link_type}");
            // Cut anywhere, it is refused and nothing else happens.
            for len in 0..packet.len() - 11 {
                assert!(dissect(link_type, &packet[..len]).is_err(), "{link_type} {len}");
            }
        }
        assert_eq!(dissect(105, &ipv4()), Err(Refusal::ForeignLink));
        assert!(!is_known(105));
    }

    #[test]
    fn what_is_no_whole_datagram_is_told_apart() {
        let mut first = ipv4();
        first[6] = 0x20;
        let mut last = ipv4();
        last[7] = 8;
        assert_eq!(dissect(101, &first), Err(Refusal::Fragment));
        assert_eq!(dissect(101, &last), Err(Refusal::Fragment));
        // The fragment header of IPv6, before UDP.
        let mut ipv6 = ipv6();
        ipv6[5] += 8;
        ipv6[6] = 44;
        ipv6.splice(40..40, [17, 0, 0, 1, 0, 0, 0, 9]);
        assert_eq!(dissect(101, &ipv6), Err(Refusal::Fragment));

        let mut tcp = Vec::new();
        PacketBuilder::ipv4([1; 4], [2; 4], 64).tcp(1, 2, 3, 4).write(&mut tcp, &[]).unwrap();
        assert_eq!(dissect(101, &tcp), Err(Refusal::NotUdp));
        assert_eq!(dissect(NULL, &behind(&[7, 0, 0, 0], ipv4())), Err(Refusal::NotUdp));
        let mut length = ipv4();
        length[25] = 3;
        assert_eq!(dissect(101, &length), Err(Refusal::Malformed));
    }
}
