//! Whether payloads look encrypted: a hint, from how evenly their bytes are spread.
//!
//! The front of a payload tells best: a table of contents or a descriptor has a few values, of an encrypted one every value
//! comes as often as any other. Where a static payload type has samples from the first byte on, all bytes are looked at.

use crate::codec::Kind;
use crate::static_payload;
use crate::stream::CapturedPacket;

/// Packets before their first bytes tell something.
const PACKETS_MIN: usize = 16;

/// Packets that are looked at; more tell nothing new.
const PACKETS_LOOKED_AT: usize = 512;

/// The share of the different first bytes that random ones would show, of which an encrypted stream has at least this.
const SPREAD_MIN: f64 = 0.8;

/// Bits of information a byte that samples do not reach, not even loud ones; encrypted ones do, of as many bytes.
const SAMPLE_ENTROPY_MAX: f64 = 7.9;
const SAMPLES_MIN: usize = 4_096;

/// Whether the payloads of the packets of `payload_type` look encrypted; unknown where there are too few.
pub(crate) fn looks_encrypted(packets: &[CapturedPacket], payload_type: u8) -> Option<bool> {
    let payloads = || {
        let own = packets.iter().filter(|packet| packet.payload_type == payload_type && !packet.payload.is_empty());
        own.take(PACKETS_LOOKED_AT).map(|packet| packet.payload.as_ref())
    };
    let has_samples = static_payload::of(payload_type).is_some_and(|known| known.kind == Kind::Audio);
    if has_samples {
        let counts = histogram(payloads().flatten().copied());
        return entropy(&counts).map(|bits| bits > SAMPLE_ENTROPY_MAX);
    }
    let packets = payloads().count();
    if packets < PACKETS_MIN {
        return None;
    }
    // What n random bytes show of 256 values.
    let expected = 256.0 * (1.0 - (255.0f64 / 256.0).powf(packets as f64));
    let counts = histogram(payloads().filter_map(|payload| payload.first().copied()));
    let shown = counts.iter().filter(|&&count| count > 0).count();
    Some(shown as f64 >= SPREAD_MIN * expected)
}

fn histogram(bytes: impl Iterator<Item = u8>) -> [u32; 256] {
    let mut counts = [0; 256];
    bytes.for_each(|byte| counts[usize::from(byte)] += 1);
    counts
}

/// Bits a byte, where there are enough.
fn entropy(counts: &[u32; 256]) -> Option<f64> {
    let total: u32 = counts.iter().sum();
    if (total as usize) < SAMPLES_MIN {
        return None;
    }
    let total = f64::from(total);
    let shares = counts.iter().filter(|&&count| count > 0).map(|&count| f64::from(count) / total);
    Some(shares.map(|share| -share * share.log2()).sum())
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::stream::tests::noise;

    fn looks(payload_type: u8, count: u64, payload: impl Fn(u64) -> Vec<u8>) -> Option<bool> {
        let packet = |place| CapturedPacket {
            at_ns: 0,
            place,
            ticks: place * 960,
            marker: false,
            payload_type,
            payload: Bytes::from(payload(place)),
        };
        let packets: Vec<_> = (0..count).map(packet).collect();
        looks_encrypted(&packets, payload_type)
    }

    #[test]
    fn a_steady_front_is_clear_and_an_even_spread_is_not() {
        for seed in 0..20 {
            let encrypted = |place| noise(seed << 32 | place, 80);
            let clear = |place| [&[0x78 | (place % 3) as u8][..], &encrypted(place)].concat();
            assert_eq!(looks(111, 16, encrypted), Some(true), "{seed}");
            assert_eq!(looks(111, 500, encrypted), Some(true), "{seed}");
            assert_eq!(looks(111, 16, clear), Some(false), "{seed}");
            assert_eq!(looks(111, 500, clear), Some(false), "{seed}");
            assert_eq!(looks(111, 15, encrypted), None, "{seed}");
        }
    }

    #[test]
    fn samples_are_judged_by_all_bytes() {
        // A loud tone, companded: all values come, but not evenly.
        let samples = |place: u64| {
            (0..160).map(|n| 127.0 * ((place * 160 + n) as f64 / 7.3).sin()).map(|level| level as i8 as u8).collect()
        };
        assert_eq!(looks(0, 100, samples), Some(false));
        assert_eq!(looks(0, 100, |place| noise(place, 160)), Some(true));
        assert_eq!(looks(0, 20, samples), None);
    }
}
