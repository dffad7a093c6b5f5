//! What a virtual publisher writes into each of its packets, so that a receiver can prove what it got.

use std::time::Duration;

/// Bytes of a label.
pub(crate) const LABEL_LEN: usize = 31;

/// A packet's place in what was published.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Label {
    /// Whose packet this is.
    pub publisher: u16,
    /// Which of the publisher's encodings, lowest quality first.
    pub encoding: u8,
    /// How often the publisher had begun anew, with another SSRC.
    pub run: u8,
    /// The packet's place in its run, padding counted, from 0.
    pub index: u32,
    /// The frame's place in its run, from 0.
    pub frame: u32,
    /// The packet's place in its frame, from 0.
    pub packet: u16,
    /// How many packets the frame has.
    pub packets: u16,
    /// Whether the frame needs no other.
    pub is_key: bool,
    /// The publisher's RTP timestamp.
    pub timestamp: u32,
    /// The publisher's picture id and the index of its base layer, where the format has them.
    pub picture: Picture,
    /// When the frame was captured, since the world began.
    pub captured: Duration,
}

/// How VP8 and VP9 number frames.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Picture {
    /// The picture id, of 15 bits.
    pub id: u16,
    /// TL0PICIDX: the last frame of the lowest temporal layer.
    pub base: u8,
}

impl Label {
    /// The stream that the packet belongs to: encoding and run.
    pub fn stream(&self) -> (u8, u8) {
        (self.encoding, self.run)
    }

    /// Whether the packet is the first of a frame that needs no other.
    pub fn starts_key_frame(&self) -> bool {
        self.is_key && self.packet == 0
    }

    /// Whether the packet is the last of its frame.
    pub fn ends_frame(&self) -> bool {
        self.packet + 1 == self.packets
    }

    /// Writes the label, and after it bytes that follow from it, `len` in all.
    pub fn write(&self, out: &mut Vec<u8>, len: usize) {
        let begin = out.len();
        out.extend(self.publisher.to_be_bytes());
        out.extend([self.encoding, self.run]);
        out.extend(self.index.to_be_bytes());
        out.extend(self.frame.to_be_bytes());
        out.extend(self.packet.to_be_bytes());
        // One field holds both; no frame has 2^15 packets.
        out.extend((self.packets << 1 | u16::from(self.is_key)).to_be_bytes());
        out.extend(self.timestamp.to_be_bytes());
        out.extend(self.picture.id.to_be_bytes());
        out.push(self.picture.base);
        out.extend((self.captured.as_nanos() as u64).to_be_bytes());
        debug_assert_eq!(out.len() - begin, LABEL_LEN);
        out.extend((LABEL_LEN..len).map(|at| self.filling(at)));
    }

    /// Reads a label, and checks every byte after it.
    pub fn read(bytes: &[u8]) -> Result<Self, String> {
        let mut rest = bytes;
        let label = Self {
            publisher: u16::from_be_bytes(take(&mut rest)?),
            encoding: take::<1>(&mut rest)?[0],
            run: take::<1>(&mut rest)?[0],
            index: u32::from_be_bytes(take(&mut rest)?),
            frame: u32::from_be_bytes(take(&mut rest)?),
            packet: u16::from_be_bytes(take(&mut rest)?),
            packets: 0,
            is_key: false,
            timestamp: 0,
            picture: Picture::default(),
            captured: Duration::ZERO,
        };
        let packets = u16::from_be_bytes(take(&mut rest)?);
        let label = Self {
            packets: packets >> 1,
            is_key: packets & 1 != 0,
            timestamp: u32::from_be_bytes(take(&mut rest)?),
            picture: Picture { id: u16::from_be_bytes(take(&mut rest)?), base: take::<1>(&mut rest)?[0] },
            captured: Duration::from_nanos(u64::from_be_bytes(take(&mut rest)?)),
            ..label
        };
        match rest.iter().enumerate().find(|(at, byte)| **byte != label.filling(LABEL_LEN + at)) {
            Some((at, _)) => Err(format!("byte {} of {label:?} is another than was published", LABEL_LEN + at)),
            None => Ok(label),
        }
    }

    /// The byte at `at`, which differs from packet to packet.
    fn filling(&self, at: usize) -> u8 {
        (self.index as u8).wrapping_mul(31) ^ (at as u8).wrapping_mul(7) ^ self.encoding.wrapping_mul(67) ^ self.run
    }
}

fn take<const LEN: usize>(bytes: &mut &[u8]) -> Result<[u8; LEN], String> {
    let (taken, rest) = bytes.split_first_chunk().ok_or("a payload that ends within its label")?;
    *bytes = rest;
    Ok(*taken)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn label() -> Label {
        Label {
            publisher: 300,
            encoding: 2,
            run: 5,
            index: 70_000,
            frame: 66_000,
            packet: 3,
            packets: 9,
            is_key: true,
            timestamp: 0xdead_beef,
            picture: Picture { id: 0x7fff, base: 200 },
            captured: Duration::from_nanos(123_456_789_012),
        }
    }

    #[test]
    fn a_label_reads_as_it_was_written() {
        let mut bytes = Vec::new();
        label().write(&mut bytes, 100);
        assert_eq!(bytes.len(), 100);
        assert_eq!(Label::read(&bytes), Ok(label()));
    }

    #[test]
    fn a_byte_that_was_changed_on_the_way_is_seen_and_so_is_one_that_is_missing() {
        let mut bytes = Vec::new();
        label().write(&mut bytes, 100);
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 1;
            assert_ne!(Label::read(&changed), Ok(label()), "byte {at}");
        }
        for len in 0..LABEL_LEN {
            assert!(Label::read(&bytes[..len]).is_err());
        }
    }
}
