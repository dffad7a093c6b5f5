//! Packets and keys that the benchmarks share. What is measured stands in `benches/`, one file a stage.
#![allow(clippy::expect_used, reason = "a benchmark that cannot be set up is to fail where it stands")]

pub mod limit;
pub mod rooms;
pub mod service;

use bytes::Bytes;
use engine::security::srtp::{SrtpMaster, SrtpProfile};
use rtp::header::Header;
use rtp::packet::Packet;
use webrtc_srtp::context::Context;
use webrtc_srtp::protection_profile::ProtectionProfile;

/// Payload bytes of a voice packet: Opus at 64 kbit/s in frames of 20 ms.
pub const VOICE_LEN: usize = 160;

/// Payload bytes of a video packet: what browsers fill a packet with.
pub const VIDEO_LEN: usize = 1200;

/// All profiles with a name for the report.
pub const PROFILES: [(&str, SrtpProfile); 3] = [
    ("GCM-128", SrtpProfile::AeadAes128Gcm),
    ("GCM-256", SrtpProfile::AeadAes256Gcm),
    ("SHA1-80", SrtpProfile::Aes128CmHmacSha1_80),
];

/// A browser's packet: MID and audio level in its header.
pub fn packet(payload_len: usize, sequence_number: u16) -> Packet {
    let mut header = Header {
        version: 2,
        payload_type: 111,
        sequence_number,
        timestamp: u32::from(sequence_number).wrapping_mul(960),
        ssrc: 0x5eed,
        ..Default::default()
    };
    header.set_extension(4, Bytes::from_static(b"0")).expect("a MID");
    header.set_extension(1, Bytes::from_static(&[0x85])).expect("a level");
    Packet { header, payload: vec![0x55; payload_len].into() }
}

/// A master key of the profile's length.
pub fn master(profile: SrtpProfile) -> SrtpMaster {
    SrtpMaster { key: vec![1; profile.key_len()], salt: vec![2; profile.salt_len()] }
}

/// The reference's context under [`master`]'s key, without replay protection.
pub fn reference_context(profile: SrtpProfile) -> Context {
    let reference = match profile {
        SrtpProfile::AeadAes128Gcm => ProtectionProfile::AeadAes128Gcm,
        SrtpProfile::AeadAes256Gcm => ProtectionProfile::AeadAes256Gcm,
        SrtpProfile::Aes128CmHmacSha1_80 => ProtectionProfile::Aes128CmHmacSha1_80,
    };
    let master = master(profile);
    Context::new(&master.key, &master.salt, reference, None, None).expect("keys of the profile's length")
}
