use std::net::UdpSocket as StdSocket;
use std::time::Duration;

use super::*;
use crate::packet::{BATCH_MAX, SLOT_LEN};

const V4: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const V6: IpAddr = IpAddr::V6(Ipv6Addr::LOCALHOST);

fn bind(ip: Option<IpAddr>) -> UdpSocket {
    UdpSocket::bind(0..=0, ip).unwrap()
}

fn peer(ip: IpAddr) -> StdSocket {
    let peer = StdSocket::bind((ip, 0)).unwrap();
    peer.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    peer
}

/// Appends a datagram that says its number and is `len` bytes long.
fn append(batch: &mut OutputBatch, destination: SocketAddr, source: IpAddr, number: u8, len: usize) {
    assert!(batch.append(destination, source, len, |room| {
        room.fill(number);
        len
    }));
}

/// Loopback delivers before the sender's call returns, so one call receives all that was sent.
fn receive(socket: &mut UdpSocket, batch: &mut InputBatch) -> usize {
    socket.receive(batch, Instant::now()).unwrap()
}

fn received_by(peer: &StdSocket) -> (Vec<u8>, SocketAddr) {
    let mut bytes = [0; 4096];
    let (len, source) = peer.recv_from(&mut bytes).unwrap();
    (bytes[..len].to_vec(), source)
}

#[test]
fn a_turn_takes_at_most_a_batch_and_leaves_the_rest_to_the_next() {
    let mut socket = bind(Some(V4));
    let peer = peer(V4);
    for number in 0..BATCH_MAX + 3 {
        peer.send_to(&[number as u8; 20], (V4, socket.port())).unwrap();
    }
    let mut batch = InputBatch::new(Instant::now());
    assert_eq!(receive(&mut socket, &mut batch), BATCH_MAX);
    for (number, slot) in batch.filled_mut().iter_mut().enumerate() {
        assert_eq!(slot.datagram().unwrap(), [number as u8; 20]);
        assert_eq!(slot.source, peer.local_addr().unwrap());
        assert_eq!(slot.local, V4);
    }
    assert_eq!(receive(&mut socket, &mut batch), 3);
    assert_eq!(batch.len(), 3);
    assert_eq!(receive(&mut socket, &mut batch), 0);
    assert!(batch.is_empty());
}

#[test]
fn an_oversized_datagram_tells_its_length_and_has_no_bytes() {
    let mut socket = bind(Some(V4));
    let peer = peer(V4);
    for len in [0, 1, SLOT_LEN, SLOT_LEN + 1, 9000] {
        peer.send_to(&vec![7; len], (V4, socket.port())).unwrap();
    }
    let mut batch = InputBatch::new(Instant::now());
    receive(&mut socket, &mut batch);
    let lens: Vec<usize> = batch.filled().iter().map(|slot| slot.len).collect();
    assert_eq!(lens, [0, 1, SLOT_LEN, SLOT_LEN + 1, 9000]);
    let held: Vec<bool> = batch.filled_mut().iter_mut().map(|slot| slot.datagram().is_some()).collect();
    assert_eq!(held, [true, true, true, false, false]);
}

#[test]
fn a_datagram_is_as_old_as_the_kernel_says() {
    let mut socket = bind(Some(V4));
    let mut batch = InputBatch::new(Instant::now());
    let waited = Duration::from_millis(20);
    // The kernel begins to stamp a moment after it was asked to; until then the stamp is that of the call.
    let is_stamped = (0..100).any(|_| {
        let before = Instant::now();
        peer(V4).send_to(b"x", (V4, socket.port())).unwrap();
        std::thread::sleep(waited);
        let now = Instant::now();
        assert_eq!(socket.receive(&mut batch, now).unwrap(), 1);
        let received_at = batch.filled()[0].received_at;
        assert!(received_at <= now);
        // The two clocks are read one after the other, and are a little apart.
        received_at + waited / 2 <= now && received_at + waited / 2 >= before
    });
    assert!(is_stamped);
}

#[test]
fn a_dual_stack_socket_answers_both_families_from_the_address_that_was_asked() {
    let mut socket = UdpSocket::bind(0..=0, Some(IpAddr::V6(Ipv6Addr::UNSPECIFIED))).unwrap();
    let asked = [IpAddr::from([127, 0, 0, 5]), V4, V6];
    for ip in asked {
        let peer = peer(if ip.is_ipv4() { V4 } else { V6 });
        peer.send_to(b"ping", (ip, socket.port())).unwrap();
        let mut batch = InputBatch::new(Instant::now());
        assert_eq!(receive(&mut socket, &mut batch), 1);
        let slot = &batch.filled()[0];
        assert_eq!((slot.source, slot.local), (peer.local_addr().unwrap(), ip));

        let mut answer = OutputBatch::new();
        append(&mut answer, slot.source, slot.local, 1, 10);
        let outcome = socket.send(&answer);
        assert_eq!(outcome, SendOutcome { calls: 1, messages_sent: 1, datagrams_sent: 1, ..SendOutcome::default() });
        assert_eq!(received_by(&peer), (vec![1; 10], SocketAddr::new(ip, socket.port())));
    }
}

#[test]
fn an_ipv4_socket_on_all_addresses_answers_from_the_address_that_was_asked() {
    let mut socket = UdpSocket::bind(0..=0, Some(IpAddr::V4(Ipv4Addr::UNSPECIFIED))).unwrap();
    let asked = IpAddr::from([127, 1, 2, 3]);
    let peer = peer(V4);
    peer.send_to(b"ping", (asked, socket.port())).unwrap();
    let mut batch = InputBatch::new(Instant::now());
    assert_eq!(receive(&mut socket, &mut batch), 1);
    let slot = &batch.filled()[0];
    assert_eq!(slot.local, asked);
    let mut answer = OutputBatch::new();
    append(&mut answer, slot.source, slot.local, 1, 10);
    assert_eq!(socket.send(&answer).datagrams_sent, 1);
    assert_eq!(received_by(&peer).1, SocketAddr::new(asked, socket.port()));
}

#[test]
fn a_run_for_one_destination_arrives_cut_at_the_right_lengths() {
    for ip in [V4, V6] {
        for is_segmenting in [true, false] {
            let mut socket = bind(Some(ip));
            socket.sender.is_segmenting = is_segmenting;
            let peer = peer(ip);
            let mut batch = OutputBatch::new();
            let lens = [(0, 1200), (1, 1200), (2, 1200), (3, 700), (4, 700), (5, 1)];
            for (number, len) in lens {
                append(&mut batch, peer.local_addr().unwrap(), ip, number, len);
            }
            let outcome = socket.send(&batch);
            let messages_sent = if is_segmenting { 2 } else { 6 };
            let is_uncut = !is_segmenting;
            let expected =
                SendOutcome { calls: 1, messages_sent, datagrams_sent: 6, is_uncut, ..SendOutcome::default() };
            assert_eq!(outcome, expected);
            for (number, len) in lens {
                assert_eq!(received_by(&peer).0, vec![number; len]);
            }
        }
    }
}

#[test]
fn many_destinations_share_a_call_and_each_gets_its_own() {
    let mut socket = bind(Some(V4));
    let peers: Vec<StdSocket> = (0..200).map(|_| peer(V4)).collect();
    let mut batch = OutputBatch::new();
    for (number, peer) in peers.iter().enumerate() {
        append(&mut batch, peer.local_addr().unwrap(), V4, number as u8, 100);
        append(&mut batch, peer.local_addr().unwrap(), V4, number as u8, 40);
    }
    let outcome = socket.send(&batch);
    assert_eq!(outcome, SendOutcome { calls: 1, messages_sent: 200, datagrams_sent: 400, ..SendOutcome::default() });
    for (number, peer) in peers.iter().enumerate() {
        assert_eq!(received_by(peer).0, [number as u8; 100]);
        assert_eq!(received_by(peer).0, [number as u8; 40]);
    }
}

#[test]
fn an_error_of_one_message_skips_that_message_only() {
    let mut socket = bind(Some(V4));
    let peer = peer(V4);
    let good = peer.local_addr().unwrap();
    // No host has port 0; an IPv4 socket cannot reach IPv6; 255.255.255.255 needs a permission that the socket lacks.
    let bad: [SocketAddr; 3] =
        ["127.0.0.1:0".parse().unwrap(), "[::1]:9".parse().unwrap(), "255.255.255.255:9".parse().unwrap()];
    let mut batch = OutputBatch::new();
    for destination in [good, bad[0], good, bad[1], bad[2], good] {
        append(&mut batch, destination, IpAddr::V4(Ipv4Addr::UNSPECIFIED), 1, 50);
        append(&mut batch, destination, IpAddr::V4(Ipv4Addr::UNSPECIFIED), 2, 50);
    }
    let outcome = socket.send(&batch);
    assert_eq!((outcome.datagrams_sent, outcome.datagrams_failed), (6, 6));
    assert!(socket.sender.is_segmenting, "one peer's address must not end segmenting for all");
    for _ in 0..3 {
        assert_eq!(received_by(&peer).0, [1; 50]);
        assert_eq!(received_by(&peer).0, [2; 50]);
    }
}

#[test]
fn a_message_that_cannot_be_cut_goes_in_single_datagrams() {
    let mut socket = bind(Some(V4));
    let peer = peer(V4);
    let mut batch = OutputBatch::new();
    for number in 0..3 {
        append(&mut batch, peer.local_addr().unwrap(), V4, number, 300);
    }
    append(&mut batch, peer.local_addr().unwrap(), V4, 3, 20);
    let mut outcome = SendOutcome::default();
    let message = batch.messages().next().unwrap();
    socket.sender.stage(socket.socket.as_fd(), message, &mut outcome);
    let refusal = io::Error::from_raw_os_error(libc::EIO);
    assert!(socket.sender.on_refused(socket.socket.as_fd(), 0, &refusal, &mut outcome));
    socket.sender.used = 0;
    assert_eq!(outcome, SendOutcome { calls: 4, messages_sent: 4, datagrams_sent: 4, ..SendOutcome::default() });
    assert!(!socket.sender.is_segmenting);
    for number in 0..3 {
        assert_eq!(received_by(&peer), (vec![number; 300], SocketAddr::new(V4, socket.port())));
    }
    assert_eq!(received_by(&peer).0, [3; 20]);
}

#[test]
fn a_batch_of_single_datagrams_goes_in_several_calls() {
    let mut socket = bind(Some(V4));
    socket.sender.is_segmenting = false;
    let peers: Vec<StdSocket> = (0..10).map(|_| peer(V4)).collect();
    let mut batch = OutputBatch::new();
    for peer in &peers {
        for number in 0..50 {
            append(&mut batch, peer.local_addr().unwrap(), V4, number, 60);
        }
    }
    let outcome = socket.send(&batch);
    let sent = SendOutcome { calls: 2, messages_sent: 500, datagrams_sent: 500, ..SendOutcome::default() };
    assert_eq!(outcome, SendOutcome { is_uncut: true, ..sent });
    for peer in &peers {
        for number in 0..50 {
            assert_eq!(received_by(peer).0, [number; 60]);
        }
    }
}

#[test]
fn a_full_buffer_drops_the_rest_of_the_batch_and_counts_it() {
    let mut socket = bind(Some(V4));
    let mut batch = OutputBatch::new();
    for _ in 0..5 {
        append(&mut batch, "127.0.0.1:9".parse().unwrap(), V4, 1, 50);
        append(&mut batch, "127.0.0.2:9".parse().unwrap(), V4, 1, 50);
    }
    let mut outcome = SendOutcome::default();
    for message in batch.messages() {
        socket.sender.stage(socket.socket.as_fd(), message, &mut outcome);
    }
    let full = io::Error::from_raw_os_error(libc::EAGAIN);
    assert!(!socket.sender.on_refused(socket.socket.as_fd(), 0, &full, &mut outcome));
    socket.sender.flush(socket.socket.as_fd(), &mut outcome);
    assert_eq!(outcome, SendOutcome { datagrams_buffer_full: 10, ..SendOutcome::default() });
    assert_eq!(socket.send(&batch).datagrams_sent, 10, "the next batch is sent again");
}

#[test]
fn a_destination_that_nobody_listens_at_breaks_nothing() {
    let mut socket = bind(Some(V4));
    let gone = peer(V4).local_addr().unwrap();
    let mut batch = OutputBatch::new();
    append(&mut batch, gone, V4, 1, 50);
    let mut input = InputBatch::new(Instant::now());
    for _ in 0..10 {
        assert_eq!(socket.send(&batch).datagrams_sent, 1);
        assert_eq!(receive(&mut socket, &mut input), 0);
    }
}

#[test]
fn the_first_free_port_of_the_slice_is_taken_and_a_full_slice_is_refused() {
    let first = bind(Some(V4));
    let second = UdpSocket::bind(first.port()..=u16::MAX, Some(V4)).unwrap();
    assert!(second.port() > first.port());
    let error = UdpSocket::bind(first.port()..=first.port(), Some(V4)).err().unwrap();
    assert!(matches!(error, BindError::NoFreePort { .. }));
    assert!(error.to_string().contains(&first.port().to_string()));
}

#[test]
fn an_address_of_another_host_is_refused_with_its_cause() {
    let error = UdpSocket::bind(0..=0, Some(IpAddr::from([203, 0, 113, 1]))).err().unwrap();
    assert!(matches!(error, BindError::Refused { .. }));
    assert!(error.to_string().contains("203.0.113.1"));
}
