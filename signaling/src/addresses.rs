//! Which addresses clients are told.

use std::net::IpAddr;

use shard_protocol::tables::CandidateAddress;

use crate::room::ShardAddresses;

/// What decides on the addresses.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AddressRequest {
    /// What the operator announces; nothing else is told then.
    pub public_ips: Vec<IpAddr>,
    /// What the shards listen on; `None` for all.
    pub listen_ip: Option<IpAddr>,
    /// Whether loopback is told too.
    pub is_dev: bool,
}

/// The addresses of this host.
///
/// # Errors
/// The kernel does not list them.
pub fn of_host() -> std::io::Result<Vec<IpAddr>> {
    Ok(if_addrs::get_if_addrs()?.iter().map(if_addrs::Interface::ip).collect())
}

/// Chooses among the host's addresses.
pub fn announced(request: &AddressRequest, host: &[IpAddr]) -> Vec<IpAddr> {
    if !request.public_ips.is_empty() {
        return request.public_ips.clone();
    }
    let listened = |ip: &&IpAddr| match request.listen_ip {
        Some(own) if own.is_unspecified() => own.is_ipv6() || ip.is_ipv4(),
        Some(own) => **ip == own,
        None => true,
    };
    let is_link_local = |ip: &IpAddr| match ip {
        IpAddr::V4(ip) => ip.is_link_local(),
        // A client cannot tell which of its links a link-local address is on.
        IpAddr::V6(ip) => ip.is_unicast_link_local(),
    };
    // Shards that listen on all addresses use IPv6 only where the host has an address of it beyond its own links.
    let has_ipv6 =
        request.listen_ip.is_some() || host.iter().any(|ip| ip.is_ipv6() && !ip.is_loopback() && !is_link_local(ip));
    let is_told = |ip: &&IpAddr| {
        // An address that the operator named is told even if it is loopback.
        let is_wanted = !ip.is_loopback() || request.is_dev || request.listen_ip == Some(**ip);
        is_wanted && !is_link_local(ip) && (ip.is_ipv4() || has_ipv6)
    };
    let mut told: Vec<IpAddr> = host.iter().filter(listened).filter(is_told).copied().collect();
    // What others can reach comes first.
    told.sort_by_key(IpAddr::is_loopback);
    told.dedup();
    told
}

/// The candidates of a shard with this port.
pub fn of_shard(announced: &[IpAddr], port: u16) -> ShardAddresses {
    ShardAddresses { addresses: announced.iter().map(|&ip| CandidateAddress { ip, port }).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ips(texts: &[&str]) -> Vec<IpAddr> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    const HOST: [&str; 6] = ["127.0.0.1", "192.0.2.7", "169.254.3.3", "::1", "fe80::1", "2001:db8::7"];

    #[test]
    fn every_address_but_loopback_and_link_local_is_told() {
        let told = announced(&AddressRequest::default(), &ips(&HOST));
        assert_eq!(told, ips(&["192.0.2.7", "2001:db8::7"]));
    }

    #[test]
    fn development_tells_loopback_too_and_last() {
        let request = AddressRequest { is_dev: true, ..AddressRequest::default() };
        assert_eq!(announced(&request, &ips(&HOST)), ips(&["192.0.2.7", "2001:db8::7", "127.0.0.1", "::1"]));
        assert_eq!(announced(&request, &ips(&["127.0.0.1", "::1", "fe80::1"])), ips(&["127.0.0.1"]));
    }

    #[test]
    fn an_announced_address_is_told_alone() {
        let request = AddressRequest { public_ips: ips(&["203.0.113.1"]), is_dev: true, listen_ip: None };
        assert_eq!(announced(&request, &ips(&HOST)), ips(&["203.0.113.1"]));
    }

    #[test]
    fn shards_that_listen_on_one_address_are_told_by_it() {
        let listen = |ip: &str| AddressRequest { listen_ip: Some(ip.parse().unwrap()), ..AddressRequest::default() };
        assert_eq!(announced(&listen("192.0.2.7"), &ips(&HOST)), ips(&["192.0.2.7"]));
        assert_eq!(announced(&listen("127.0.0.1"), &ips(&HOST)), ips(&["127.0.0.1"]));
        assert_eq!(announced(&listen("0.0.0.0"), &ips(&HOST)), ips(&["192.0.2.7"]));
        assert_eq!(announced(&listen("::"), &ips(&HOST)), ips(&["192.0.2.7", "2001:db8::7"]));
    }
}
