//! The handshakes of one shard: which there are, who gets a datagram, and what becomes of each.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use shard_protocol::event::TransportCloseReason;
use shard_protocol::ids::TransportId;
use shard_protocol::limits::TRANSPORTS_MAX;
use shard_protocol::stats::DropReason;
use shard_protocol::tables::{DtlsRole, DtlsTable};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::{self, AbortHandle, JoinError, JoinSet};
use tokio::time;

use super::Outbox;
use super::handshake::{self, Established};
use super::identity::Identity;
use crate::security::dtls::{DtlsRequest, DtlsResponse};

/// How long a handshake may take, the wait for its turn included. At half of all datagrams lost, and a try every 100 ms,
/// it is through within a few seconds; and it is half of the 30 s after which ICE gives up, so that a peer
/// that is gone is not waited for twice.
pub(super) const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(15);

/// Datagrams that wait for one handshake. A flight has at most six, if a peer sends each message in its own; more are
/// lost and come again.
const DATAGRAMS_MAX: usize = 16;

/// How long the dispatcher waits before it offers a result again to a shard whose queue is full: a few of its turns.
const RESULT_INTERVAL: Duration = Duration::from_millis(2);

type Outcome = Result<Established, TransportCloseReason>;

enum Handshake {
    /// The service is server, and nothing has come yet: no task, no time.
    Awaited(DtlsTable),
    /// A task is at work.
    UnderWay { datagrams: mpsc::Sender<Box<[u8]>>, task: AbortHandle },
}

/// Serves the requests of one shard.
pub(super) struct Dispatcher {
    identity: Arc<Identity>,
    slots: Arc<Semaphore>,
    outbox: Arc<Outbox>,
    handshakes: HashMap<TransportId, Handshake>,
    tasks: JoinSet<Outcome>,
    transports: HashMap<task::Id, TransportId>,
}

impl Dispatcher {
    /// Makes a dispatcher without handshakes; `slots` are shared by all shards.
    pub(super) fn new(identity: Arc<Identity>, slots: Arc<Semaphore>, outbox: Arc<Outbox>) -> Self {
        Self { identity, slots, outbox, handshakes: HashMap::new(), tasks: JoinSet::new(), transports: HashMap::new() }
    }

    /// Serves `requests` until the shard's port is gone, which ends all handshakes.
    pub(super) async fn run(mut self, mut requests: mpsc::Receiver<DtlsRequest>) {
        loop {
            tokio::select! {
                request = requests.recv() => match request {
                    Some(request) => self.handle_request(request).await,
                    None => return,
                },
                Some(ended) = self.tasks.join_next_with_id() => self.handle_end(ended).await,
            }
        }
    }

    async fn handle_request(&mut self, request: DtlsRequest) {
        match request {
            DtlsRequest::Start { transport, table } => self.start(transport, table).await,
            DtlsRequest::Datagram { transport, bytes } => self.handle_datagram(transport, bytes),
            DtlsRequest::Stop { transport } => {
                if let Some(Handshake::UnderWay { task, .. }) = self.handshakes.remove(&transport) {
                    task.abort();
                }
            }
        }
    }

    async fn start(&mut self, transport: TransportId, table: DtlsTable) {
        if self.handshakes.contains_key(&transport) {
            debug_assert!(false, "a handshake is started once");
            return;
        }
        if self.handshakes.len() >= TRANSPORTS_MAX {
            return self.send_result(failed(transport, TransportCloseReason::DtlsFailed)).await;
        }
        let handshake = match table.role {
            DtlsRole::Server => Handshake::Awaited(table),
            DtlsRole::Client => self.spawn(transport, table),
        };
        self.handshakes.insert(transport, handshake);
    }

    /// Hands a datagram on; one for a handshake that is over, or that has more than it can take, is lost.
    fn handle_datagram(&mut self, transport: TransportId, bytes: Box<[u8]>) {
        if let Some(Handshake::Awaited(table)) = self.handshakes.get(&transport) {
            let handshake = self.spawn(transport, table.clone());
            self.handshakes.insert(transport, handshake);
        }
        let drop_reason = match self.handshakes.get(&transport) {
            Some(Handshake::UnderWay { datagrams, .. }) => {
                datagrams.try_send(bytes).err().map(|_| DropReason::DtlsOverload)
            }
            _ => Some(DropReason::DtlsUnexpected),
        };
        drop_reason.into_iter().for_each(|reason| self.outbox.count_drop(reason));
    }

    fn spawn(&mut self, transport: TransportId, table: DtlsTable) -> Handshake {
        let (datagrams, inbound) = mpsc::channel(DATAGRAMS_MAX);
        let run = handshake::run(Arc::clone(&self.identity), transport, table, inbound, Arc::clone(&self.outbox));
        Handshake::UnderWay { datagrams, task: self.spawn_in_turn(transport, run) }
    }

    /// Spawns the task of a handshake: its wait for a slot, then `run`, both within the handshake's time.
    fn spawn_in_turn(
        &mut self,
        transport: TransportId,
        run: impl Future<Output = Outcome> + Send + 'static,
    ) -> AbortHandle {
        let slots = Arc::clone(&self.slots);
        let task = self.tasks.spawn(async move {
            let in_turn = async {
                let _slot = slots.acquire().await;
                run.await
            };
            time::timeout(HANDSHAKE_TIMEOUT, in_turn).await.unwrap_or(Err(TransportCloseReason::DtlsFailed))
        });
        self.transports.insert(task.id(), transport);
        task
    }

    /// Tells the shard what became of a handshake, unless that was stopped. A task that panicked has failed, and no other
    /// is touched by it.
    async fn handle_end(&mut self, ended: Result<(task::Id, Outcome), JoinError>) {
        let (task, outcome) = match ended {
            Ok((task, outcome)) => (task, outcome),
            Err(error) => (error.id(), Err(TransportCloseReason::DtlsFailed)),
        };
        let Some(transport) = self.transports.remove(&task) else { return };
        if self.handshakes.remove(&transport).is_none() {
            return;
        }
        let result = match outcome {
            Ok(Established { keys, last_flight }) => DtlsResponse::Connected { transport, keys, last_flight },
            Err(reason) => failed(transport, reason),
        };
        self.send_result(result).await;
    }

    async fn send_result(&self, mut result: DtlsResponse) {
        while let Some(refused) = self.outbox.offer(result) {
            result = refused;
            time::sleep(RESULT_INTERVAL).await;
        }
    }
}

fn failed(transport: TransportId, reason: TransportCloseReason) -> DtlsResponse {
    DtlsResponse::Failed { transport, reason }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use shard_protocol::tables::DtlsRole;
    use tokio::sync::Semaphore;

    use super::*;
    use crate::runtime::dtls::identity::Identity;
    use crate::runtime::dtls::{RequestRefused, connect};

    #[tokio::test(start_paused = true)]
    async fn a_dispatcher_that_is_gone_takes_nothing_and_says_so() {
        let identity = Arc::new(Identity::generate().unwrap());
        let (port, served) = connect(&identity, &Arc::new(Semaphore::new(1)), Arc::new(|| ()));
        drop(served);
        let transport = TransportId(1);
        let table = DtlsTable { role: DtlsRole::Server, fingerprints: vec![] };
        for request in [
            DtlsRequest::Start { transport, table },
            DtlsRequest::Datagram { transport, bytes: Box::new([22]) },
            DtlsRequest::Stop { transport },
        ] {
            let refused = port.try_send(request).unwrap_err();
            assert!(matches!(refused, RequestRefused::Gone(request) if request.transport() == transport));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_handshake_that_panics_fails_alone() {
        let identity = Arc::new(Identity::generate().unwrap());
        let (port, (mut dispatcher, requests)) = connect(&identity, &Arc::new(Semaphore::new(1)), Arc::new(|| ()));
        let (broken, healthy) = (TransportId(1), TransportId(2));
        let (datagrams, _inbound) = mpsc::channel(1);
        let task = dispatcher.spawn_in_turn(broken, async { panic!("a fault of the library, for the test") });
        dispatcher.handshakes.insert(broken, Handshake::UnderWay { datagrams, task });
        let table = DtlsTable { role: DtlsRole::Client, fingerprints: vec![] };
        assert!(port.try_send(DtlsRequest::Start { transport: healthy, table }).is_ok());
        tokio::spawn(dispatcher.run(requests));
        time::sleep(Duration::from_millis(10)).await;
        let mut responses: Vec<_> = std::iter::from_fn(|| port.try_recv()).collect();
        responses.sort_by_key(|response| matches!(response, DtlsResponse::Datagram { .. }));
        assert!(matches!(
            &responses[..],
            [
                DtlsResponse::Failed { transport, reason: TransportCloseReason::DtlsFailed },
                DtlsResponse::Datagram { transport: other, .. },
            ] if *transport == broken && *other == healthy
        ));
    }
}
