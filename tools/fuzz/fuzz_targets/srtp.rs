//! SRTP and SRTCP of any bytes, under keys that are known.
//!
//! Holds: no bytes that the key did not protect are opened, whatever the header says, and a failed packet leaves
//! nothing behind; what was protected opens to what it was, and not a second time.
#![no_main]

use std::cell::RefCell;

use engine::security::srtp::{ReplayWindow, SrtpError, SrtpMaster, SrtpProfile, SrtpReceiver, SrtpSender};
use engine::wire::rtp::RtpHeader;
use engine::wire::sequence::PacketIndex;
use libfuzzer_sys::fuzz_target;

/// More than any profile appends.
const OVERHEAD_MAX: usize = 32;

thread_local! {
    /// Keys are derived once: it costs a hundred times what a packet does.
    static CONTEXTS: RefCell<Vec<(SrtpSender, SrtpReceiver)>> = RefCell::new(contexts());
}

fn contexts() -> Vec<(SrtpSender, SrtpReceiver)> {
    let profiles = [SrtpProfile::AeadAes128Gcm, SrtpProfile::AeadAes256Gcm, SrtpProfile::Aes128CmHmacSha1_80];
    let context = |profile: SrtpProfile| {
        let master = SrtpMaster { key: vec![1; profile.key_len()], salt: vec![2; profile.salt_len()] };
        let sender = SrtpSender::new(&profile, &master).expect("keys of the profile's length");
        (sender, SrtpReceiver::new(&profile, &master).expect("keys of the profile's length"))
    };
    profiles.map(context).into()
}

fuzz_target!(|bytes: &[u8]| {
    CONTEXTS.with_borrow_mut(|contexts| {
        for (sender, receiver) in contexts {
            if let Ok(header) = RtpHeader::parse(bytes) {
                check_rtp(sender, receiver, bytes, &header);
            }
            check_rtcp(sender, receiver, bytes);
        }
    });
});

fn check_rtp(sender: &SrtpSender, receiver: &SrtpReceiver, bytes: &[u8], header: &RtpHeader) {
    let window = ReplayWindow::default();
    let index = window.estimate(header.sequence);
    for index in [index, PacketIndex(index.0 | u64::MAX << 48), PacketIndex(index.0 | 0xffff_ffff << 16)] {
        let opened = receiver.unprotect_rtp(&mut bytes.to_vec(), header.header_len, header.ssrc, index);
        // A forgery that passes by chance is not found in the lifetime of a fuzzer: the tags have 80 bits and more.
        assert!(opened.is_err());
    }
    let mut packet = bytes.to_vec();
    packet.resize(bytes.len() + OVERHEAD_MAX, 0);
    let len = sender.protect_rtp(&mut packet, header.header_len, bytes.len(), header.ssrc, index);
    assert_eq!(len, bytes.len() + sender.rtp_overhead());
    packet.truncate(len);
    assert_eq!(packet[..header.header_len], bytes[..header.header_len]);
    assert_eq!(receiver.unprotect_rtp(&mut packet, header.header_len, header.ssrc, index), Ok(bytes.len()));
    assert_eq!(&packet[..bytes.len()], bytes);
}

fn check_rtcp(sender: &mut SrtpSender, receiver: &mut SrtpReceiver, bytes: &[u8]) {
    assert!(receiver.unprotect_rtcp(&mut bytes.to_vec()).is_err());
    if bytes.len() < 8 {
        return;
    }
    let mut packet = bytes.to_vec();
    packet.resize(bytes.len() + OVERHEAD_MAX, 0);
    let len = sender.protect_rtcp(&mut packet, bytes.len());
    assert_eq!(len, bytes.len() + sender.rtcp_overhead());
    packet.truncate(len);
    let replay = packet.clone();
    assert_eq!(receiver.unprotect_rtcp(&mut packet), Ok(bytes.len()));
    assert_eq!(&packet[..bytes.len()], bytes);
    assert_eq!(receiver.unprotect_rtcp(&mut replay.clone()), Err(SrtpError::Replayed));
}
