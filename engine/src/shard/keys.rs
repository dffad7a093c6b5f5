//! Where in its table an object of a shard is; never used again, so that a key of something closed finds nothing.

use slotmap::new_key_type;

new_key_type! {
    /// A router's place.
    pub(super) struct RouterKey;
    /// A peer's place.
    pub(super) struct PeerKey;
    /// A producer's place.
    pub(super) struct ProducerKey;
    /// A consumer's place.
    pub(super) struct ConsumerKey;
}
