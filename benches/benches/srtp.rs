//! Protecting and opening one packet: in place, and by webrtc-srtp.
#![allow(clippy::expect_used, reason = "a benchmark that cannot be set up is to fail where it stands")]
#![allow(missing_docs, reason = "what the macros of the harness make has none")]

use std::hint::black_box;

use benches::{PROFILES, VIDEO_LEN, VOICE_LEN, master, packet, reference_context};
use criterion::{Criterion, criterion_group, criterion_main};
use engine::security::srtp::{SrtpReceiver, SrtpSender};
use engine::wire::rtp::RtpHeader;
use engine::wire::sequence::PacketIndex;
use rtp_util::marshal::Marshal;

/// More than any profile appends.
const OVERHEAD_MAX: usize = 16;

fn protect(criterion: &mut Criterion) {
    for len in [VOICE_LEN, VIDEO_LEN] {
        let plain = packet(len, 7).marshal().expect("a packet");
        let header = RtpHeader::parse(&plain).expect("a header");
        let mut group = criterion.benchmark_group(format!("srtp/protect/{len} B"));
        for (name, profile) in PROFILES {
            let sender = SrtpSender::new(&profile, &master(profile)).expect("keys");
            let mut room = vec![0; plain.len() + OVERHEAD_MAX];
            let mut index = 0;
            group.bench_function(format!("{name}/in place"), |bencher| {
                bencher.iter(|| {
                    index += 1;
                    // The copy for a receiver is written here anyway; its time belongs to both sides.
                    room[..plain.len()].copy_from_slice(&plain);
                    sender.protect_rtp(&mut room, header.header_len, plain.len(), header.ssrc, PacketIndex(index))
                });
            });
            let mut reference = reference_context(profile);
            group.bench_function(format!("{name}/webrtc-srtp"), |bencher| {
                bencher.iter(|| reference.encrypt_rtp(black_box(&plain)).expect("protected"));
            });
        }
    }
}

fn unprotect(criterion: &mut Criterion) {
    for len in [VOICE_LEN, VIDEO_LEN] {
        let plain = packet(len, 7).marshal().expect("a packet");
        let header = RtpHeader::parse(&plain).expect("a header");
        let mut group = criterion.benchmark_group(format!("srtp/unprotect/{len} B"));
        for (name, profile) in PROFILES {
            let mut reference = reference_context(profile);
            let protected = reference.encrypt_rtp(&plain).expect("protected");
            let receiver = SrtpReceiver::new(&profile, &master(profile)).expect("keys");
            let mut room = vec![0; protected.len()];
            group.bench_function(format!("{name}/in place"), |bencher| {
                bencher.iter(|| {
                    room.copy_from_slice(&protected);
                    receiver.unprotect_rtp(&mut room, header.header_len, header.ssrc, PacketIndex(7)).expect("opened")
                });
            });
            group.bench_function(format!("{name}/webrtc-srtp"), |bencher| {
                bencher.iter(|| reference.decrypt_rtp(black_box(&protected)).expect("opened"));
            });
        }
    }
}

criterion_group!(benches, protect, unprotect);
criterion_main!(benches);
