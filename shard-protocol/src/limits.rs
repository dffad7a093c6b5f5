//! Every bound that both sides rely on, each with its reason.

/// Routers of one shard. One a room; a room has at least one participant, so transports bound it first.
pub const ROUTERS_MAX: usize = 4096;

/// Transports of one shard: two a participant. 1000 connections are promised for a whole server; a single shard takes
/// four times that, so that it is the machine and never this number that ends growth.
pub const TRANSPORTS_MAX: usize = 8192;

/// Producers of one transport: a microphone, a camera, a screen and its sound.
pub const PRODUCERS_PER_TRANSPORT_MAX: usize = 4;

/// Consumers of one transport: a room of a thousand participants that each speak.
pub const CONSUMERS_PER_TRANSPORT_MAX: usize = 1024;

/// Consumers of one shard: a thousand participants who each hear a hundred streams, and a reserve.
pub const CONSUMERS_MAX: usize = 1 << 17;

/// Video producers of one shard: cameras and screens of a shard with two hundred and fifty-six participants that show both.
/// Each has a retransmission store, so that this number bounds [`RETRANSMISSION_MEMORY_MAX`]; a core that opens and forwards
/// this many streams is busy long before.
pub const VIDEO_PRODUCERS_MAX: usize = 512;

/// Bytes of one video producer's retransmission store: one second of a screen at 4 Mbit/s. A receiver that has asked a few
/// times over a long way in vain for what is older gains more by a key frame.
pub const RETRANSMISSION_STORE_LEN: usize = 512 * 1024;

/// Bytes of all retransmission stores of a shard: 256 MiB where every video producer that it may have is there.
pub const RETRANSMISSION_MEMORY_MAX: usize = VIDEO_PRODUCERS_MAX * RETRANSMISSION_STORE_LEN;

const _: () = assert!(RETRANSMISSION_MEMORY_MAX == 256 * 1024 * 1024);

/// Media codecs of one stream: every codec that the service knows, twice over.
pub const CODECS_MAX: usize = 10;

/// Encodings of one stream: simulcast has three; a fourth is the most that clients can be told to make.
pub const ENCODINGS_MAX: usize = 4;

/// Certificate fingerprints that a peer may list: the three hashes for two certificates.
pub const FINGERPRINTS_MAX: usize = 6;

/// Bytes of a canonical name: half of what a source description item holds (RFC 3550 section 6.5).
pub const CNAME_LEN_MAX: usize = 128;

/// Bytes of the service's own ICE user name fragment (RFC 8445 allows 256; ours are short, which makes look-up cheap).
pub const ICE_UFRAG_LEN_MAX: usize = 32;

/// Bytes of the service's own ICE password.
pub const ICE_PASSWORD_LEN_MAX: usize = 64;

/// Commands that wait for one shard. A participant that joins a room of ten needs about twenty; this holds a burst of two
/// hundred such joins, and a shard takes them within milliseconds.
pub const COMMANDS_MAX: usize = 4096;

/// Events of one shard that wait for signaling. An unsent event stays in the shard until it fits.
pub const EVENTS_MAX: usize = 4096;
