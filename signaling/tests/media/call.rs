//! A live call of two participants, sound and pictures, on a thread of its own, so that the attacker's work delays neither.

use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use peer::{Camera, Participant, PeerError, Published, Publisher, Service, StreamReception, Transport};
use tokio::sync::oneshot;
use tokio::time::sleep;

/// The longest silence that a listener may hear, and the longest that a picture may stand still.
const SILENCE_MAX: Duration = Duration::from_millis(100);
/// How long the last packets may be on their way.
const DRAIN: Duration = Duration::from_millis(300);
/// The encodings of one of the two cameras.
const RIDS: [&str; 3] = ["lo", "mi", "hi"];

/// The call's channel.
pub(crate) const CHANNEL: &str = "call";

/// One participant as the attacker sees it.
pub(crate) struct Victim {
    pub(crate) published: Published,
    pub(crate) publisher: Arc<Publisher>,
    pub(crate) camera: Arc<Camera>,
    pub(crate) send: Arc<Transport>,
    pub(crate) receive: Arc<Transport>,
}

/// A running call of `alice`, who shows three encodings of a picture, and `bob`, who shows one.
pub(crate) struct Call {
    pub(crate) alice: Victim,
    pub(crate) bob: Victim,
    stop: oneshot::Sender<()>,
    thread: JoinHandle<Result<(), PeerError>>,
}

/// What one participant got of one stream.
pub(crate) struct Heard {
    pub(crate) stream: StreamReception,
    pub(crate) sent: u64,
}

impl Call {
    /// Starts a call; returns when both hear and see each other.
    pub(crate) async fn start(service: &Service) -> Result<Self, PeerError> {
        let join_alice = service.join_options("alice", CHANNEL)?;
        let join_bob = service.join_options("bob", CHANNEL)?;
        let (begun_tx, begun) = oneshot::channel();
        let (stop, stopped) = oneshot::channel();
        let thread = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(async move {
                let mut alice = Participant::join(join_alice).await?;
                let mut bob = Participant::join(join_bob).await?;
                let voices = (alice.publish_audio().await?, bob.publish_audio().await?);
                let cameras = (alice.publish_camera(&RIDS).await?, bob.publish_camera(&[]).await?);
                for participant in [&mut alice, &mut bob] {
                    participant.consume_next().await?;
                    participant.consume_next().await?;
                }
                let victims = (victim(&alice, voices.0, cameras.0)?, victim(&bob, voices.1, cameras.1)?);
                // Whoever no longer waits ends the call by dropping its end.
                let _ = begun_tx.send(victims);
                let _ = stopped.await;
                Ok(())
            })
        });
        match begun.await {
            Ok((alice, bob)) => {
                let call = Self { alice, bob, stop, thread };
                call.wait_until_heard().await?;
                Ok(call)
            }
            Err(_) => match thread.join() {
                Ok(Err(error)) => Err(error),
                _ => Err(PeerError::TimedOut("the call".into())),
            },
        }
    }

    async fn wait_until_heard(&self) -> Result<(), PeerError> {
        for _ in 0..200 {
            if self.streams().iter().all(|(.., heard)| heard.is_some()) {
                return Ok(());
            }
            sleep(Duration::from_millis(50)).await;
        }
        Err(PeerError::TimedOut("the first packets of the call".into()))
    }

    /// Ends the call and asserts that it was whole.
    pub(crate) async fn end(self) -> Result<(), PeerError> {
        for victim in [&self.alice, &self.bob] {
            victim.publisher.stop();
            victim.camera.stop();
        }
        sleep(DRAIN).await;
        let streams = self.streams();
        let ended = self.stop.send(()).is_ok();
        assert!(ended, "the call ended before its time");
        assert!(matches!(self.thread.join(), Ok(Ok(()))), "the call did not end well");
        for (who, heard) in streams {
            let heard = heard.ok_or_else(|| PeerError::TimedOut(format!("anything that {who} gets")))?;
            assert_whole(who, &heard);
        }
        Ok(())
    }

    /// What each got of the other's streams.
    fn streams(&self) -> [(&'static str, Option<Heard>); 4] {
        [
            ("bob's ears", self.alice.voice_at(&self.bob)),
            ("bob's eyes", self.alice.picture_at(&self.bob)),
            ("alice's ears", self.bob.voice_at(&self.alice)),
            ("alice's eyes", self.bob.picture_at(&self.alice)),
        ]
    }
}

impl Victim {
    fn voice_at(&self, other: &Self) -> Option<Heard> {
        other.heard(self.published.publisher, self.publisher.sent())
    }

    fn picture_at(&self, other: &Self) -> Option<Heard> {
        other.heard(self.camera.shown().publisher, self.camera.sent())
    }

    fn heard(&self, publisher: u32, sent: u64) -> Option<Heard> {
        let stream = self.receive.reception().from_publisher(publisher).cloned()?;
        Some(Heard { stream, sent })
    }
}

fn victim(participant: &Participant, publisher: Publisher, camera: Camera) -> Result<Victim, PeerError> {
    let missing = || PeerError::Protocol("a participant without its transports".into());
    Ok(Victim {
        published: publisher.published().clone(),
        publisher: Arc::new(publisher),
        camera: Arc::new(camera),
        send: Arc::clone(participant.send_transport().ok_or_else(missing)?),
        receive: Arc::clone(participant.receive_transport().ok_or_else(missing)?),
    })
}

/// Asserts that nothing was lost, repeated, reordered, altered or late.
pub(crate) fn assert_whole(who: &str, heard: &Heard) {
    let stream = &heard.stream;
    let blemishes = [stream.lost, stream.sequence_gaps, stream.repeats, stream.misordered, stream.altered];
    assert_eq!(blemishes, [0; 5], "{who}: lost, sequence gaps, repeats, misordered, altered of {}", stream.packets);
    assert_eq!(stream.latest_counter().map(|counter| counter + 1), Some(heard.sent), "{who}: the end of the stream");
    let silence = Duration::from_nanos(stream.silence_max_ns);
    assert!(silence < SILENCE_MAX, "{who} got nothing for {silence:?}");
}
