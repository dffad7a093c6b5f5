//! Joins a channel as a listener and writes what arrives, decrypted, to a capture.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime};

use capture::CaptureWriter;
use peer::{Direction, JoinOptions, Participant, PeerError, Srtp, Transport, TransportOptions};
use tokio::sync::mpsc::{Receiver, channel};
use tokio::sync::oneshot;
use tokio::time::{sleep, timeout};

use crate::cli::RecordArgs;
use crate::error::LoadError;
use crate::run::local_for;

/// Packets that wait to be written; a second of a large room. What finds no place is not recorded, and counted.
const WAITING_MAX: usize = 16_384;
/// Between two looks at whether the time is over.
const LOOK_INTERVAL: Duration = Duration::from_millis(50);
/// How long leaving may take.
const LEAVE_TIMEOUT: Duration = Duration::from_secs(3);

/// What was recorded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Recorded {
    /// Packets written.
    pub packets: u64,
    /// Streams that were taken.
    pub streams: usize,
    /// Packets that were not authentic, and are not written.
    pub unauthenticated: u64,
}

/// A protected packet and when it came.
type Heard = (SystemTime, Vec<u8>);

/// Records until the time is over, the connection ends, or `interrupted` is set.
///
/// # Errors
/// Where the channel can't be joined, or the file not written.
pub async fn record(args: &RecordArgs, interrupted: Arc<AtomicBool>) -> Result<Recorded, LoadError> {
    let mut writer = CaptureWriter::create(&args.out).map_err(|error| unwritable(args, &error))?;
    let token = args.target.tokens()?.token(&args.user, &args.channel).await?;
    let local = args.target.local_ip.unwrap_or_else(|| local_for(&args.target.url));
    let options = JoinOptions { local, ..JoinOptions::new(&args.target.url, &token, &args.channel) };
    let mut participant = Participant::join(options).await?;
    let (heard_tx, mut heard) = channel::<Heard>(WAITING_MAX);
    let gate = Box::new(move |direction: Direction, datagram: &[u8]| {
        let is_rtp = matches!(datagram, [128..=191, kind, ..] if !(192..=223).contains(kind));
        if direction == Direction::Inbound && is_rtp {
            // A full queue means that the disk does not keep up; the capture has a gap then.
            let _ = heard_tx.try_send((SystemTime::now(), datagram.to_vec()));
        }
        true
    });
    let options =
        TransportOptions { local: SocketAddr::new(local, 0), gate: Some(gate), ..TransportOptions::default() };
    let transport = participant.open_receive(options).await?;
    let (leave, left) = oneshot::channel();
    let listening = tokio::spawn(listen(participant, left));

    let mut recorded = Recorded::default();
    let srtp = Srtp::new(&transport.keys().ok_or_else(|| PeerError::Packet("there are no keys".into()))?)?;
    let began = Instant::now();
    while began.elapsed() < args.duration && !interrupted.load(Ordering::Relaxed) && !listening.is_finished() {
        write_heard(&mut heard, &srtp, &transport, &mut writer, &mut recorded)
            .map_err(|error| unwritable(args, &error))?;
        sleep(LOOK_INTERVAL).await;
    }
    write_heard(&mut heard, &srtp, &transport, &mut writer, &mut recorded).map_err(|error| unwritable(args, &error))?;
    // It has ended by itself where the connection has.
    let _ = leave.send(());
    match timeout(LEAVE_TIMEOUT, listening).await {
        Ok(Ok((streams, outcome))) => {
            recorded.streams = streams;
            outcome.map(|()| recorded).map_err(LoadError::Peer)
        }
        _ => Ok(recorded),
    }
}

/// Takes every stream until it is told to leave; gives how many, and how the connection ended.
async fn listen(mut participant: Participant, mut left: oneshot::Receiver<()>) -> (usize, Result<(), PeerError>) {
    let mut streams = 0;
    loop {
        let next = tokio::select! {
            _ = &mut left => break,
            next = participant.consume_next() => next,
        };
        match next {
            Ok(_) => streams += 1,
            // Nobody new began to send, or someone had stopped before it was asked for.
            Err(PeerError::TimedOut(_) | PeerError::Answer { .. }) => {}
            Err(error) => return (streams, Err(error)),
        }
    }
    // A server that does not answer a leave sees the connection end.
    let _ = participant.leave().await;
    (streams, Ok(()))
}

fn write_heard(
    heard: &mut Receiver<Heard>,
    srtp: &Srtp,
    transport: &Transport,
    writer: &mut CaptureWriter<std::fs::File>,
    recorded: &mut Recorded,
) -> Result<(), capture::WriteError> {
    let nowhere = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);
    let remote = transport.remote_address().unwrap_or(nowhere);
    let local = SocketAddr::new(remote.ip(), transport.local_address().unwrap_or(nowhere).port());
    while let Ok((at, datagram)) = heard.try_recv() {
        match srtp.unprotect_rtp(&datagram) {
            Ok(packet) => {
                writer.write_packet(at, remote, local, &packet)?;
                recorded.packets += 1;
            }
            Err(_) => recorded.unauthenticated += 1,
        }
    }
    Ok(())
}

fn unwritable(args: &RecordArgs, error: &capture::WriteError) -> LoadError {
    LoadError::Capture { path: args.out.clone(), reason: error.to_string() }
}
