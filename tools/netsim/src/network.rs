//! A network that loses, repeats and reorders, always the same way for one seed.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

/// How bad the network is, each way.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Conditions {
    /// The share of datagrams lost, 0 to 1.
    pub loss: f64,
    /// The share that comes twice, 0 to 1.
    pub repeats: f64,
    /// The time that every datagram takes.
    pub delay: Duration,
    /// The most that one takes longer; with more than the datagrams' spacing they overtake each other.
    pub jitter: Duration,
}

impl Conditions {
    /// Nothing is lost and everything takes 10 ms.
    pub const GOOD: Self = Self { loss: 0.0, repeats: 0.0, delay: Duration::from_millis(10), jitter: Duration::ZERO };
}

/// Datagrams under way; `T` says whose.
pub struct Network<T> {
    conditions: Conditions,
    random: StdRng,
    under_way: BinaryHeap<Reverse<(Instant, u64)>>,
    datagrams: std::collections::HashMap<u64, (T, Vec<u8>)>,
    sent: u64,
}

impl<T: Clone> Network<T> {
    /// Makes an empty network.
    pub fn new(seed: u64, conditions: Conditions) -> Self {
        Self {
            conditions,
            random: StdRng::seed_from_u64(seed),
            under_way: BinaryHeap::new(),
            datagrams: std::collections::HashMap::new(),
            sent: 0,
        }
    }

    /// Changes how bad it is for what is sent from now on.
    pub fn set_conditions(&mut self, conditions: Conditions) {
        self.conditions = conditions;
    }

    /// Sends a datagram.
    pub fn send(&mut self, now: Instant, way: T, datagram: &[u8]) {
        let copies = if self.random.random_bool(self.conditions.loss) {
            0
        } else {
            1 + u32::from(self.random.random_bool(self.conditions.repeats))
        };
        for _ in 0..copies {
            let late = self.conditions.jitter.mul_f64(self.random.random::<f64>());
            self.under_way.push(Reverse((now + self.conditions.delay + late, self.sent)));
            self.datagrams.insert(self.sent, (way.clone(), datagram.to_vec()));
            self.sent += 1;
        }
    }

    /// When the next datagram arrives.
    pub fn next_at(&self) -> Option<Instant> {
        self.under_way.peek().map(|Reverse((at, _))| *at)
    }

    /// Takes out a datagram that has arrived by `now`.
    pub fn receive(&mut self, now: Instant) -> Option<(T, Vec<u8>)> {
        if self.next_at()? > now {
            return None;
        }
        let Reverse((_, number)) = self.under_way.pop()?;
        self.datagrams.remove(&number)
    }
}
