//! A network that loses, repeats and reorders, always the same way for one seed.
//!
//! What it loses still comes out, marked as lost, so that a scenario can tell what was never sent from what never arrived.

use std::cmp::{Ordering, Reverse};
use std::collections::{BinaryHeap, HashMap};
use std::hash::Hash;
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

/// Losses that come in a row: the Gilbert model, where nothing arrives during a burst.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bursts {
    /// The chance that a datagram begins a burst, 0 to 1.
    pub begin: f64,
    /// The chance that a datagram is a burst's last, 0 to 1.
    pub end: f64,
}

/// How bad the network is, each way.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Conditions {
    /// The share of datagrams lost, 0 to 1.
    pub loss: f64,
    /// Losses in a row, on top of the others.
    pub bursts: Option<Bursts>,
    /// The share that comes twice, 0 to 1.
    pub repeats: f64,
    /// The time that every datagram takes.
    pub delay: Duration,
    /// The most that one takes longer; with more than the datagrams' spacing they overtake each other.
    pub jitter: Duration,
}

impl Conditions {
    /// Nothing is lost and everything takes 10 ms.
    pub const GOOD: Self =
        Self { loss: 0.0, bursts: None, repeats: 0.0, delay: Duration::from_millis(10), jitter: Duration::ZERO };
}

/// A datagram at the end of its way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery<T> {
    /// Which way it went.
    pub way: T,
    /// Its bytes.
    pub datagram: Vec<u8>,
    /// What its sender knows it by.
    pub mark: Option<usize>,
    /// Whether the network has lost it: then this is when it would have come.
    pub is_lost: bool,
}

/// Datagrams under way; `T` names the ways.
pub struct Network<T> {
    conditions: Conditions,
    /// Ways that differ from the others.
    lines: HashMap<T, Conditions>,
    /// Ways in the midst of a burst.
    bursts: HashMap<T, bool>,
    random: StdRng,
    under_way: BinaryHeap<Reverse<UnderWay<T>>>,
    sent: u64,
}

struct UnderWay<T> {
    at: Instant,
    number: u64,
    delivery: Delivery<T>,
}

impl<T> UnderWay<T> {
    fn order(&self) -> (Instant, u64) {
        (self.at, self.number)
    }
}

impl<T> PartialEq for UnderWay<T> {
    fn eq(&self, other: &Self) -> bool {
        self.order() == other.order()
    }
}

impl<T> Eq for UnderWay<T> {}

impl<T> PartialOrd for UnderWay<T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> Ord for UnderWay<T> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.order().cmp(&other.order())
    }
}

impl<T: Clone + Eq + Hash> Network<T> {
    /// Makes an empty network.
    pub fn new(seed: u64, conditions: Conditions) -> Self {
        Self {
            conditions,
            lines: HashMap::new(),
            bursts: HashMap::new(),
            random: StdRng::seed_from_u64(seed),
            under_way: BinaryHeap::new(),
            sent: 0,
        }
    }

    /// Changes how bad it is for what is sent from now on, on every way.
    pub fn set_conditions(&mut self, conditions: Conditions) {
        self.conditions = conditions;
        self.lines.clear();
        self.bursts.clear();
    }

    /// Changes how bad one way is for what is sent on it from now on.
    pub fn set_line(&mut self, way: T, conditions: Conditions) {
        self.bursts.remove(&way);
        self.lines.insert(way, conditions);
    }

    /// Sends a datagram that its sender knows by `mark`.
    pub fn send(&mut self, now: Instant, way: T, datagram: &[u8], mark: Option<usize>) {
        let conditions = self.lines.get(&way).copied().unwrap_or(self.conditions);
        let is_lost = self.random.random_bool(conditions.loss) | self.is_in_burst(&way, conditions.bursts);
        let copies = 1 + u32::from(!is_lost && self.random.random_bool(conditions.repeats));
        for _ in 0..copies {
            let late = conditions.jitter.mul_f64(self.random.random::<f64>());
            let delivery = Delivery { way: way.clone(), datagram: datagram.to_vec(), mark, is_lost };
            let number = self.sent;
            self.under_way.push(Reverse(UnderWay { at: now + conditions.delay + late, number, delivery }));
            self.sent += 1;
        }
    }

    fn is_in_burst(&mut self, way: &T, bursts: Option<Bursts>) -> bool {
        let Some(Bursts { begin, end }) = bursts else { return false };
        let is_in_burst =
            self.bursts.get(way).is_some_and(|is_in_burst| *is_in_burst) || self.random.random_bool(begin);
        self.bursts.insert(way.clone(), is_in_burst && !self.random.random_bool(end));
        is_in_burst
    }

    /// When the next datagram arrives.
    pub fn next_at(&self) -> Option<Instant> {
        self.under_way.peek().map(|Reverse(next)| next.at)
    }

    /// Takes out a datagram that has arrived, or would have, by `now`.
    pub fn receive(&mut self, now: Instant) -> Option<Delivery<T>> {
        if self.next_at()? > now {
            return None;
        }
        self.under_way.pop().map(|Reverse(next)| next.delivery)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Which of `count` datagrams are lost.
    fn losses(conditions: Conditions, count: usize) -> Vec<bool> {
        let now = Instant::now();
        let mut network = Network::new(1, conditions);
        for mark in 0..count {
            network.send(now, (), &[], Some(mark));
        }
        std::iter::from_fn(|| network.receive(now + Duration::from_secs(1))).map(|delivery| delivery.is_lost).collect()
    }

    #[test]
    fn bursts_have_the_length_and_the_share_that_their_chances_give() {
        let bursts = Some(Bursts { begin: 0.02, end: 0.2 });
        let losses = losses(Conditions { bursts, ..Conditions::GOOD }, 50_000);
        let lost = losses.iter().filter(|is_lost| **is_lost).count();
        let begun = losses.windows(2).filter(|pair| !pair[0] && pair[1]).count();
        let (length, share) = (lost as f64 / begun as f64, lost as f64 / losses.len() as f64);
        assert!((4.5..5.6).contains(&length), "{length}");
        assert!((0.08..0.10).contains(&share), "{share}");
    }

    #[test]
    fn one_way_can_be_worse_than_the_others() {
        let now = Instant::now();
        let mut network = Network::new(1, Conditions::GOOD);
        network.set_line("bad", Conditions { loss: 1.0, ..Conditions::GOOD });
        network.send(now, "bad", b"1", Some(7));
        network.send(now, "good", b"2", None);
        let deliveries: Vec<_> = std::iter::from_fn(|| network.receive(now + Conditions::GOOD.delay)).collect();
        let expected = [("bad", b"1", Some(7), true), ("good", b"2", None, false)];
        let expected =
            expected.map(|(way, datagram, mark, is_lost)| Delivery { way, datagram: datagram.to_vec(), mark, is_lost });
        assert_eq!(deliveries, expected);
    }
}
