//! Protecting and opening packets must not allocate.

#![allow(unsafe_code)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use engine::security::srtp::{ReplayWindow, SrtpMaster, SrtpProfile, SrtpReceiver, SrtpSender};
use engine::wire::sequence::SeqNo;
use shard_protocol::tables::Ssrc;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

/// The system's allocator, counting what each thread asks of it.
struct Counting;

// SAFETY: every call goes unchanged to the system's allocator; the count is a plain thread-local number.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: the caller keeps the promises that `System` asks for.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the pointer came from `System` with this layout.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[test]
fn protecting_and_opening_packets_allocates_nothing() {
    for (profile, key_len, salt_len) in [
        (SrtpProfile::AeadAes128Gcm, 16, 12),
        (SrtpProfile::AeadAes256Gcm, 32, 12),
        (SrtpProfile::Aes128CmHmacSha1_80, 16, 14),
    ] {
        let master = SrtpMaster { key: vec![1; key_len], salt: vec![2; salt_len] };
        let mut sender = SrtpSender::new(&profile, &master).unwrap();
        let mut receiver = SrtpReceiver::new(&profile, &master).unwrap();
        let mut window = ReplayWindow::default();
        let mut packet = [0; 1300];
        let mut round = |seq: u16| {
            let index = window.estimate(SeqNo(seq));
            let len = sender.protect_rtp(&mut packet, 12, 1200, Ssrc(7), index);
            assert_eq!(window.check(index), Ok(()));
            assert_eq!(receiver.unprotect_rtp(&mut packet[..len], 12, Ssrc(7), index), Ok(1200));
            window.accept(index);
            let len = sender.protect_rtcp(&mut packet, 64);
            assert_eq!(receiver.unprotect_rtcp(&mut packet[..len]), Ok(64));
        };
        // The first report makes its sender's replay window.
        round(0);
        let before = ALLOCATIONS.get();
        for seq in 1..10_000 {
            round(seq);
        }
        assert_eq!(ALLOCATIONS.get() - before, 0, "{profile:?}");
    }
}
