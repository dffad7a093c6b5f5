//! What the service costs while nothing happens: less than a hundredth of a core, all its threads together.
//!
//! `cargo test --package signaling --test idle -- --nocapture` prints the figures.

use std::sync::Arc;
use std::time::Duration;

use peer::{Participant, PeerError, Service, ServiceOptions, Transport};
use rtp::header::Header;
use rtp::packet::Packet;
use tokio::time::{interval, sleep};

/// How long the service is watched.
const WATCHED: Duration = Duration::from_secs(60);

/// What it may take meanwhile: one hundredth of a core.
const CPU_MAX: Duration = Duration::from_millis(600);

const PARTICIPANTS: usize = 10;

/// Between two packets of a silent microphone: Opus with discontinuous transmission sends a comfort frame this often.
const COMFORT_INTERVAL: Duration = Duration::from_millis(400);

/// One frame of 20 ms at 48 kHz.
const FRAME_TICKS: u32 = 960;

/// CPU time that the service takes while it is watched.
async fn watch(service: &Service) -> Result<Duration, PeerError> {
    let before = service.cpu_time()?;
    sleep(WATCHED).await;
    Ok(service.cpu_time()? - before)
}

/// Sends comfort frames as long as the test runs.
async fn be_silent(transport: Arc<Transport>, ssrc: u32) {
    let mut ticks = interval(COMFORT_INTERVAL);
    for count in 0u32.. {
        ticks.tick().await;
        let frames = COMFORT_INTERVAL.as_millis() as u32 / 20;
        let header = Header {
            version: 2,
            payload_type: 111,
            sequence_number: count as u16,
            timestamp: count.wrapping_mul(frames * FRAME_TICKS),
            ssrc,
            ..Header::default()
        };
        let comfort = Packet { header, payload: vec![0xf8, 0xff, 0xfe].into() };
        if transport.send_rtp(&comfort).is_err() {
            return;
        }
    }
}

#[tokio::test]
async fn idling_costs_less_than_a_hundredth_of_a_core() -> Result<(), PeerError> {
    let options = ServiceOptions::new(env!("CARGO_BIN_EXE_voice-service"));
    let (empty, silent) = (Service::start(&options).await?, Service::start(&options).await?);
    let mut participants = Vec::new();
    for n in 0..PARTICIPANTS {
        let mut participant = Participant::join(silent.join_options(&format!("user{n}"), "idle")?).await?;
        let transport = participant.open_send(participant.transport_options()).await?;
        let ssrc = 1_000_000 + n as u32;
        participant.produce_audio(ssrc, "0").await?;
        tokio::spawn(be_silent(transport, ssrc));
        participants.push(participant);
    }
    for participant in &mut participants {
        for _ in 1..PARTICIPANTS {
            participant.consume_next().await?;
        }
    }
    let metrics = silent.metrics().await?;
    let flowing = (PARTICIPANTS * (PARTICIPANTS - 1)) as f64;
    assert_eq!(metrics.sum("voice_consumer_count", &[]), flowing, "everyone consumes everyone");
    let sent_before = metrics.sum("voice_rtp_packets_total", &[("direction", "out")]);

    let (idle, with_ten) = tokio::try_join!(watch(&empty), watch(&silent))?;

    let sent = silent.metrics().await?.sum("voice_rtp_packets_total", &[("direction", "out")]) - sent_before;
    assert!(sent > 100.0 * flowing, "comfort frames were forwarded: {sent}");
    let percent = |cpu: Duration| 100.0 * cpu.as_secs_f64() / WATCHED.as_secs_f64();
    println!("idle over {WATCHED:?}: {:.2} % of a core with nobody", percent(idle));
    println!("idle over {WATCHED:?}: {:.2} % with {PARTICIPANTS} silent participants", percent(with_ten));
    assert!(idle < CPU_MAX && with_ten < CPU_MAX, "{idle:?} with nobody, {with_ten:?} with {PARTICIPANTS}");
    Ok(())
}
