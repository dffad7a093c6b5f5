//! The turn of a shard: the one place where a shard, its socket, its queues and the clock meet.
//!
//! A turn has a fixed order and every step is bounded: commands → datagrams → handshakes → timers → transmits → requests to
//! the handshakes → events. After it the loop sleeps. Sleeping is the budget: a sleep and a wake cost as much as a dozen
//! forwarded packets. So the loop wakes for the first datagram after a quiet time, but under a stream it lets datagrams
//! [gather](super::coalesce); and when nothing happens nothing wakes it but a deadline.

use std::io;
use std::os::fd::AsFd;
use std::thread;
use std::time::{Duration, Instant};

use shard_protocol::Event;
use shard_protocol::event::TransportCloseReason;
use shard_protocol::limits::EVENTS_MAX;
use shard_protocol::stats::DropReason;

use super::clock;
use super::coalesce::{Coalescer, Coalescing};
use super::dtls::{DtlsPort, RequestRefused};
use super::mailbox::{Mailbox, NextCommand};
use super::readiness::wait_readable;
use super::socket::UdpSocket;
use crate::packet::BATCH_MAX;
use crate::security::dtls::{DtlsRequest, DtlsResponse};
use crate::shard::Shard;

/// Deadlines closer than this are kept together: none of a report's or a handshake's is in such a hurry.
const DEADLINE_INTERVAL: Duration = Duration::from_millis(1);

/// Commands of one turn. The dearest take tens of microseconds, so that datagrams wait two milliseconds at most.
const COMMANDS_PER_TURN_MAX: usize = 64;

/// Answers of the handshakes in one turn. Each is a datagram or two, or keys to be made, some ten microseconds.
const DTLS_RESPONSES_PER_TURN_MAX: usize = 64;

/// When the loop looks again at a queue that had no room: the handshake thread, or signaling, is busy for milliseconds.
const RETRY_INTERVAL: Duration = Duration::from_millis(5);

/// What one turn did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Turn {
    /// Commands, datagrams and answers of handshakes that were taken.
    taken: usize,
    /// Whether a step ended at its bound, so that more waits, or the socket was not looked at.
    is_cut_short: bool,
}

/// A shard's loop.
pub(super) struct EventLoop {
    shard: Shard,
    socket: UdpSocket,
    mailbox: Mailbox,
    dtls: DtlsPort,
    /// A request that the handshake thread had no room for and that must not be lost.
    dtls_waiting: Option<DtlsRequest>,
    coalescer: Coalescer,
    notify: Box<dyn Fn()>,
    /// Whether datagrams gather, or the last sleep was shorter than the interval.
    is_streaming: bool,
    last_wake: Instant,
    /// How long the loop slept before that.
    last_slept: Duration,
    is_signaling_gone: bool,
}

impl EventLoop {
    /// Brings the parts together; `notify` tells signaling that there are events.
    pub(super) fn new(
        shard: Shard,
        socket: UdpSocket,
        mailbox: Mailbox,
        dtls: DtlsPort,
        coalescing: Coalescing,
        notify: Box<dyn Fn()>,
        now: Instant,
    ) -> Self {
        Self {
            shard,
            socket,
            mailbox,
            dtls,
            dtls_waiting: None,
            coalescer: Coalescer::new(coalescing),
            notify,
            is_streaming: false,
            last_wake: now,
            last_slept: Duration::ZERO,
            is_signaling_gone: false,
        }
    }

    /// Takes turns until the shard is shut down or signaling is gone.
    ///
    /// # Errors
    /// The socket is broken.
    pub(super) fn run(mut self) -> io::Result<()> {
        let mut taken = 0;
        loop {
            let turn = self.take_turn(Instant::now())?;
            if self.shard.is_shut_down() || self.is_signaling_gone {
                return Ok(());
            }
            taken += turn.taken;
            if !turn.is_cut_short {
                self.sleep(taken > 0);
                taken = 0;
            }
        }
    }

    fn take_turn(&mut self, now: Instant) -> io::Result<Turn> {
        self.mailbox.bell().hush();
        let commands = self.take_commands(now);
        let is_behind = self.shard.has_input();
        let datagrams = if is_behind { 0 } else { self.socket.receive(self.shard.input_mut(), now)? };
        self.shard.handle_input(now);
        let responses = self.take_dtls_responses(now);
        self.shard.handle_timeout(now);
        let mut departure = now;
        while let Some(batch) = self.shard.poll_output(departure) {
            let outcome = self.socket.send(batch);
            departure = Instant::now();
            self.shard.handle_sent(departure, outcome);
        }
        self.give_dtls_requests(now);
        self.give_events();
        Ok(Turn {
            taken: commands + datagrams + responses,
            is_cut_short: commands == COMMANDS_PER_TURN_MAX
                || datagrams == BATCH_MAX
                || is_behind
                || self.shard.has_input()
                || responses == DTLS_RESPONSES_PER_TURN_MAX
                || self.shard.poll_timeout().is_some_and(|due| due <= now),
        })
    }

    fn take_commands(&mut self, now: Instant) -> usize {
        for taken in 0..COMMANDS_PER_TURN_MAX {
            if self.shard.waiting_events() >= EVENTS_MAX {
                // Signaling is behind; it has to take answers before it is given more.
                return taken;
            }
            match self.mailbox.next_command() {
                NextCommand::Some(command) => self.shard.handle_command(now, command),
                NextCommand::None => return taken,
                NextCommand::Closed => {
                    self.is_signaling_gone = true;
                    return taken;
                }
            }
        }
        COMMANDS_PER_TURN_MAX
    }

    fn take_dtls_responses(&mut self, now: Instant) -> usize {
        for taken in 0..DTLS_RESPONSES_PER_TURN_MAX {
            let Some(response) = self.dtls.try_recv() else { return taken };
            self.shard.handle_dtls(now, response);
        }
        DTLS_RESPONSES_PER_TURN_MAX
    }

    /// Hands requests to the handshake thread. A datagram that does not fit is lost as on a network; a beginning or an end
    /// waits, and everything behind it. Where nobody is left to take them, a handshake fails at once instead of never ending.
    fn give_dtls_requests(&mut self, now: Instant) {
        while let Some(request) = self.dtls_waiting.take().or_else(|| self.shard.poll_dtls()) {
            match self.dtls.try_send(request) {
                Ok(()) | Err(RequestRefused::Gone(DtlsRequest::Stop { .. })) => {}
                Err(RequestRefused::Full(DtlsRequest::Datagram { .. })) => {
                    self.shard.stats_mut().drops.add(DropReason::DtlsOverload);
                }
                Err(RequestRefused::Full(request)) => {
                    self.dtls_waiting = Some(request);
                    return;
                }
                Err(RequestRefused::Gone(request)) => {
                    let (transport, reason) = (request.transport(), TransportCloseReason::DtlsFailed);
                    self.shard.handle_dtls(now, DtlsResponse::Failed { transport, reason });
                }
            }
        }
    }

    /// Gives signaling as many events as there is room for; the others stay in the shard.
    fn give_events(&mut self) {
        let mut is_given = false;
        for _ in 0..self.mailbox.room() {
            let Some(mut event) = self.shard.poll_event() else { break };
            if let Event::Stats { stats, .. } = &mut event {
                stats.drops.add_all(&self.dtls.drops());
                stats.busy = clock::thread_cpu_time();
            }
            is_given |= self.mailbox.try_send(event);
        }
        if is_given {
            (self.notify)();
        }
    }

    /// Sleeps until there is something to do, or under a stream, if something was taken since the last sleep, while datagrams
    /// gather. Either way the whole thread sleeps: the executor has no other task.
    fn sleep(&mut self, has_taken: bool) {
        let asleep = Instant::now();
        let worked = asleep.duration_since(self.last_wake);
        self.coalescer.count(self.last_slept, worked);
        let is_gathering = self.is_streaming && has_taken;
        if is_gathering {
            let rest = self.coalescer.rest(worked);
            self.shard.stats_mut().sleeps += u64::from(!rest.is_zero());
            thread::sleep(rest);
        } else {
            self.shard.stats_mut().sleeps += 1;
            let timeout = self.deadline().map(|deadline| deadline.saturating_duration_since(asleep));
            let [_, has_rung] = wait_readable([self.socket.as_fd(), self.mailbox.bell().as_fd()], timeout);
            if has_rung {
                self.mailbox.bell().drain();
            }
        }
        let awake = Instant::now();
        self.last_slept = awake.duration_since(asleep);
        self.is_streaming = is_gathering || self.coalescer.is_streaming(self.last_slept);
        self.last_wake = awake;
    }

    /// When the loop has to look at the latest.
    fn deadline(&self) -> Option<Instant> {
        // Signaling may have made room since the events were given, and does not ring for that.
        let is_held_up = self.dtls_waiting.is_some() || self.shard.waiting_events() > 0;
        let retry = is_held_up.then(|| self.last_wake + RETRY_INTERVAL);
        let due = [self.shard.poll_timeout(), retry].into_iter().flatten().min()?;
        Some(due.max(self.last_wake + DEADLINE_INTERVAL))
    }
}
