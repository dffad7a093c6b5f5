//! Nothing on a packet's way may allocate.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a scenario that cannot go on is to fail where it stands")]
#![allow(unsafe_code)]

mod video;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::time::Duration;

use engine::security::srtp::{ReplayWindow, SrtpMaster, SrtpProfile, SrtpReceiver, SrtpSender};
use engine::shard::SendOutcome;
use engine::wire::sequence::SeqNo;
use netsim::{Conditions, World, audio_consumer, audio_producer};
use rtp::header::Header;
use rtp::packet::Packet;
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
        assert_eq!(allocations(|| (1..10_000).for_each(&mut round)), 0, "{profile:?}");
    }
}

/// Allocations of this thread while `work` runs.
pub(crate) fn allocations(work: impl FnOnce()) -> u64 {
    let before = ALLOCATIONS.get();
    work();
    ALLOCATIONS.get() - before
}

#[test]
fn a_million_packets_are_forwarded_and_reported_without_an_allocation() {
    const SPEAKERS: u32 = 10;
    const LISTENERS: u32 = 100;
    const FRAME: Duration = Duration::from_millis(20);
    /// Before it, every stream and table has come to its size.
    const WARM_UP_ROUNDS: u32 = 100;
    const ROUNDS: u32 = 1_000_000 / (SPEAKERS * LISTENERS);

    let mut world = World::new(1, Conditions::GOOD);
    let router = world.add_router();
    let speakers: Vec<_> = (0..SPEAKERS).map(|_| world.add_connected_link(router)).collect();
    let listeners: Vec<_> = (0..LISTENERS).map(|_| world.add_connected_link(router)).collect();
    for (n, speaker) in speakers.iter().enumerate() {
        let producer = world.publish(*speaker, audio_producer("0", Some(1 + n as u32))).unwrap();
        for listener in &listeners {
            world.consume(*listener, producer, audio_consumer(&n.to_string(), 0x10000 + n as u32)).unwrap();
        }
    }
    // All have just spoken to the shard, so that nobody's consent runs out below.
    world.run_for(Duration::from_secs(3));

    let sources: Vec<_> = speakers.iter().map(|speaker| world.participant(*speaker).address).collect();
    let local = std::net::IpAddr::from([203, 0, 113, 1]);
    let mut now = world.now();
    let (mut counted, mut forwarded, mut bytes) = (0, 0, 0);
    for round in 0..WARM_UP_ROUNDS + ROUNDS {
        now += FRAME;
        for (n, speaker) in speakers.iter().enumerate() {
            let header = Header {
                version: 2,
                payload_type: 111,
                sequence_number: round as u16,
                timestamp: round.wrapping_mul(960),
                ssrc: 1 + n as u32,
                ..Default::default()
            };
            let packet = Packet { header, payload: vec![n as u8; 160].into() };
            let datagram = world.participant(*speaker).protect(&packet);
            assert!(world.shard.input_mut().push(&datagram, sources[n], local, now));
        }
        let shard = &mut world.shard;
        let allocated = allocations(|| {
            shard.handle_input(now);
            shard.handle_timeout(now);
            while let Some(output) = shard.poll_output(now) {
                let datagrams_sent = output.datagrams() as u64;
                forwarded += datagrams_sent;
                bytes += output.messages().map(|message| message.bytes.len()).sum::<usize>();
                shard.handle_sent(now, SendOutcome { calls: 1, datagrams_sent, ..SendOutcome::default() });
            }
        });
        if round >= WARM_UP_ROUNDS {
            counted += allocated;
        }
    }
    let stats = world.stats();
    assert_eq!(stats.rtp_out, u64::from(SPEAKERS * LISTENERS * (WARM_UP_ROUNDS + ROUNDS)));
    assert!(forwarded > stats.rtp_out && bytes > 180 * stats.rtp_out as usize, "media and reports went out");
    assert_eq!(counted, 0);
}
