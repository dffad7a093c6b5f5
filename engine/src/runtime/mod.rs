//! The only I/O of the engine: threads, executors, sockets, queues and the clock.
//!
//! [`host`] makes a plan, [`start`] carries it out: one thread for the handshakes and one pinned executor a shard, whose
//! event loop brings the shard, its [`socket`] and its [`mailbox`] together. Signaling keeps a [`ShardHandle`] each.
//!
//! Not here: any decision about a packet. Where rooms go, and what becomes of those of a lost shard, is signaling's.

#![allow(unsafe_code)]

mod clock;
mod coalesce;
pub mod dtls;
mod event_loop;
pub mod host;
pub mod mailbox;
mod readiness;
mod seat;
pub mod socket;

use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;

use shard_protocol::ids::ShardIndex;
use shard_protocol::tables::Fingerprint;

pub use self::coalesce::Coalescing;
use self::dtls::{DtlsStartError, DtlsThread, DtlsWaker};
use self::host::HostPlan;
use self::mailbox::Bell;
pub use self::mailbox::{Notify, SendRefused, ShardHandle, ShardLost};
use self::seat::Seat;
use self::socket::BindError;

/// Why the shards could not be started. None is left running.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The handshakes can't be had.
    #[error(transparent)]
    Dtls(#[from] DtlsStartError),
    /// A shard found no port.
    #[error("shard {index}: {source}")]
    Bind {
        /// The shard.
        index: ShardIndex,
        /// Why.
        source: BindError,
    },
    /// A shard found no executor.
    #[error("shard {index}: starting its executor: {cause}")]
    Executor {
        /// The shard.
        index: ShardIndex,
        /// Why.
        cause: String,
    },
    /// The system gives no thread, descriptor or randomness.
    #[error("shard {index}: {source}; `ulimit -n` and `ulimit -u` tell the limits of descriptors and threads")]
    System {
        /// The shard.
        index: ShardIndex,
        /// What it said.
        source: io::Error,
    },
    /// A shard's thread panicked before it was ready.
    #[error("shard {index} panicked at its start; the log tells where")]
    Panicked {
        /// The shard.
        index: ShardIndex,
    },
}

/// The running shards.
pub struct Shards {
    /// Signaling's ends of the queues, by the shards' index.
    pub handles: Vec<ShardHandle>,
    /// The hashes of the service's certificate, as clients are told them.
    pub fingerprints: Vec<Fingerprint>,
    /// What to wait for at the end.
    pub threads: ShardThreads,
}

/// The threads of the shards and of the handshakes.
pub struct ShardThreads {
    shards: Vec<JoinHandle<()>>,
    dtls: DtlsThread,
}

impl ShardThreads {
    /// Waits for the end of all threads. A shard ends when it is shut down or its handle is dropped.
    pub fn join(self) {
        for shard in self.shards {
            // A panic was reported by the thread itself.
            let _ = shard.join();
        }
        self.dtls.join();
    }
}

/// Starts the shards of `plan` and returns once each is bound and ready. `notify` tells, on a shard's thread, that the shard
/// has events or is gone.
///
/// # Errors
/// Something could not be had; everything that was started is ended again.
pub fn start(plan: &HostPlan, coalescing: Coalescing, notify: Notify) -> Result<Shards, StartError> {
    register_membarrier();
    // The DTLS library panics without a default. An error says that there is one.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let bells = plan
        .shards
        .iter()
        .map(|shard| Bell::new().map(Arc::new).map_err(|source| StartError::System { index: shard.index, source }));
    let bells: Vec<Arc<Bell>> = bells.collect::<Result<_, _>>()?;
    let (dtls, ports) = DtlsThread::start(bells.iter().map(ringer).collect(), pin(plan))?;
    let mut threads = ShardThreads { shards: Vec::new(), dtls };
    let mut starting = Vec::new();
    let mut failure = None;
    for ((shard, bell), port) in plan.shards.iter().zip(bells).zip(ports) {
        let (listen_ip, notify) = (plan.listen_ip, Arc::clone(&notify));
        let seat = Seat { plan: shard.clone(), listen_ip, coalescing, bell, dtls: port, notify };
        match seat.start() {
            Ok((thread, ready)) => {
                threads.shards.push(thread);
                starting.push((shard.index, ready));
            }
            Err(source) => failure = Some(StartError::System { index: shard.index, source }),
        }
    }
    let mut handles = Vec::new();
    for (index, ready) in starting {
        match ready.recv().unwrap_or(Err(StartError::Panicked { index })) {
            Ok(handle) => handles.push(handle),
            Err(error) => failure = failure.or(Some(error)),
        }
    }
    if let Some(failure) = failure {
        drop(handles);
        threads.join();
        return Err(failure);
    }
    Ok(Shards { handles, fingerprints: threads.dtls.fingerprints().to_vec(), threads })
}

fn ringer(bell: &Arc<Bell>) -> DtlsWaker {
    let bell = Arc::clone(bell);
    Arc::new(move || bell.ring())
}

fn pin(plan: &HostPlan) -> impl FnOnce() + Send + 'static {
    let cpus = plan.signal_cpus.clone();
    move || {
        if !cpus.pin_current_thread() {
            tracing::warn!(%cpus, "the handshake thread could not be pinned");
        }
    }
}

/// Registers for the memory barrier that an executor needs before it sleeps. glommio would do it at the first sleep, where it
/// can take 80 ms; while the process has one thread it takes none.
fn register_membarrier() {
    const REGISTER_PRIVATE_EXPEDITED: libc::c_int = 1 << 4;
    // SAFETY: the call takes two numbers and touches no memory of ours. Where it fails, glommio finds its own way.
    unsafe { libc::syscall(libc::SYS_membarrier, REGISTER_PRIVATE_EXPEDITED, 0) };
}
