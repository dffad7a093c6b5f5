//! Lists of staged copies, one a destination, in one preallocated array.

/// Copies that can be staged at one time: those of a turn, and of one more packet that the largest room listens to.
pub const STAGED_MAX: usize = 12_800;

const END: u32 = u32::MAX;

/// A copy to be made: which packet of the input, for which consumer. `C` is the shard's key of a consumer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Staged<C> {
    /// The packet's place among the turn's incoming ones.
    pub incoming: u32,
    /// Who gets the copy.
    pub consumer: C,
}

#[derive(Clone, Copy, Debug)]
struct Entry<C> {
    staged: Staged<C>,
    next: u32,
}

/// A destination's list, empty between turns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Queue {
    first: u32,
    last: u32,
}

impl Default for Queue {
    fn default() -> Self {
        Self { first: END, last: END }
    }
}

impl Queue {
    /// Whether nothing is staged for the destination.
    pub fn is_empty(&self) -> bool {
        self.first == END
    }
}

/// All staged copies, and which destinations have some. `D` is the shard's key of a destination.
#[derive(Debug)]
pub struct Staging<D, C> {
    entries: Vec<Entry<C>>,
    destinations: Vec<D>,
    next_destination: usize,
}

impl<D: Copy, C: Copy> Staging<D, C> {
    /// Makes an empty staging for `destinations` destinations at most; the only allocation it ever makes.
    pub fn with_capacity(destinations: usize) -> Self {
        Self {
            entries: Vec::with_capacity(STAGED_MAX),
            destinations: Vec::with_capacity(destinations),
            next_destination: 0,
        }
    }

    /// How many copies are staged.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether nothing is staged for anyone.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Stages one copy at the end of the `queue` of `destination`; at most [`STAGED_MAX`] at one time.
    pub fn push(&mut self, destination: D, queue: &mut Queue, staged: Staged<C>) {
        debug_assert!(self.entries.len() < STAGED_MAX);
        // STAGED_MAX fits 32 bits.
        let place = self.entries.len() as u32;
        self.entries.push(Entry { staged, next: END });
        if queue.is_empty() {
            queue.first = place;
            self.destinations.push(destination);
        } else if let Some(last) = self.entries.get_mut(queue.last as usize) {
            last.next = place;
        }
        queue.last = place;
    }

    /// The destination whose copies are next, until [`Self::finish_destination`]; `None` when all are done.
    pub fn destination(&self) -> Option<D> {
        self.destinations.get(self.next_destination).copied()
    }

    /// That destination and those behind it, `count` at most; none unless it is the first or a multiple of `count` behind it.
    pub fn next_group(&self, count: usize) -> &[D] {
        let rest = self.destinations.get(self.next_destination..).unwrap_or_default();
        if self.next_destination.is_multiple_of(count) { &rest[..count.min(rest.len())] } else { &[] }
    }

    /// The copy at the front of `queue`.
    pub fn front(&self, queue: &Queue) -> Option<Staged<C>> {
        self.entries.get(queue.first as usize).map(|entry| entry.staged)
    }

    /// The copies of `queue`, in their order.
    pub fn copies(&self, queue: &Queue) -> impl Iterator<Item = Staged<C>> + '_ {
        let entry = |place: u32| self.entries.get(place as usize);
        std::iter::successors(entry(queue.first), move |before| entry(before.next)).map(|entry| entry.staged)
    }

    /// The copy behind the front of `queue`, if another consumer gets it.
    pub fn next_of_another(&self, queue: &Queue) -> Option<Staged<C>>
    where
        C: PartialEq,
    {
        let front = self.entries.get(queue.first as usize)?;
        let next = self.entries.get(front.next as usize)?;
        (next.staged.consumer != front.staged.consumer).then_some(next.staged)
    }

    /// Puts the copy behind the front of `queue` before it.
    pub fn swap_front(&mut self, queue: &Queue) {
        let Some(front) = self.entries.get(queue.first as usize) else { return };
        let places = [queue.first as usize, front.next as usize];
        if let Ok([front, next]) = self.entries.get_disjoint_mut(places) {
            std::mem::swap(&mut front.staged, &mut next.staged);
        }
    }

    /// Takes the copy at the front of `queue` out.
    pub fn pop(&self, queue: &mut Queue) {
        let next = self.entries.get(queue.first as usize).map_or(END, |entry| entry.next);
        *queue = if next == END { Queue::default() } else { Queue { first: next, ..*queue } };
    }

    /// Goes on to the next destination.
    pub fn finish_destination(&mut self) {
        self.next_destination += 1;
    }

    /// Forgets everything, once every queue is empty.
    pub fn clear(&mut self) {
        self.entries.clear();
        self.destinations.clear();
        self.next_destination = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_come_back_by_destination_in_the_order_of_their_staging() {
        let mut staging = Staging::with_capacity(3);
        let mut queues = [Queue::default(); 3];
        for (incoming, destination) in [(0, 2), (0, 0), (1, 2), (2, 0), (2, 2)] {
            let staged = Staged { incoming, consumer: destination * 10 };
            staging.push(destination, &mut queues[destination], staged);
        }
        let mut order = Vec::new();
        while let Some(destination) = staging.destination() {
            while let Some(staged) = staging.front(&queues[destination]) {
                order.push((destination, staged.incoming));
                staging.pop(&mut queues[destination]);
            }
            staging.finish_destination();
        }
        assert_eq!(order, [(2, 0), (2, 1), (2, 2), (0, 0), (0, 2)]);
        assert!(queues.iter().all(Queue::is_empty));
        staging.clear();
        assert_eq!(staging.destination(), None);
    }

    #[test]
    fn a_copy_goes_before_the_front_of_another_consumer_only() {
        let mut staging = Staging::with_capacity(1);
        let mut queue = Queue::default();
        for (incoming, consumer) in [(0, 'a'), (1, 'b'), (2, 'b')] {
            staging.push((), &mut queue, Staged { incoming, consumer });
        }
        assert_eq!(staging.next_of_another(&queue), Some(Staged { incoming: 1, consumer: 'b' }));
        staging.swap_front(&queue);
        let order: Vec<u32> = staging.copies(&queue).map(|staged| staged.incoming).collect();
        assert_eq!(order, [1, 0, 2]);
        staging.pop(&mut queue);
        staging.pop(&mut queue);
        assert_eq!(staging.next_of_another(&queue), None, "there is none behind it");
        staging.swap_front(&queue);
        assert_eq!(staging.front(&queue), Some(Staged { incoming: 2, consumer: 'b' }));
        let mut queue = Queue::default();
        for incoming in 0..2 {
            staging.push((), &mut queue, Staged { incoming, consumer: 'b' });
        }
        assert_eq!(staging.next_of_another(&queue), None, "one consumer's copies keep their order");
    }
}
