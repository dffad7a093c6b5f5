//! A live call of two participants, on a thread of its own, so that the attacker's work delays neither.

use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use peer::{Participant, PeerError, Published, Publisher, Service, StreamReception, Transport};
use tokio::sync::oneshot;
use tokio::time::sleep;

/// The longest silence that a listener may hear.
const SILENCE_MAX: Duration = Duration::from_millis(100);
/// How long the last packets may be on their way.
const DRAIN: Duration = Duration::from_millis(300);

/// One participant as the attacker sees it.
pub(crate) struct Victim {
    pub(crate) published: Published,
    pub(crate) publisher: Arc<Publisher>,
    pub(crate) send: Arc<Transport>,
    pub(crate) receive: Arc<Transport>,
}

/// A running call of `alice` and `bob`.
pub(crate) struct Call {
    pub(crate) alice: Victim,
    pub(crate) bob: Victim,
    stop: oneshot::Sender<()>,
    thread: JoinHandle<Result<(), PeerError>>,
}

/// What one listener heard of the other.
pub(crate) struct Heard {
    pub(crate) stream: StreamReception,
    pub(crate) sent: u64,
}

impl Call {
    /// Starts a call in `channel`; returns when both hear each other.
    pub(crate) async fn start(service: &Service, channel: &str) -> Result<Self, PeerError> {
        let join_alice = service.join_options("alice", channel)?;
        let join_bob = service.join_options("bob", channel)?;
        let (begun_tx, begun) = oneshot::channel();
        let (stop, stopped) = oneshot::channel();
        let thread = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(async move {
                let mut alice = Participant::join(join_alice).await?;
                let mut bob = Participant::join(join_bob).await?;
                let published = (alice.publish_audio().await?, bob.publish_audio().await?);
                alice.consume_next().await?;
                bob.consume_next().await?;
                let victims = (victim(&alice, published.0)?, victim(&bob, published.1)?);
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
            if [(&self.alice, &self.bob), (&self.bob, &self.alice)].iter().all(|(from, to)| heard(from, to).is_some()) {
                return Ok(());
            }
            sleep(Duration::from_millis(50)).await;
        }
        Err(PeerError::TimedOut("the first packets of the call".into()))
    }

    /// Ends the call and asserts that it was whole.
    pub(crate) async fn end(self) -> Result<(), PeerError> {
        self.alice.publisher.stop();
        self.bob.publisher.stop();
        sleep(DRAIN).await;
        let of = |from: &Victim, to| heard(from, to).map(|stream| Heard { stream, sent: from.publisher.sent() });
        let (bob_heard, alice_heard) = (of(&self.alice, &self.bob), of(&self.bob, &self.alice));
        let ended = self.stop.send(()).is_ok();
        assert!(ended, "the call ended before its time");
        assert!(matches!(self.thread.join(), Ok(Ok(()))), "the call did not end well");
        for (who, heard) in [("bob", bob_heard), ("alice", alice_heard)] {
            let heard = heard.ok_or_else(|| PeerError::TimedOut(format!("anything that {who} hears")))?;
            assert_whole(who, &heard);
        }
        Ok(())
    }
}

fn victim(participant: &Participant, publisher: Publisher) -> Result<Victim, PeerError> {
    let missing = || PeerError::Protocol("a participant without its transports".into());
    Ok(Victim {
        published: publisher.published().clone(),
        publisher: Arc::new(publisher),
        send: Arc::clone(participant.send_transport().ok_or_else(missing)?),
        receive: Arc::clone(participant.receive_transport().ok_or_else(missing)?),
    })
}

fn heard(from: &Victim, to: &Victim) -> Option<StreamReception> {
    to.receive.reception().from_publisher(from.published.publisher).cloned()
}

/// Asserts that nothing was lost, repeated, reordered, altered or late.
pub(crate) fn assert_whole(who: &str, heard: &Heard) {
    let stream = &heard.stream;
    let blemishes = [stream.lost, stream.sequence_gaps, stream.repeats, stream.misordered, stream.altered];
    assert_eq!(blemishes, [0; 5], "{who}: lost, sequence gaps, repeats, misordered, altered of {}", stream.packets);
    assert_eq!(stream.latest_counter().map(|counter| counter + 1), Some(heard.sent), "{who}: the end of the stream");
    let silence = Duration::from_nanos(stream.silence_max_ns);
    assert!(silence < SILENCE_MAX, "{who} heard nothing for {silence:?}");
}
