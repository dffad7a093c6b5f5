//! RTP header extension elements in one- and two-byte form, RFC 8285.

use shard_protocol::tables::{HeaderExtension, HeaderExtensionIds};

use super::rtp::{ExtensionBlock, RtpHeader};

const ONE_BYTE_PROFILE: u16 = 0xbede;
const TWO_BYTE_PROFILE: u16 = 0x1000;
/// The lower four bits of a two-byte profile are "appbits", which mean nothing here.
const TWO_BYTE_PROFILE_MASK: u16 = 0xfff0;

/// The highest id of the one-byte form; 15 ends the block.
const ONE_BYTE_ID_MAX: u8 = 14;
/// The longest element of the one-byte form.
const ONE_BYTE_LEN_MAX: usize = 16;

/// Calls `on_element` with the id and the range of each element of `block` in `packet`, until the block ends or an
/// element does not fit; what is malformed ends the walk, as RFC 8285 section 4.1.2 lets a receiver do.
pub fn walk_elements(packet: &[u8], block: ExtensionBlock, mut on_element: impl FnMut(u8, std::ops::Range<usize>)) {
    let is_one_byte = block.profile == ONE_BYTE_PROFILE;
    if !is_one_byte && block.profile & TWO_BYTE_PROFILE_MASK != TWO_BYTE_PROFILE {
        return;
    }
    let end = (block.start + block.len).min(packet.len());
    let mut at = block.start;
    while at < end {
        let first = packet[at];
        if first == 0 {
            // Padding between elements.
            at += 1;
            continue;
        }
        let (id, len, header_len) = if is_one_byte {
            (first >> 4, usize::from(first & 0x0f) + 1, 1)
        } else if at + 1 < end {
            (first, usize::from(packet[at + 1]), 2)
        } else {
            return;
        };
        if is_one_byte && id > ONE_BYTE_ID_MAX {
            return;
        }
        let start = at + header_len;
        if start + len > end {
            return;
        }
        // In the one-byte form, id 0 with a length is skipped by its length (section 4.2).
        if id != 0 {
            on_element(id, start..start + len);
        }
        at = start + len;
    }
}

/// Where the extensions of one packet lie that its stream negotiated; all that the fast path knows of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ExtensionValues {
    places: [(u16, u8); HeaderExtension::COUNT],
    present: u16,
}

impl ExtensionValues {
    /// Finds the extensions of `packet` by the sender's `ids`; of one that stands twice the last counts.
    pub fn parse(packet: &[u8], header: &RtpHeader, ids: &HeaderExtensionIds) -> Self {
        let mut values = Self::default();
        if let Some(block) = header.extension {
            walk_elements(packet, block, |id, range| {
                if let Some(place) = ids.0.iter().position(|&known| known == id) {
                    // A packet is shorter than 65 536 bytes and an element at most 255.
                    values.places[place] = (range.start as u16, range.len() as u8);
                    values.present |= 1 << place;
                }
            });
        }
        values
    }

    /// The bytes of `extension` in the `packet` that was parsed.
    pub fn value<'a>(&self, packet: &'a [u8], extension: HeaderExtension) -> Option<&'a [u8]> {
        let place = extension as usize;
        if self.present & (1 << place) == 0 {
            return None;
        }
        let (start, len) = self.places[place];
        packet.get(usize::from(start)..usize::from(start) + usize::from(len))
    }
}

/// Writes an extension block element by element behind a packet's fixed header.
///
/// Order of the verbs: [`ExtensionWriter::begin`], [`ExtensionWriter::push`] for each element, [`ExtensionWriter::finish`].
pub struct ExtensionWriter<'a> {
    out: &'a mut [u8],
    len: usize,
    is_two_byte: bool,
}

/// Bytes in front of the elements: profile and length.
const BLOCK_HEADER_LEN: usize = 4;

impl<'a> ExtensionWriter<'a> {
    /// Begins a block at the start of `out`. `is_two_byte` where an id is over 14 or an element over 16 bytes or empty.
    pub fn begin(out: &'a mut [u8], is_two_byte: bool) -> Self {
        Self { out, len: BLOCK_HEADER_LEN, is_two_byte }
    }

    /// Appends one element of `len` bytes and returns its room; `None` where it cannot stand in this form or in `out`.
    pub fn push(&mut self, id: u8, len: usize) -> Option<&mut [u8]> {
        let header_len = if self.is_two_byte { 2 } else { 1 };
        let start = self.len + header_len;
        let fits_form =
            if self.is_two_byte { len <= 255 } else { id <= ONE_BYTE_ID_MAX && (1..=ONE_BYTE_LEN_MAX).contains(&len) };
        // The padding to a whole word must fit too.
        if id == 0 || !fits_form || (start + len).next_multiple_of(4) > self.out.len() {
            return None;
        }
        if self.is_two_byte {
            self.out[self.len] = id;
            self.out[self.len + 1] = len as u8;
        } else {
            self.out[self.len] = (id << 4) | (len - 1) as u8;
        }
        self.len = start + len;
        Some(&mut self.out[start..start + len])
    }

    /// Ends the block and returns its bytes with profile and length; 0, and no block, where it has no element.
    pub fn finish(self) -> usize {
        if self.len == BLOCK_HEADER_LEN {
            return 0;
        }
        let end = self.len.next_multiple_of(4);
        self.out[self.len..end].fill(0);
        let profile = if self.is_two_byte { TWO_BYTE_PROFILE } else { ONE_BYTE_PROFILE };
        self.out[..2].copy_from_slice(&profile.to_be_bytes());
        self.out[2..4].copy_from_slice(&(((end - BLOCK_HEADER_LEN) / 4) as u16).to_be_bytes());
        end
    }
}

/// Whether an element can stand in the one-byte form.
pub fn fits_one_byte(id: u8, len: usize) -> bool {
    (1..=ONE_BYTE_ID_MAX).contains(&id) && (1..=ONE_BYTE_LEN_MAX).contains(&len)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::wire::rtp::FIXED_HEADER_LEN;

    fn elements(profile: u16, body: &[u8]) -> Vec<(u8, Vec<u8>)> {
        let block = ExtensionBlock { profile, start: 0, len: body.len() };
        let mut found = Vec::new();
        walk_elements(body, block, |id, range| found.push((id, body[range].to_vec())));
        found
    }

    #[test]
    fn one_byte_elements_are_found_between_padding_until_id_15() {
        let body = [0x10, 7, 0, 0, 0x21, 8, 9, 0xf0, 0x30, 1, 0, 0];
        assert_eq!(elements(ONE_BYTE_PROFILE, &body), [(1, vec![7]), (2, vec![8, 9])]);
    }

    #[test]
    fn two_byte_elements_may_be_empty_and_have_high_ids() {
        let body = [1, 0, 0, 200, 2, 8, 9, 0];
        assert_eq!(elements(0x1005, &body), [(1, vec![]), (200, vec![8, 9])]);
    }

    #[test]
    fn an_element_that_does_not_fit_ends_the_walk() {
        assert_eq!(elements(ONE_BYTE_PROFILE, &[0x10, 7, 0x2f, 1]), [(1, vec![7])]);
        assert_eq!(elements(TWO_BYTE_PROFILE, &[1, 1, 7, 2]), [(1, vec![7])]);
        assert_eq!(elements(0xabcd, &[0x10, 7, 0, 0]), []);
    }

    proptest! {
        #[test]
        fn any_block_is_walked_within_its_bounds(profile: u16, body in prop::collection::vec(any::<u8>(), 0..80)) {
            for profile in [profile, ONE_BYTE_PROFILE, TWO_BYTE_PROFILE] {
                elements(profile, &body);
            }
        }

        #[test]
        fn what_is_written_is_read_again(
            written in prop::collection::vec((1u8..=255, prop::collection::vec(any::<u8>(), 0..30)), 0..8)
        ) {
            let is_two_byte = written.iter().any(|(id, value)| !fits_one_byte(*id, value.len()));
            let mut packet = vec![0; FIXED_HEADER_LEN + 600];
            let mut writer = ExtensionWriter::begin(&mut packet[FIXED_HEADER_LEN..], is_two_byte);
            for (id, value) in &written {
                writer.push(*id, value.len()).unwrap().copy_from_slice(value);
            }
            let len = writer.finish();
            packet[0] = if len == 0 { 0x80 } else { 0x90 };
            packet.truncate(FIXED_HEADER_LEN + len);
            let header = RtpHeader::parse(&packet).unwrap();
            prop_assert_eq!(header.header_len, packet.len());
            let mut read = Vec::new();
            if let Some(block) = header.extension {
                walk_elements(&packet, block, |id, range| read.push((id, packet[range].to_vec())));
            }
            prop_assert_eq!(read, written);
        }
    }

    #[test]
    fn values_are_found_by_the_senders_ids() {
        let mut ids = HeaderExtensionIds::default();
        ids.set(HeaderExtension::AudioLevel, 1);
        ids.set(HeaderExtension::Mid, 4);
        let mut packet = vec![0x90, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xbe, 0xde, 0, 2];
        packet.extend_from_slice(&[0x10, 0x85, 0x31, 9, 9, 0x40, b'0', 0]);
        let header = RtpHeader::parse(&packet).unwrap();
        let values = ExtensionValues::parse(&packet, &header, &ids);
        assert_eq!(values.value(&packet, HeaderExtension::AudioLevel), Some(&[0x85][..]));
        assert_eq!(values.value(&packet, HeaderExtension::Mid), Some(&b"0"[..]));
        assert_eq!(values.value(&packet, HeaderExtension::AbsSendTime), None);
    }
}
