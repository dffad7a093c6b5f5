//! From an address tuple, or an ICE user name fragment, to a transport.

use std::collections::HashMap;
use std::net::SocketAddr;

/// The two look-up tables of a shard, for keys `K` of its transports.
///
/// Entries come only from signaling (fragments) and from authenticated ICE checks (addresses), and go with their
/// transport, so both tables are bounded by the number of transports and by how many addresses each may have. The hashes
/// are keyed at random: whoever chooses its address cannot choose its bucket.
pub struct Routes<K> {
    by_address: HashMap<SocketAddr, K, ahash::RandomState>,
    by_ufrag: HashMap<Box<[u8]>, K, ahash::RandomState>,
}

impl<K: Copy + Eq> Routes<K> {
    /// Makes empty tables with room for `transports` transports.
    pub fn with_capacity(transports: usize) -> Self {
        Self {
            by_address: HashMap::with_capacity_and_hasher(transports, ahash::RandomState::new()),
            by_ufrag: HashMap::with_capacity_and_hasher(transports, ahash::RandomState::new()),
        }
    }

    /// The transport that `source` was validated for.
    pub fn by_address(&self, source: &SocketAddr) -> Option<K> {
        self.by_address.get(source).copied()
    }

    /// The transport whose credentials have this user name fragment.
    pub fn by_ufrag(&self, ufrag: &[u8]) -> Option<K> {
        self.by_ufrag.get(ufrag).copied()
    }

    /// Enters a fragment; `false`, and nothing changes, where it is another transport's.
    pub fn try_add_ufrag(&mut self, ufrag: &[u8], key: K) -> bool {
        if self.by_ufrag.contains_key(ufrag) {
            return false;
        }
        self.by_ufrag.insert(ufrag.into(), key);
        true
    }

    /// Takes a fragment out.
    pub fn remove_ufrag(&mut self, ufrag: &[u8]) {
        self.by_ufrag.remove(ufrag);
    }

    /// Enters a validated address that is no other transport's. Such a one is never taken over while its owner uses it: a
    /// participant that forges another's source address would cut that one off.
    pub fn add_address(&mut self, source: SocketAddr, key: K) {
        let before = self.by_address.insert(source, key);
        debug_assert!(before.is_none_or(|owner| owner == key));
    }

    /// Takes an address out, if it is still that of `key`.
    pub fn remove_address(&mut self, source: &SocketAddr, key: K) {
        if self.by_address.get(source) == Some(&key) {
            self.by_address.remove(source);
        }
    }

    /// How many addresses are known.
    pub fn addresses(&self) -> usize {
        self.by_address.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_belongs_to_one_transport_until_that_lets_go() {
        let mut routes = Routes::with_capacity(4);
        let address = SocketAddr::from(([127, 0, 0, 1], 5000));
        routes.add_address(address, 1);
        routes.remove_address(&address, 2);
        assert_eq!(routes.by_address(&address), Some(1));
        routes.remove_address(&address, 1);
        assert_eq!(routes.addresses(), 0);
    }

    #[test]
    fn a_fragment_has_one_transport() {
        let mut routes = Routes::with_capacity(4);
        assert!(routes.try_add_ufrag(b"abcd", 1));
        assert!(!routes.try_add_ufrag(b"abcd", 2));
        assert_eq!(routes.by_ufrag(b"abcd"), Some(1));
        routes.remove_ufrag(b"abcd");
        assert_eq!(routes.by_ufrag(b"abcd"), None);
    }
}
