//! What a decoder may see, strictly: all that the service sent to one receiver, put in the order of its numbers.
//!
//! [`judge`] knows what was published, packet by packet, so it can tell what the service must not do: give one number to
//! two packets or one packet two numbers, hide a loss, join what does not belong together, begin anywhere but at a key
//! frame, or let time or picture ids jump. What the network lost on the service's way may be missing, and nothing else.
//!
//! It looks at what was sent, be it lost afterwards. What a receiver could decode of what arrived is in the [`Verdict`].

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use shard_protocol::tables::PayloadFormat;

use crate::label::{Label, Picture};
use crate::publisher::Publisher;
use crate::receiver::{Arrival, Receiver};
use crate::{payload, tables};

/// What a receiver got, where nothing was wrong with it.
#[derive(Clone, Debug, Default)]
pub struct Verdict {
    /// Frames that it could decode, in their order: whole, and with all frames before them back to a key frame.
    pub decoded: Vec<Decoded>,
    /// The packets after which something else went on, with its key frame: numbers of the publisher there, and then.
    pub breaks: Vec<(Label, Label)>,
    /// The first packet that was sent to it.
    pub first: Option<Label>,
    /// Numbers that were never sent, because their packets never reached the service, or too late.
    pub missing: u64,
}

/// A frame that could be decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decoded {
    /// Its last packet.
    pub label: Label,
    /// When it and all before it were there.
    pub at: Instant,
}

/// A packet in its place: number, label and picture.
#[derive(Clone, Copy, Debug)]
struct Place<'a> {
    arrival: &'a Arrival,
    label: Label,
    picture: Option<Picture>,
}

/// Judges what `receiver` was sent of `publisher`. Over a break, the time told may differ by `slack` from the time that
/// passed.
pub fn judge(publisher: &Publisher, receiver: &Receiver, slack: Duration) -> Result<Verdict, String> {
    if let Some(fault) = receiver.faults.first() {
        return Err(fault.clone());
    }
    let in_order = in_order(&receiver.arrivals)?;
    let mut verdict = Verdict::default();
    let mut judge =
        Judge { format: receiver.format(), key_frames: key_frames(publisher), slack, places: HashMap::new() };
    let mut newest: Option<Place<'_>> = None;
    let mut padding = 0;
    for arrival in in_order.values() {
        let Some((label, picture)) = arrival.content else {
            judge.on_padding(newest, arrival)?;
            padding += 1;
            continue;
        };
        if label.publisher != publisher.setup().number {
            return Err(format!("a packet of another publisher: {label:?}"));
        }
        let place = Place { arrival, label, picture };
        judge.on_packet(place)?;
        match newest {
            None => verdict.first = Some(label),
            Some(before) => {
                let missing = arrival.sequence - before.arrival.sequence - 1 - padding;
                verdict.missing += missing;
                if judge.on_pair(before, place, missing)? {
                    verdict.breaks.push((before.label, label));
                }
            }
        }
        newest = Some(place);
        padding = 0;
    }
    verdict.decoded = decoded(&receiver.arrivals, &in_order);
    Ok(verdict)
}

/// All packets by their numbers; one that came twice came alike.
fn in_order(arrivals: &[Arrival]) -> Result<BTreeMap<u64, &Arrival>, String> {
    let mut in_order: BTreeMap<u64, &Arrival> = BTreeMap::new();
    for arrival in arrivals {
        let first = *in_order.entry(arrival.sequence).or_insert(arrival);
        let content = |arrival: &Arrival| (arrival.timestamp, arrival.marker, arrival.payload.clone());
        if content(first) != content(arrival) {
            return Err(format!("number {} with two contents: {first:?}, {arrival:?}", arrival.sequence));
        }
    }
    Ok(in_order)
}

/// Where key frames begin in each stream, in ascending order.
fn key_frames(publisher: &Publisher) -> HashMap<(u8, u8), Vec<u32>> {
    let mut key_frames: HashMap<_, Vec<u32>> = HashMap::new();
    for published in publisher.log.iter().filter(|published| !published.is_padding) {
        if published.label.starts_key_frame() {
            key_frames.entry(published.label.stream()).or_default().push(published.label.index);
        }
    }
    key_frames
}

struct Judge {
    format: PayloadFormat,
    key_frames: HashMap<(u8, u8), Vec<u32>>,
    slack: Duration,
    /// The number that each packet has.
    places: HashMap<((u8, u8), u32), u64>,
}

impl Judge {
    fn on_padding(&self, before: Option<Place<'_>>, padding: &Arrival) -> Result<(), String> {
        let Some(before) = before else { return Err("padding comes before the first key frame".into()) };
        if (padding.timestamp.wrapping_sub(before.arrival.timestamp) as i32) < 0 || padding.marker {
            return Err(format!("padding {padding:?} goes back behind {:?}, or has a marker", before.arrival));
        }
        Ok(())
    }

    /// What holds for one packet alone.
    fn on_packet(&mut self, place: Place<'_>) -> Result<(), String> {
        let Place { arrival, label, .. } = place;
        let sequence = arrival.sequence;
        if self.places.is_empty() && !label.starts_key_frame() {
            return Err(format!("the first packet starts no key frame: {label:?}"));
        }
        if let Some(other) = self.places.insert((label.stream(), label.index), sequence) {
            return Err(format!("one packet has the numbers {other} and {sequence}: {label:?}"));
        }
        let ends_frame = label.ends_frame() && self.format != PayloadFormat::Opus;
        if arrival.marker != ends_frame {
            return Err(format!("the marker of number {sequence} is {}: {label:?}", arrival.marker));
        }
        Ok(())
    }

    /// What holds between two packets with `missing` numbers between them that were never sent; whether there is a break.
    fn on_pair(&self, before: Place<'_>, after: Place<'_>, missing: u64) -> Result<bool, String> {
        let steps = after.arrival.sequence - before.arrival.sequence;
        let is_one_stream = before.label.stream() == after.label.stream();
        let published = i64::from(after.label.index) - i64::from(before.label.index);
        let fault = |what: &str| {
            Err(format!("{what}, over {missing} missing numbers:\n{:?}\n{:?}", before.arrival, after.arrival))
        };
        let key_frame = self.newest_key_frame(after.label);
        if is_one_stream && published == steps as i64 {
            // A break in what is missing that left no trace cannot be told from a loss.
            if missing > 0 && key_frame.is_some_and(|index| index > before.label.index) {
                return Ok(false);
            }
            return match self.follows(before, after) {
                true => Ok(false),
                false => fault("times or pictures do not follow each other as they were published"),
            };
        }
        let Some(index) = key_frame.filter(|index| !is_one_stream || *index > before.label.index) else {
            return fault("packets that do not follow each other and no key frame between them");
        };
        if u64::from(after.label.index - index) > missing {
            return fault("packets that do not follow each other and no room for the key frame between them");
        }
        if !self.is_time_sane(before, after) {
            return fault("time jumps over a break");
        }
        if !self.are_pictures_sane(before, after, missing) {
            return fault("picture ids jump over a break");
        }
        Ok(true)
    }

    /// Where the newest key frame at or before a packet begins.
    fn newest_key_frame(&self, label: Label) -> Option<u32> {
        let starts = self.key_frames.get(&label.stream())?;
        let later = starts.partition_point(|index| *index <= label.index);
        starts[..later].last().copied()
    }

    /// Whether times and pictures differ as the publisher's do.
    fn follows(&self, before: Place<'_>, after: Place<'_>) -> bool {
        let ticks = |a: u32, b: u32| b.wrapping_sub(a);
        let pictures = |a: Picture, b: Picture| (b.id.wrapping_sub(a.id) & 0x7fff, b.base.wrapping_sub(a.base));
        ticks(before.arrival.timestamp, after.arrival.timestamp) == ticks(before.label.timestamp, after.label.timestamp)
            && before
                .picture
                .zip(after.picture)
                .is_none_or(|(one, other)| pictures(one, other) == pictures(before.label.picture, after.label.picture))
    }

    /// Whether time goes on over a break, about as much as it did.
    fn is_time_sane(&self, before: Place<'_>, after: Place<'_>) -> bool {
        let ticks = after.arrival.timestamp.wrapping_sub(before.arrival.timestamp) as i32;
        let told = f64::from(ticks) / f64::from(tables::clock_rate_hz(self.format));
        let passed = after.label.captured.as_secs_f64() - before.label.captured.as_secs_f64();
        ticks > 0 && (told - passed).abs() <= self.slack.as_secs_f64()
    }

    /// Whether picture ids go on over a break, by one where nothing is missing.
    fn are_pictures_sane(&self, before: Place<'_>, after: Place<'_>, missing: u64) -> bool {
        if !payload::has_pictures(self.format) {
            return before.picture.is_none() && after.picture.is_none();
        }
        let Some((before, after)) = before.picture.zip(after.picture) else { return false };
        let ids = u64::from(after.id.wrapping_sub(before.id) & 0x7fff);
        let bases = u64::from(after.base.wrapping_sub(before.base));
        // No frame has less than one packet.
        (1..=missing + 1).contains(&ids) && (1..=missing + 1).contains(&bases)
    }
}

/// The frames that can be decoded of what arrived.
fn decoded(arrivals: &[Arrival], in_order: &BTreeMap<u64, &Arrival>) -> Vec<Decoded> {
    let mut came_at: HashMap<u64, Instant> = HashMap::new();
    for arrival in arrivals.iter().filter(|arrival| !arrival.is_lost) {
        came_at.entry(arrival.sequence).or_insert(arrival.at);
    }
    let mut decoded: Vec<Decoded> = Vec::new();
    // The frame under way: how many of its packets are there, and when the last of them came.
    let mut whole: u16 = 0;
    let mut at: Option<Instant> = None;
    for (sequence, arrival) in in_order {
        let (Some((label, _)), Some(came_at)) = (arrival.content, came_at.get(sequence)) else { continue };
        if label.packet == 0 {
            (whole, at) = (0, None);
        }
        whole += u16::from(whole == label.packet);
        at = at.max(Some(*came_at));
        if whole < label.packets || !label.ends_frame() {
            continue;
        }
        let before = decoded.last().copied();
        let continues = before
            .is_some_and(|before| before.label.stream() == label.stream() && before.label.frame + 1 == label.frame);
        if let Some(at) = at.filter(|_| label.is_key || continues) {
            decoded.push(Decoded { label, at: before.map_or(at, |before| before.at.max(at)) });
        }
    }
    decoded
}

#[cfg(test)]
mod tests;
