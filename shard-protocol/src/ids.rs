//! Names of things that both sides know: small, `Copy`, and made by signaling only.

use std::fmt;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub $inner);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

id!(
    /// The position of a shard in the service's list of shards, from 0.
    ShardIndex(u16)
);
id!(
    /// One room's media on its shard. Never used again within a process.
    RouterId(u64)
);
id!(
    /// One peer connection's ICE, DTLS and SRTP. Never used again within a process.
    TransportId(u64)
);
id!(
    /// One stream that a participant sends. Never used again within a process.
    ProducerId(u64)
);
id!(
    /// One stream that a participant receives. Never used again within a process.
    ConsumerId(u64)
);
id!(
    /// Pairs a command that may be refused with its answer.
    RequestId(u64)
);
