//! The bounded queues between signaling and a shard, and the bell that wakes a shard that sleeps.
//!
//! Commands go in, events come out, and neither side ever waits for the other. The bell belongs to whoever gives a shard
//! something to do from another thread: signaling through its [`ShardHandle`], and the handshake thread.

use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crossbeam_channel::{Receiver, Sender, TryRecvError, TrySendError, bounded};
use shard_protocol::ids::ShardIndex;
use shard_protocol::limits::{COMMANDS_MAX, EVENTS_MAX};
use shard_protocol::{Command, Event};

/// Tells signaling that a shard has events, or is gone. Called on the shard's thread, so it only wakes somebody.
pub type Notify = Arc<dyn Fn(ShardIndex) + Send + Sync>;

/// Wakes a shard's event loop from any thread.
///
/// However often it is rung, it costs one system call a turn: the first ring counts until the loop has begun its next turn.
/// It is a socket, which the loop waits for together with the one of its datagrams.
pub struct Bell {
    is_rung: AtomicBool,
    ringer: UnixStream,
    listener: UnixStream,
}

impl Bell {
    /// Makes a bell that is silent.
    ///
    /// # Errors
    /// The process has no descriptor left.
    pub fn new() -> io::Result<Self> {
        let (ringer, listener) = UnixStream::pair()?;
        ringer.set_nonblocking(true)?;
        listener.set_nonblocking(true)?;
        Ok(Self { is_rung: AtomicBool::new(false), ringer, listener })
    }

    /// Rings; to be called after the thing to do was put in its queue.
    pub fn ring(&self) {
        if !self.is_rung.swap(true, Ordering::AcqRel) {
            // The only error is a full buffer: then there is enough to hear.
            let _ = (&self.ringer).write(&[0]);
        }
    }

    /// Makes the bell silent; to be called before the queues are looked at. A ring that this call swallowed came after its
    /// thing was put in the queue, so the look that follows finds it.
    pub(super) fn hush(&self) {
        if self.is_rung.load(Ordering::Acquire) {
            // In this order: a byte that comes in between stays, and wakes the loop once more than needed.
            self.drain();
            self.is_rung.swap(false, Ordering::AcqRel);
        }
    }

    /// Takes the bytes that the bell was rung by, so that it can be waited for anew.
    pub(super) fn drain(&self) {
        // There is a byte for each turn since the last wait at the most, and few turns ring.
        let _ = (&self.listener).read(&mut [0; 64]);
    }
}

/// The descriptor that is readable when the bell has rung.
impl AsFd for Bell {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.listener.as_fd()
    }
}

/// Why a shard did not take a command. It is given back.
#[derive(Debug, thiserror::Error)]
pub enum SendRefused {
    /// [`COMMANDS_MAX`] commands wait already.
    #[error("the shard's queue of commands is full")]
    Full(Command),
    /// The shard has ended.
    #[error("the shard has ended")]
    Lost(Command),
}

/// The shard has ended, and all its events were taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the shard has ended")]
pub struct ShardLost;

/// Signaling's end of the queues. A shard whose handle is dropped ends.
pub struct ShardHandle {
    index: ShardIndex,
    port: u16,
    commands: Option<Sender<Command>>,
    events: Receiver<Event>,
    bell: Arc<Bell>,
}

impl ShardHandle {
    /// Which shard it is.
    pub fn index(&self) -> ShardIndex {
        self.index
    }

    /// The shard's UDP port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Gives the shard a command, and wakes it.
    ///
    /// # Errors
    /// The queue is full, or the shard has ended.
    pub fn try_send(&self, command: Command) -> Result<(), SendRefused> {
        let Some(commands) = &self.commands else { return Err(SendRefused::Lost(command)) };
        commands.try_send(command).map_err(|refused| match refused {
            TrySendError::Full(command) => SendRefused::Full(command),
            TrySendError::Disconnected(command) => SendRefused::Lost(command),
        })?;
        self.bell.ring();
        Ok(())
    }

    /// Takes the shard's next event; `None` when there is none yet.
    ///
    /// # Errors
    /// The shard has ended, and there is no event left.
    pub fn try_recv(&self) -> Result<Option<Event>, ShardLost> {
        match self.events.try_recv() {
            Ok(event) => Ok(Some(event)),
            Err(TryRecvError::Empty) => Ok(None),
            Err(TryRecvError::Disconnected) => Err(ShardLost),
        }
    }
}

impl Drop for ShardHandle {
    fn drop(&mut self) {
        // The shard must find the queue closed when it wakes, so the queue goes first.
        self.commands = None;
        self.bell.ring();
    }
}

/// What the shard finds when it looks for its next command.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum NextCommand {
    Some(Command),
    /// There is none yet.
    None,
    /// Signaling is gone; there will never be one.
    Closed,
}

/// The shard's end of the queues.
pub(super) struct Mailbox {
    commands: Receiver<Command>,
    events: Sender<Event>,
    bell: Arc<Bell>,
}

impl Mailbox {
    pub(super) fn next_command(&self) -> NextCommand {
        match self.commands.try_recv() {
            Ok(command) => NextCommand::Some(command),
            Err(TryRecvError::Empty) => NextCommand::None,
            Err(TryRecvError::Disconnected) => NextCommand::Closed,
        }
    }

    /// How many events fit now. Only the shard puts events in, so there never is less room than this says.
    pub(super) fn room(&self) -> usize {
        EVENTS_MAX.saturating_sub(self.events.len())
    }

    /// Gives signaling an event; `false` when nobody takes it or it does not fit.
    pub(super) fn try_send(&self, event: Event) -> bool {
        self.events.try_send(event).is_ok()
    }

    pub(super) fn bell(&self) -> &Bell {
        &self.bell
    }
}

/// Makes the queues of one shard; `port` is the one that its socket is bound to, and `bell` wakes its loop.
pub(super) fn open(index: ShardIndex, port: u16, bell: Arc<Bell>) -> (ShardHandle, Mailbox) {
    let (command_sender, command_receiver) = bounded(COMMANDS_MAX);
    let (event_sender, event_receiver) = bounded(EVENTS_MAX);
    let handle =
        ShardHandle { index, port, commands: Some(command_sender), events: event_receiver, bell: Arc::clone(&bell) };
    (handle, Mailbox { commands: command_receiver, events: event_sender, bell })
}

#[cfg(test)]
mod tests {
    use std::thread;

    use shard_protocol::ids::RouterId;

    use super::*;

    fn close(router: u64) -> Command {
        Command::CloseRouter { router: RouterId(router) }
    }

    fn pair() -> (ShardHandle, Mailbox) {
        open(ShardIndex(3), 40_000, Arc::new(Bell::new().unwrap()))
    }

    #[test]
    fn commands_come_out_in_order_and_a_full_queue_gives_them_back() {
        let (handle, mailbox) = pair();
        assert_eq!((handle.index(), handle.port()), (ShardIndex(3), 40_000));
        for router in 0..COMMANDS_MAX as u64 {
            handle.try_send(close(router)).unwrap();
        }
        let refused = handle.try_send(close(9)).unwrap_err();
        assert!(matches!(refused, SendRefused::Full(command) if command == close(9)));
        for router in 0..COMMANDS_MAX as u64 {
            assert_eq!(mailbox.next_command(), NextCommand::Some(close(router)));
        }
        assert_eq!(mailbox.next_command(), NextCommand::None);
        drop(handle);
        assert_eq!(mailbox.next_command(), NextCommand::Closed);
    }

    #[test]
    fn a_shard_that_ended_is_noticed_once_its_events_are_taken() {
        let (handle, mailbox) = pair();
        let event = Event::Answered { request: shard_protocol::ids::RequestId(1), result: Ok(()) };
        assert_eq!(mailbox.room(), EVENTS_MAX);
        assert!(mailbox.try_send(event.clone()));
        assert_eq!(mailbox.room(), EVENTS_MAX - 1);
        drop(mailbox);
        assert_eq!(handle.try_recv(), Ok(Some(event)));
        assert_eq!(handle.try_recv(), Err(ShardLost));
        assert!(matches!(handle.try_send(close(1)), Err(SendRefused::Lost(_))));
    }

    fn bytes(bell: &Bell) -> usize {
        (&bell.listener).read(&mut [0; 64]).unwrap_or(0)
    }

    #[test]
    fn many_rings_are_heard_once_until_the_bell_is_hushed() {
        let (handle, mailbox) = pair();
        let bell = mailbox.bell();
        for _ in 0..3 {
            handle.try_send(close(1)).unwrap();
        }
        assert_eq!(bytes(bell), 1);
        bell.hush();
        handle.try_send(close(1)).unwrap();
        bell.hush();
        assert_eq!(bytes(bell), 0, "a hushed bell wakes nobody");
        handle.try_send(close(1)).unwrap();
        assert_eq!(bytes(bell), 1);
    }

    #[test]
    fn a_bell_that_was_drained_but_not_hushed_is_not_lost() {
        let (handle, mailbox) = pair();
        let bell = mailbox.bell();
        handle.try_send(close(1)).unwrap();
        bell.drain();
        handle.try_send(close(2)).unwrap();
        bell.hush();
        assert_eq!(mailbox.next_command(), NextCommand::Some(close(1)));
        assert_eq!(mailbox.next_command(), NextCommand::Some(close(2)));
        handle.try_send(close(3)).unwrap();
        assert_eq!(bytes(bell), 1);
    }

    #[test]
    fn no_command_is_left_behind_by_a_loop_that_sleeps_between_looks() {
        let (handle, mailbox) = pair();
        let sent = 20_000;
        let sender = thread::spawn(move || {
            for router in 0..sent {
                while handle.try_send(close(router)).is_err() {
                    thread::yield_now();
                }
            }
        });
        // The loop sleeps in a blocking read instead of the ring.
        mailbox.bell().listener.set_nonblocking(false).unwrap();
        let mut taken = 0;
        loop {
            match mailbox.next_command() {
                NextCommand::Some(command) => {
                    assert_eq!(command, close(taken));
                    taken += 1;
                }
                NextCommand::None => {
                    mailbox.bell().drain();
                    mailbox.bell().is_rung.swap(false, Ordering::AcqRel);
                }
                NextCommand::Closed => break,
            }
        }
        sender.join().unwrap();
        assert_eq!(taken, sent);
    }
}
