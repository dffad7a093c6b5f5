//! A shard's seat: the pinned thread with its executor, and what it takes along when it starts.

use std::io;
use std::net::IpAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, bounded};
use glommio::{LocalExecutorBuilder, Placement};

use super::coalesce::Coalescing;
use super::dtls::DtlsPort;
use super::event_loop::EventLoop;
use super::host::ShardPlan;
use super::mailbox::{self, Bell, Notify, ShardHandle};
use super::socket::UdpSocket;
use super::{StartError, clock};
use crate::shard::{Shard, ShardConfig};

/// When the executor takes its one task off the CPU: never. Every turn is bounded by itself, and there is nobody to make
/// room for.
const PREEMPT_INTERVAL: Duration = Duration::from_secs(24 * 60 * 60);

/// Bytes that an executor registers for files. A shard has none; the default is 10 MiB each.
const IO_MEMORY: usize = 0;

/// What a shard's thread takes along.
pub(super) struct Seat {
    pub(super) plan: ShardPlan,
    pub(super) listen_ip: Option<IpAddr>,
    pub(super) coalescing: Coalescing,
    pub(super) bell: Arc<Bell>,
    pub(super) dtls: DtlsPort,
    pub(super) notify: Notify,
}

/// Comes once from a thread that starts: signaling's handle, or why there is none.
pub(super) type Ready = Receiver<Result<ShardHandle, StartError>>;

impl Seat {
    /// Starts the thread. It tells by the channel when it is ready.
    ///
    /// # Errors
    /// The system gives no thread.
    pub(super) fn start(self) -> io::Result<(JoinHandle<()>, Ready)> {
        let (sender, ready) = bounded(1);
        let thread =
            thread::Builder::new().name(format!("shard-{}", self.plan.index)).spawn(move || self.occupy(sender))?;
        Ok((thread, ready))
    }

    /// Runs the shard on this thread and reports its end.
    fn occupy(self, ready: Sender<Result<ShardHandle, StartError>>) {
        let (index, notify) = (self.plan.index, Arc::clone(&self.notify));
        // Nothing of the shard outlives the panic: its queues close, by which signaling learns that it is gone.
        match catch_unwind(AssertUnwindSafe(|| self.run(ready))) {
            Ok(Ok(())) => tracing::debug!(shard = %index, "shard ended"),
            Ok(Err(error)) => tracing::error!(shard = %index, %error, "shard lost"),
            Err(_) => tracing::error!(shard = %index, "shard lost: its thread panicked"),
        }
        notify(index);
    }

    fn run(self, ready: Sender<Result<ShardHandle, StartError>>) -> io::Result<()> {
        let index = self.plan.index;
        let executor = LocalExecutorBuilder::new(Placement::Fixed(self.plan.cpu))
            .name("shard")
            .io_memory(IO_MEMORY)
            .preempt_timer(PREEMPT_INTERVAL)
            .make();
        match executor {
            Ok(executor) => executor.run(self.serve(ready)),
            Err(error) => {
                // The receiver waits for exactly this.
                let _ = ready.send(Err(StartError::Executor { index, cause: error.to_string() }));
                Ok(())
            }
        }
    }

    /// Makes the shard, on its own CPU so that its memory is near, and takes its turns.
    async fn serve(self, ready: Sender<Result<ShardHandle, StartError>>) -> io::Result<()> {
        match self.open() {
            Ok((handle, event_loop)) => {
                // Without a receiver the handle is dropped, which ends the loop.
                let _ = ready.send(Ok(handle));
                event_loop.run()
            }
            Err(error) => {
                let _ = ready.send(Err(error));
                Ok(())
            }
        }
    }

    fn open(self) -> Result<(ShardHandle, EventLoop), StartError> {
        let index = self.plan.index;
        let socket =
            UdpSocket::bind(self.plan.ports, self.listen_ip).map_err(|source| StartError::Bind { index, source })?;
        let system = |source| StartError::System { index, source };
        let seed = getrandom::u64().map_err(|error| system(io::Error::other(error)))?;
        let now = Instant::now();
        let shard = Shard::new(ShardConfig { seed, now, now_ntp: clock::ntp(clock::realtime()) });
        let (handle, mailbox) = mailbox::open(index, socket.port(), self.bell);
        let (coalescing, notify) = (self.coalescing, self.notify);
        let notify = Box::new(move || notify(index));
        Ok((handle, EventLoop::new(shard, socket, mailbox, self.dtls, coalescing, notify, now)))
    }
}
