//! Socket addresses in the kernel's layout, of both families.

#![allow(unsafe_code)]

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};

/// The family of a socket. One of IPv6 carries IPv4 too, as v4-mapped addresses (RFC 4291 section 2.5.5.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Family {
    V4,
    V6,
}

impl Family {
    /// The address as a socket of this family writes it; `None` for an IPv6 address on an IPv4 socket.
    pub(super) fn native(self, address: IpAddr) -> Option<IpAddr> {
        match (self, address.to_canonical()) {
            (Self::V4, IpAddr::V4(address)) => Some(IpAddr::V4(address)),
            (Self::V4, IpAddr::V6(_)) => None,
            (Self::V6, IpAddr::V4(address)) => Some(IpAddr::V6(address.to_ipv6_mapped())),
            (Self::V6, IpAddr::V6(address)) => Some(IpAddr::V6(address)),
        }
    }
}

/// The name of a message: room for an address of either family.
#[repr(C)]
#[derive(Clone, Copy)]
pub(super) union Name {
    family: libc::sa_family_t,
    v4: libc::sockaddr_in,
    v6: libc::sockaddr_in6,
}

impl Name {
    /// Bytes that the kernel may fill.
    pub(super) const LEN: libc::socklen_t = size_of::<Self>() as libc::socklen_t;

    /// The address, v4-mapped ones as IPv4; `None` for another family.
    pub(super) fn address(&self) -> Option<SocketAddr> {
        // SAFETY: every bit pattern is a valid family, and all fields of the union begin with it.
        let family = unsafe { self.family };
        match libc::c_int::from(family) {
            libc::AF_INET => {
                // SAFETY: the kernel says that this is the address's form; every bit pattern is valid in it.
                let name = unsafe { self.v4 };
                let ip = Ipv4Addr::from(name.sin_addr.s_addr.to_ne_bytes());
                Some(SocketAddr::from((ip, u16::from_be(name.sin_port))))
            }
            libc::AF_INET6 => {
                // SAFETY: as above.
                let name = unsafe { self.v6 };
                let ip = Ipv6Addr::from(name.sin6_addr.s6_addr);
                let port = u16::from_be(name.sin6_port);
                match ip.to_ipv4_mapped() {
                    Some(ip) => Some(SocketAddr::from((ip, port))),
                    // The scope tells apart equal link-local addresses of two links; the flow label tells nothing.
                    None => Some(SocketAddr::V6(SocketAddrV6::new(ip, port, 0, name.sin6_scope_id))),
                }
            }
            _ => None,
        }
    }

    /// The name of `address` for a socket of `family` and its length; `None` for an IPv6 address on an IPv4 socket.
    pub(super) fn new(family: Family, address: SocketAddr) -> Option<(Self, libc::socklen_t)> {
        let port = address.port().to_be();
        match family.native(address.ip())? {
            IpAddr::V4(ip) => {
                let name = libc::sockaddr_in {
                    sin_family: libc::AF_INET as libc::sa_family_t,
                    sin_port: port,
                    sin_addr: libc::in_addr { s_addr: u32::from_ne_bytes(ip.octets()) },
                    sin_zero: [0; 8],
                };
                Some((Self { v4: name }, size_of_val(&name) as libc::socklen_t))
            }
            IpAddr::V6(ip) => {
                let scope = match address {
                    SocketAddr::V6(address) => address.scope_id(),
                    SocketAddr::V4(_) => 0,
                };
                let name = libc::sockaddr_in6 {
                    sin6_family: libc::AF_INET6 as libc::sa_family_t,
                    sin6_port: port,
                    sin6_flowinfo: 0,
                    sin6_addr: libc::in6_addr { s6_addr: ip.octets() },
                    sin6_scope_id: scope,
                };
                Some((Self { v6: name }, size_of_val(&name) as libc::socklen_t))
            }
        }
    }
}

impl Default for Name {
    fn default() -> Self {
        let none = libc::sockaddr_in6 {
            sin6_family: libc::AF_UNSPEC as libc::sa_family_t,
            sin6_port: 0,
            sin6_flowinfo: 0,
            sin6_addr: libc::in6_addr { s6_addr: [0; 16] },
            sin6_scope_id: 0,
        };
        Self { v6: none }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_survives_the_way_there_and_back() {
        let link_local = SocketAddrV6::new(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1), 4, 0, 3);
        for (family, address) in [
            (Family::V4, SocketAddr::from(([192, 0, 2, 1], 40_000))),
            (Family::V6, SocketAddr::from(([192, 0, 2, 1], 40_000))),
            (Family::V6, SocketAddr::from((Ipv6Addr::LOCALHOST, 1))),
            (Family::V6, SocketAddr::V6(link_local)),
        ] {
            let (name, _) = Name::new(family, address).unwrap();
            assert_eq!(name.address(), Some(address));
        }
    }

    #[test]
    fn an_ipv4_socket_has_no_name_for_an_ipv6_address() {
        assert!(Name::new(Family::V4, SocketAddr::from((Ipv6Addr::LOCALHOST, 1))).is_none());
        assert!(Name::new(Family::V4, "[::ffff:192.0.2.1]:1".parse().unwrap()).is_some());
        assert!(Name::default().address().is_none());
    }
}
