//! Published vectors, an independent implementation in both directions, and forgeries.

use proptest::prelude::*;
use webrtc_srtp::context::Context;
use webrtc_srtp::protection_profile::ProtectionProfile;

use super::key_derivation::{PacketKind, derive_cipher};
use super::*;
use crate::wire::sequence::SeqNo;

const PROFILES: [SrtpProfile; 3] =
    [SrtpProfile::AeadAes128Gcm, SrtpProfile::AeadAes256Gcm, SrtpProfile::Aes128CmHmacSha1_80];

/// Reads hexadecimal digits; a test's own constants only.
pub(super) fn unhex(digits: &str) -> Vec<u8> {
    let digits: Vec<u8> = digits.bytes().filter(u8::is_ascii_hexdigit).collect();
    digits.chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

fn master(profile: SrtpProfile) -> SrtpMaster {
    SrtpMaster {
        key: (0..profile.key_len()).map(|i| 0x31 ^ (7 * i as u8)).collect(),
        salt: (0..profile.salt_len()).map(|i| 0xc3 ^ (11 * i as u8)).collect(),
    }
}

fn pair(profile: SrtpProfile) -> (SrtpSender, SrtpReceiver) {
    let master = master(profile);
    (SrtpSender::new(&profile, &master).unwrap(), SrtpReceiver::new(&profile, &master).unwrap())
}

fn reference(profile: SrtpProfile) -> Context {
    let name = match profile {
        SrtpProfile::AeadAes128Gcm => ProtectionProfile::AeadAes128Gcm,
        SrtpProfile::AeadAes256Gcm => ProtectionProfile::AeadAes256Gcm,
        SrtpProfile::Aes128CmHmacSha1_80 => ProtectionProfile::Aes128CmHmacSha1_80,
    };
    let master = master(profile);
    Context::new(&master.key, &master.salt, name, None, None).unwrap()
}

const HEADER_LEN: usize = 12;
const SSRC: Ssrc = Ssrc(0xcafe_babe);

fn rtp(seq: u16, ssrc: Ssrc, payload: &[u8]) -> Vec<u8> {
    let mut packet = vec![0x80, 111];
    packet.extend(seq.to_be_bytes());
    packet.extend([0, 0, 3, 0xc0]);
    packet.extend(ssrc.0.to_be_bytes());
    packet.extend(payload);
    packet
}

/// A receiver report without blocks, and a source description of `items` words.
fn rtcp(ssrc: Ssrc, items: usize) -> Vec<u8> {
    let mut packet = vec![0x80, 201, 0, 1];
    packet.extend(ssrc.0.to_be_bytes());
    packet.extend([0x80, 202, 0, items as u8]);
    packet.extend((0..4 * items).map(|i| i as u8));
    packet
}

fn protect_rtp(sender: &SrtpSender, packet: &[u8], ssrc: Ssrc, index: u64) -> Vec<u8> {
    let mut room = packet.to_vec();
    room.resize(packet.len() + sender.rtp_overhead(), 0xee);
    let len = sender.protect_rtp(&mut room, HEADER_LEN, packet.len(), ssrc, PacketIndex(index));
    room.truncate(len);
    room
}

fn unprotect_rtp(receiver: &SrtpReceiver, packet: &[u8], ssrc: Ssrc, index: u64) -> Result<Vec<u8>, SrtpError> {
    let mut packet = packet.to_vec();
    let len = receiver.unprotect_rtp(&mut packet, HEADER_LEN, ssrc, PacketIndex(index))?;
    packet.truncate(len);
    Ok(packet)
}

fn protect_rtcp(sender: &mut SrtpSender, packet: &[u8]) -> Vec<u8> {
    let mut room = packet.to_vec();
    room.resize(packet.len() + sender.rtcp_overhead(), 0xee);
    let len = sender.protect_rtcp(&mut room, packet.len());
    room.truncate(len);
    room
}

fn unprotect_rtcp(receiver: &mut SrtpReceiver, packet: &[u8]) -> Result<Vec<u8>, SrtpError> {
    let mut packet = packet.to_vec();
    let len = receiver.unprotect_rtcp(&mut packet)?;
    packet.truncate(len);
    Ok(packet)
}

#[test]
fn the_keystream_of_rfc_3711_b_2_comes_out() {
    let key = unhex("2B7E151628AED2A6ABF7158809CF4F3C");
    let salt = unhex("F0F1F2F3F4F5F6F7F8F9FAFBFCFD").try_into().unwrap();
    let cipher = CounterModeCipher::new(&key, salt, &[0; 20]).unwrap();
    let mut packet = vec![0; HEADER_LEN + 16 * 0xff02 + counter_mode::TAG_LEN];
    assert!(cipher.protect_rtp(&mut packet, HEADER_LEN, Ssrc(0), PacketIndex(0)).is_ok());
    let keystream = &packet[HEADER_LEN..packet.len() - counter_mode::TAG_LEN];
    let first = "E03EAD0935C95E80E166B16DD92B4EB4 D23513162B02D0F72A43A2FE4A5F97AB 41E95B3BB0A2E8DD477901E4FCA894C0";
    assert_eq!(keystream[..48], unhex(first));
    let last = "EC8CDF7398607CB0F2D21675EA9EA1E4 362B7C3C6773516318A077D7FC5073AE 6A2CC3787889374FBEB4C81B17BA6C44";
    assert_eq!(keystream[16 * 0xfeff..], unhex(last));
}

const GCM_128: &str = "000102030405060708090a0b0c0d0e0f";
const GCM_256: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
const GCM_RTP: &str = "8040f17b8041f8d35501a0b247616c6c696120657374206f6d6e6973206469766973612069\
                       6e207061727465732074726573";
const GCM_RTCP: &str = "81c8000d4d6172734e5450314e545032525450200000042a0000e9304c756e61deadbeefdeadbeef\
                        deadbeefdeadbeefdeadbeef";

/// RFC 7714 gives session keys, so they are put in place of derived ones.
fn gcm_pair(key: &str) -> (SrtpSender, SrtpReceiver) {
    let key = unhex(key);
    let profile = if key.len() == 16 { SrtpProfile::AeadAes128Gcm } else { SrtpProfile::AeadAes256Gcm };
    let salt = unhex("517569642070726f2071756f").try_into().unwrap();
    let cipher = || SessionCipher::Gcm(GcmCipher::new(&key, salt).unwrap());
    (SrtpSender::from_ciphers(profile, cipher(), cipher()), SrtpReceiver::from_ciphers(profile, cipher(), cipher()))
}

#[test]
fn the_vectors_of_rfc_7714_16_come_out_and_open() {
    for (key, protected) in [
        (
            GCM_128,
            "8040f17b8041f8d35501a0b2f24de3a3fb34de6cacba861c9d7e4bcabe633bd50d294e6f42a5f47a51c7d19b\
             36de3adf8833899d7f27beb16a9152cf765ee4390cce",
        ),
        (
            GCM_256,
            "8040f17b8041f8d35501a0b232b1de78a822fe12ef9f78fa332e33aab18012389a58e2f3b50b2a0276ffae0f\
             1ba63799b87b7aa3db36dfffd6b0f9bb7878d7a76c13",
        ),
    ] {
        let (sender, receiver) = gcm_pair(key);
        let ssrc = Ssrc(0x5501_a0b2);
        assert_eq!(protect_rtp(&sender, &unhex(GCM_RTP), ssrc, 0xf17b), unhex(protected));
        assert_eq!(unprotect_rtp(&receiver, &unhex(protected), ssrc, 0xf17b), Ok(unhex(GCM_RTP)));
    }
}

#[test]
fn the_vectors_of_rfc_7714_17_come_out_and_open() {
    for (key, protected) in [
        (
            GCM_128,
            "81c8000d4d61727363e94885dcdab67ca727d7662f6b7e997ff5c0f76c06f32dc676a5f1730d6fda4ce09b46\
             86303ded0bb9275bc84aa45896cf4d2fc5abf87245d9eade800005d4",
        ),
        (
            GCM_256,
            "81c8000d4d617273d50ae4d1f5ce5d304ba297e47d470c282c3ece5dbffe0a50a2eaa5c1110555be8415f658\
             c61de0476f1b6fad1d1eb30c4446839f57ff6f6cb26ac3be800005d4",
        ),
    ] {
        let (mut sender, mut receiver) = gcm_pair(key);
        sender.set_rtcp_next(RtcpIndex(0x5d4));
        assert_eq!(protect_rtcp(&mut sender, &unhex(GCM_RTCP)), unhex(protected));
        assert_eq!(unprotect_rtcp(&mut receiver, &unhex(protected)), Ok(unhex(GCM_RTCP)));
    }
}

#[test]
fn authenticated_but_unencrypted_rtcp_is_refused() {
    let (_, mut receiver) = gcm_pair(GCM_128);
    let tagged = format!("{GCM_RTCP}841dd9683dd78ec92ae58790125f62b3000005d4");
    assert_eq!(unprotect_rtcp(&mut receiver, &unhex(&tagged)), Err(SrtpError::Malformed));
}

#[test]
fn what_is_protected_here_opens_elsewhere_over_two_roll_overs() {
    for profile in PROFILES {
        let (mut sender, _) = pair(profile);
        let mut reference = reference(profile);
        for index in (65_400u64..2 * 65_536 + 100).step_by(13) {
            let plain = rtp(index as u16, SSRC, &index.to_be_bytes()[..index as usize % 9]);
            let protected = protect_rtp(&sender, &plain, SSRC, index);
            assert_eq!(reference.decrypt_rtp(&protected).unwrap(), plain, "{profile:?} {index}");
        }
        for items in 0..40 {
            let plain = rtcp(Ssrc(items as u32 % 3), items);
            let protected = protect_rtcp(&mut sender, &plain);
            assert_eq!(reference.decrypt_rtcp(&protected).unwrap(), plain, "{profile:?} {items}");
        }
    }
}

#[test]
fn what_is_protected_elsewhere_opens_here_over_two_roll_overs_once() {
    for profile in PROFILES {
        let (_, mut receiver) = pair(profile);
        let mut reference = reference(profile);
        let mut window = ReplayWindow::default();
        for index in (65_400u64..2 * 65_536 + 100).step_by(13) {
            let plain = rtp(index as u16, SSRC, &index.to_be_bytes()[..index as usize % 9]);
            let protected = reference.encrypt_rtp(&plain).unwrap();
            let estimate = window.estimate(SeqNo(index as u16));
            assert_eq!(estimate, PacketIndex(index));
            assert_eq!(window.check(estimate), Ok(()));
            assert_eq!(unprotect_rtp(&receiver, &protected, SSRC, estimate.0), Ok(plain), "{profile:?} {index}");
            window.accept(estimate);
            assert_eq!(window.check(window.estimate(SeqNo(index as u16))), Err(SrtpError::Replayed));
        }
        for items in 0..40 {
            let plain = rtcp(Ssrc(items as u32 % 3), items);
            let protected = reference.encrypt_rtcp(&plain).unwrap();
            assert_eq!(unprotect_rtcp(&mut receiver, &protected), Ok(plain), "{profile:?} {items}");
            assert_eq!(unprotect_rtcp(&mut receiver, &protected), Err(SrtpError::Replayed));
        }
    }
}

#[test]
fn every_single_flipped_bit_fails() {
    for profile in PROFILES {
        let (mut sender, mut receiver) = pair(profile);
        let protected = protect_rtp(&sender, &rtp(7, SSRC, b"silence"), SSRC, 7);
        let report = protect_rtcp(&mut sender, &rtcp(SSRC, 2));
        for bit in 0..8 * protected.len() {
            let mut forged = protected.clone();
            forged[bit / 8] ^= 1 << (bit % 8);
            let result = unprotect_rtp(&receiver, &forged, SSRC, 7);
            assert_eq!(result, Err(SrtpError::Unauthenticated), "{profile:?} bit {bit}");
        }
        for bit in 0..8 * report.len() {
            let mut forged = report.clone();
            forged[bit / 8] ^= 1 << (bit % 8);
            assert!(unprotect_rtcp(&mut receiver, &forged).is_err(), "{profile:?} bit {bit}");
        }
        assert_eq!(receiver.rtcp_streams(), 0, "a forgery must leave nothing behind");
        assert!(unprotect_rtp(&receiver, &protected, SSRC, 7).is_ok());
        assert!(unprotect_rtcp(&mut receiver, &report).is_ok());
    }
}

#[test]
fn a_packet_opens_under_its_own_index_and_ssrc_only() {
    for profile in PROFILES {
        let (sender, receiver) = pair(profile);
        let index = 3 << 16 | 9;
        let protected = protect_rtp(&sender, &rtp(9, SSRC, b"tone"), SSRC, index);
        for (ssrc, index) in [(SSRC, 9), (SSRC, index + (1 << 16)), (SSRC, 1 << 48 | index)] {
            assert!(unprotect_rtp(&receiver, &protected, ssrc, index).is_err(), "{profile:?} {index:#x}");
        }
        if profile != SrtpProfile::Aes128CmHmacSha1_80 {
            // Counter mode authenticates the SSRC by the header alone, which the caller read it from.
            assert!(unprotect_rtp(&receiver, &protected, Ssrc(1), index).is_err());
        }
        assert!(unprotect_rtp(&receiver, &protected, SSRC, index).is_ok());
    }
}

#[test]
fn a_packet_cut_anywhere_fails() {
    for profile in PROFILES {
        let (mut sender, mut receiver) = pair(profile);
        let protected = protect_rtp(&sender, &rtp(1, SSRC, b"abc"), SSRC, 1);
        let report = protect_rtcp(&mut sender, &rtcp(SSRC, 1));
        for len in 0..protected.len() {
            assert!(unprotect_rtp(&receiver, &protected[..len], SSRC, 1).is_err());
        }
        for len in 0..report.len() {
            assert!(unprotect_rtcp(&mut receiver, &report[..len]).is_err());
        }
    }
}

#[test]
fn the_rtcp_senders_remembered_are_bounded_and_the_one_heard_longest_ago_goes() {
    let (mut sender, mut receiver) = pair(SrtpProfile::AeadAes128Gcm);
    let reports: Vec<_> = (0..=RTCP_STREAMS_MAX as u32).map(|n| protect_rtcp(&mut sender, &rtcp(Ssrc(n), 1))).collect();
    let (extra, known) = reports.split_last().unwrap();
    for report in known {
        assert!(unprotect_rtcp(&mut receiver, report).is_ok());
    }
    // The first sender speaks again, so the second is the oldest.
    assert!(unprotect_rtcp(&mut receiver, &protect_rtcp(&mut sender, &rtcp(Ssrc(0), 1))).is_ok());
    assert!(unprotect_rtcp(&mut receiver, extra).is_ok());
    assert_eq!(receiver.rtcp_streams(), RTCP_STREAMS_MAX);
    assert_eq!(unprotect_rtcp(&mut receiver, &reports[0]), Err(SrtpError::Replayed));
    assert_eq!(unprotect_rtcp(&mut receiver, &reports[2]), Err(SrtpError::Replayed));
    assert!(unprotect_rtcp(&mut receiver, &reports[1]).is_ok());
}

#[test]
fn a_key_that_is_worn_out_protects_nothing_any_more() {
    for profile in PROFILES {
        let (mut sender, mut receiver) = pair(profile);
        sender.set_rtcp_next(RtcpIndex(RtcpIndex::END.0 - 1));
        let last = protect_rtcp(&mut sender, &rtcp(SSRC, 1));
        assert!(unprotect_rtcp(&mut receiver, &last).is_ok());
        assert!(protect_rtcp(&mut sender, &rtcp(SSRC, 1)).is_empty());
        assert!(protect_rtcp(&mut sender, &rtcp(SSRC, 1)).is_empty());
        assert!(!protect_rtp(&sender, &rtp(0, SSRC, b"x"), SSRC, RTP_INDEX_END - 1).is_empty());
        assert!(protect_rtp(&sender, &rtp(0, SSRC, b"x"), SSRC, RTP_INDEX_END).is_empty());
    }
}

#[test]
fn rtp_and_rtcp_have_keys_of_their_own() {
    let profile = SrtpProfile::AeadAes128Gcm;
    let master = master(profile);
    let sender = SrtpSender::from_ciphers(
        profile,
        derive_cipher(profile, &master, PacketKind::Rtcp).unwrap(),
        derive_cipher(profile, &master, PacketKind::Rtp).unwrap(),
    );
    let (_, receiver) = pair(profile);
    let protected = protect_rtp(&sender, &rtp(1, SSRC, b"abc"), SSRC, 1);
    assert_eq!(unprotect_rtp(&receiver, &protected, SSRC, 1), Err(SrtpError::Unauthenticated));
}

proptest! {
    #[test]
    fn whatever_is_protected_opens_to_itself(
        payload in proptest::collection::vec(any::<u8>(), 0..1500),
        header_len in HEADER_LEN..40,
        index in 0u64..RTP_INDEX_END,
        ssrc: u32,
    ) {
        for profile in PROFILES {
            let (sender, receiver) = pair(profile);
            let mut packet = vec![0x5a; header_len];
            packet.extend(&payload);
            let plain = packet.clone();
            packet.resize(plain.len() + sender.rtp_overhead() + 3, 0);
            let len = sender.protect_rtp(&mut packet, header_len, plain.len(), Ssrc(ssrc), PacketIndex(index));
            prop_assert_eq!(len, plain.len() + sender.rtp_overhead());
            let opened = receiver.unprotect_rtp(&mut packet[..len], header_len, Ssrc(ssrc), PacketIndex(index));
            prop_assert_eq!(opened, Ok(plain.len()));
            prop_assert_eq!(&packet[..plain.len()], &plain[..]);
        }
    }

    #[test]
    fn random_bytes_never_open(bytes in proptest::collection::vec(any::<u8>(), 0..200), header_len in 0usize..300) {
        for profile in PROFILES {
            let (_, mut receiver) = pair(profile);
            prop_assert!(receiver.unprotect_rtp(&mut bytes.clone(), header_len, SSRC, PacketIndex(0)).is_err());
            prop_assert!(receiver.unprotect_rtcp(&mut bytes.clone()).is_err());
        }
    }
}
