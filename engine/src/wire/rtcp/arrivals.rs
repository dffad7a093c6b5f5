//! When packets arrived, as transport-wide congestion control says it: a status for each packet, many to a chunk, and
//! behind the chunks the times between arrivals (draft-holmer-rmcat-transport-wide-cc-extensions-01, section 3.1).
//!
//! Chunks are made from front to back, each of the kind that covers most statuses: a run of one of them, or a vector of
//! fourteen of one bit or of seven of two. Every chunk has two bytes, so a shorter one now never pays later.

use std::iter;
use std::time::Duration;

use super::writer::Body;
use crate::wire::sequence::SeqNo;

/// Times between arrivals are told in ticks (section 3.1.5).
const TICK: Duration = Duration::from_micros(250);

/// Ticks in the unit of the reference time, 64 ms (section 3.1).
const REFERENCE_TICKS: u64 = 256;

/// Statuses that one packet counts, in 16 bits.
const STATUSES_MAX: usize = u16::MAX as usize;

/// Statuses of the longest run: its length has 13 bits (section 3.1.3).
const RUN_MAX: usize = (1 << 13) - 1;

/// Statuses of a vector of one bit each, and of two; its highest bits say which (section 3.1.4).
const SHORT_VECTOR_LEN: usize = 14;
const LONG_VECTOR_LEN: usize = 7;
const SHORT_VECTOR: u16 = 0b10 << 14;
const LONG_VECTOR: u16 = 0b11 << 14;

/// Bytes of a chunk.
const CHUNK_LEN: usize = 2;

/// How a packet arrived, as its symbol (section 3.1.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Status {
    Missing = 0,
    /// With a time of one byte: up to 63.75 ms after the one before.
    Small = 1,
    /// With a time of two bytes: later, or earlier than the one before.
    Large = 2,
}

impl Status {
    fn of(delta: Option<i64>) -> Self {
        match delta {
            None => Self::Missing,
            Some(delta) if u8::try_from(delta).is_ok() => Self::Small,
            Some(_) => Self::Large,
        }
    }

    /// Bytes of the time that goes with it.
    fn delta_len(self) -> usize {
        match self {
            Self::Missing => 0,
            Self::Small => 1,
            Self::Large => 2,
        }
    }
}

/// The ticks from the reference time to the first arrival, and from each arrival to the next; `None` for a packet that did
/// not arrive.
#[derive(Clone)]
struct Deltas<'a> {
    arrivals: iter::Copied<std::slice::Iter<'a, Option<Duration>>>,
    last_ticks: u64,
}

impl Iterator for Deltas<'_> {
    type Item = Option<i64>;

    fn next(&mut self) -> Option<Option<i64>> {
        let Some(arrival) = self.arrivals.next()? else { return Some(None) };
        let ticks = ticks(arrival);
        let delta = ticks.wrapping_sub(self.last_ticks) as i64;
        self.last_ticks = ticks;
        Some(Some(delta))
    }
}

/// Writes what follows the SSRCs, of as many packets from the front of `arrivals` as one feedback can tell and `body` has
/// room for, and returns their number; `None` where no arrival would be among them.
pub(super) fn write(body: &mut Body<'_>, count: u8, base: SeqNo, arrivals: &[Option<Duration>]) -> Option<usize> {
    let arrivals = &arrivals[..arrivals.len().min(STATUSES_MAX)];
    let reference = ticks(arrivals.iter().copied().flatten().next()?) / REFERENCE_TICKS;
    let deltas = |arrivals| Deltas { arrivals, last_ticks: reference * REFERENCE_TICKS };
    // A time has 16 bits with its sign. The first always fits; where another does not, this feedback ends before it.
    let fits = |delta: Option<i64>| delta.is_none_or(|delta| i16::try_from(delta).is_ok());
    let statuses_max = deltas(arrivals.iter().copied()).take_while(|&delta| fits(delta)).count();
    let deltas = deltas(arrivals[..statuses_max].iter().copied());

    body.bytes(&base.0.to_be_bytes())?;
    let statuses_at = body.len();
    body.bytes(&[0; 2])?;
    // The reference time has 24 bits and wraps after twelve days.
    body.word((reference as u32) << 8 | u32::from(count))?;
    let statuses = write_chunks(body, deltas.clone())?;
    body.overwrite(statuses_at, &(statuses as u16).to_be_bytes())?;
    let mut arrived = 0;
    for delta in deltas.take(statuses).flatten() {
        arrived += 1;
        match u8::try_from(delta) {
            Ok(small) => body.bytes(&[small])?,
            Err(_) => body.bytes(&(delta as i16).to_be_bytes())?,
        }
    }
    body.fill_word()?;
    (arrived > 0).then_some(statuses)
}

/// Writes the chunks of as many statuses as there is room for, with the deltas that go behind, and returns their number.
fn write_chunks(body: &mut Body<'_>, mut deltas: Deltas<'_>) -> Option<usize> {
    // Whole words, so that what fills up the last one fits too.
    let mut room = body.room_len();
    let mut written = 0;
    while let Some(deltas_room) = room.checked_sub(CHUNK_LEN) {
        // Where this ends early, less than a chunk's room is left, so that no other follows one that is not full.
        let statuses = deltas.clone().map(Status::of).scan(deltas_room, |room, status| {
            *room = room.checked_sub(status.delta_len())?;
            Some(status)
        });
        let (chunk, len) = chunk(&statuses);
        if len == 0 {
            break;
        }
        body.bytes(&chunk.to_be_bytes())?;
        room = deltas_room - statuses.take(len).map(Status::delta_len).sum::<usize>();
        deltas.by_ref().take(len).for_each(drop);
        written += len;
    }
    Some(written)
}

/// The chunk that covers most of the `statuses` from their front, and how many it covers.
fn chunk(statuses: &(impl Iterator<Item = Status> + Clone)) -> (u16, usize) {
    let Some(first) = statuses.clone().next() else { return (0, 0) };
    let run = statuses.clone().take(RUN_MAX).take_while(|&status| status == first).count();
    let is_short = !statuses.clone().take(SHORT_VECTOR_LEN).any(|status| status == Status::Large);
    let (kind, bits, len) =
        if is_short { (SHORT_VECTOR, 1, SHORT_VECTOR_LEN) } else { (LONG_VECTOR, 2, LONG_VECTOR_LEN) };
    let vector = statuses.clone().take(len);
    let covered = vector.clone().count();
    if run >= covered {
        return ((first as u16) << 13 | run as u16, run);
    }
    // The first status stands highest; what the last vector has over is 0.
    let places = (0..len).rev().map(|place| bits * place);
    (vector.zip(places).fold(kind, |chunk, (status, place)| chunk | (status as u16) << place), covered)
}

/// The ticks from the epoch to `arrival`. They wrap after a hundred million years, and nothing here minds.
fn ticks(arrival: Duration) -> u64 {
    let per_second = u64::from(1_000_000_000 / TICK.subsec_nanos());
    arrival.as_secs().wrapping_mul(per_second).wrapping_add(u64::from(arrival.subsec_nanos() / TICK.subsec_nanos()))
}
