//! A scene: the service, a call, and the figures before an attack, to compare with those after.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::time::Duration;

use peer::{Participant, PeerError, Service, ServiceOptions};
use tokio::sync::{Mutex, MutexGuard};
use tokio::time::sleep;

use crate::call::{CHANNEL, Call};
use crate::flood::kernel_drops;

/// Drops by shard and reason.
const DROPS: &str = "voice_dropped_packets_total";
/// How much the service may hold more after an attack than before: room for its tables and its allocator to settle, far less
/// than any attack sends.
const GROWTH_MAX_BYTES: u64 = 24 * 1024 * 1024;
/// Past all the work that an attack leaves behind, on a busy host.
const SETTLE_TIMEOUT: Duration = Duration::from_secs(15);
/// The shards are asked for their figures anew each time, so this has to cover nothing but what is on its way.
const SETTLE: Duration = Duration::from_millis(500);

/// Two cores can carry one call and one attack; scenes wait for their turn.
static TURN: Mutex<()> = Mutex::const_new(());

/// A service under attack.
pub(crate) struct Scene {
    pub(crate) service: Service,
    pub(crate) call: Call,
    pub(crate) target: SocketAddr,
    drops_before: BTreeMap<String, f64>,
    kernel_drops_before: u64,
    resident_before: u64,
    _turn: MutexGuard<'static, ()>,
}

/// Takes the turn of a test that needs the service but no call.
pub(crate) async fn start_service() -> Result<(Service, MutexGuard<'static, ()>), PeerError> {
    start_service_with(&[]).await
}

/// The same, with further arguments for the service.
pub(crate) async fn start_service_with(arguments: &[&str]) -> Result<(Service, MutexGuard<'static, ()>), PeerError> {
    let turn = TURN.lock().await;
    let mut options = ServiceOptions::new(env!("CARGO_BIN_EXE_voice-service"));
    options.arguments = arguments.iter().map(ToString::to_string).collect();
    Ok((Service::start(&options).await?, turn))
}

impl Scene {
    /// Starts the service and a call, and reads the figures.
    pub(crate) async fn set() -> Result<Self, PeerError> {
        let (service, turn) = start_service().await?;
        let call = Call::start(&service).await?;
        sleep(SETTLE).await;
        let target = call.alice.send.remote_address().ok_or_else(|| PeerError::TimedOut("an address".into()))?;
        let mut scene = Self {
            drops_before: service.metrics().await?.by_label(DROPS, "reason"),
            kernel_drops_before: kernel_drops(target)?,
            resident_before: service.resident_bytes()?,
            service,
            call,
            target,
            _turn: turn,
        };
        assert!(scene.service.is_running());
        assert!(!scene.drops_before.is_empty(), "{DROPS} is not among the metrics");
        Ok(scene)
    }

    /// Reads the figures again: what the attack did in between is not held against what follows.
    pub(crate) async fn rebase(&mut self) -> Result<(), PeerError> {
        sleep(SETTLE).await;
        self.drops_before = self.service.metrics().await?.by_label(DROPS, "reason");
        Ok(())
    }

    /// A socket of a stranger.
    pub(crate) fn stranger(&self) -> Result<UdpSocket, PeerError> {
        Ok(UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?)
    }

    /// Joins `user` to a channel of its own.
    pub(crate) async fn join(&self, user: &str) -> Result<Participant, PeerError> {
        Participant::join(self.service.join_options(user, user)?).await
    }

    /// Joins `user` to the call's channel.
    pub(crate) async fn join_call(&self, user: &str) -> Result<Participant, PeerError> {
        Participant::join(self.service.join_options(user, CHANNEL)?).await
    }

    /// Drops by reason since the scene was set, reasons without any left out.
    pub(crate) async fn drops(&self) -> Result<BTreeMap<String, u64>, PeerError> {
        let now = self.service.metrics().await?.by_label(DROPS, "reason");
        let since =
            |reason: &String, count: f64| (count - self.drops_before.get(reason).copied().unwrap_or(0.0)) as u64;
        let counts = now.into_iter().map(|(reason, count)| (since(&reason, count), reason));
        Ok(counts.filter(|(count, _)| *count > 0).map(|(count, reason)| (reason, count)).collect())
    }

    /// Waits until `count` drops have been counted, whatever the reason, and gives them by reason.
    pub(crate) async fn drops_until(&self, count: usize) -> Result<BTreeMap<String, u64>, PeerError> {
        let deadline = tokio::time::Instant::now() + SETTLE_TIMEOUT;
        loop {
            let drops = self.drops().await?;
            if drops.values().sum::<u64>() >= count as u64 {
                // A surplus would come now.
                sleep(SETTLE).await;
                return self.drops().await;
            }
            if tokio::time::Instant::now() > deadline {
                return Ok(drops);
            }
            sleep(Duration::from_millis(100)).await;
        }
    }

    /// Asserts that these drops, and no others, were counted.
    pub(crate) async fn assert_drops(&self, expected: &[(&str, usize)]) -> Result<(), PeerError> {
        let expected: BTreeMap<String, u64> =
            expected.iter().map(|(reason, count)| ((*reason).to_owned(), *count as u64)).collect();
        let drops = self.drops_until(expected.values().sum::<u64>() as usize).await?;
        assert_eq!(drops, expected);
        Ok(())
    }

    /// Asserts that the service stands, that its memory hardly grew and that the call was whole.
    pub(crate) async fn end(mut self) -> Result<(), PeerError> {
        assert!(self.service.is_running(), "the service ended:\n{}", self.service.log());
        assert_eq!(kernel_drops(self.target)? - self.kernel_drops_before, 0, "the flood was faster than it should be");
        let grown = self.service.resident_bytes()?.saturating_sub(self.resident_before);
        assert!(grown < GROWTH_MAX_BYTES, "the service grew by {grown} bytes");
        self.call.end().await?;
        assert!(!self.service.log().contains("panicked"), "a panic was logged:\n{}", self.service.log());
        Ok(())
    }
}
