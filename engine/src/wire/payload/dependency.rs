//! The dependency descriptor, appendix A of the RTP payload format for AV1 of the Alliance for Open Media.
//!
//! A frame names one of the templates of a structure that its stream told earlier. That structure is not kept here: layers
//! are known of the packet that brings it, and of no other.

use super::PayloadError;

/// What one descriptor says without those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct DependencyHead {
    /// Whether a frame begins with the packet.
    pub(super) starts_frame: bool,
    /// The frame's layers, where the descriptor brings the structure that names them.
    pub(super) layers: Option<Layers>,
}

/// The layers of one template.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Layers {
    pub(super) spatial: u8,
    pub(super) temporal: u8,
}

/// Bytes of the mandatory fields: two flags and a template's id, and the frame's number.
const MANDATORY_LEN: usize = 3;

/// `start_of_frame`.
const FRAME_START: u8 = 0x80;

/// `frame_dependency_template_id`.
const TEMPLATE: u8 = 0x3f;

/// `template_dependency_structure_present_flag`, the first of the extended fields.
const HAS_STRUCTURE: u8 = 0x80;

/// Bits of the flags before the structure; the others are about decode targets and what the frame has of its own.
const FLAGS_LEN: usize = 5;

/// Templates that a structure can have: their ids are of six bits.
const TEMPLATES_MAX: u32 = 64;

/// The highest layers of AV1, whose units name them in two and three bits (AV1 bitstream specification, section 5.3.3).
const LAYERS_MAX: Layers = Layers { spatial: 3, temporal: 7 };

/// The values of `next_layer_idc`, table A.2.
mod next_layer {
    pub(super) const SAME: u32 = 0;
    pub(super) const TEMPORAL: u32 = 1;
    pub(super) const SPATIAL: u32 = 2;
}

impl DependencyHead {
    /// Reads the value of the extension, as far as the layers of its structure (section A.4.1).
    pub(super) fn read(value: &[u8]) -> Result<Self, PayloadError> {
        let (&[first, _, _], extended) = value.split_first_chunk::<MANDATORY_LEN>().ok_or(PayloadError::Truncated)?;
        let mut layers = None;
        if let [flags, ..] = extended {
            let mut bits = Bits { bytes: extended, at: FLAGS_LEN };
            if flags & HAS_STRUCTURE != 0 {
                layers = Some(read_layers(&mut bits, u32::from(first & TEMPLATE))?);
            }
        }
        Ok(Self { starts_frame: first & FRAME_START != 0, layers })
    }
}

/// Finds the layers of `template` in the structure that follows.
fn read_layers(bits: &mut Bits<'_>, template: u32) -> Result<Layers, PayloadError> {
    let first_template = bits.take(6)?;
    let _decode_targets = bits.take(5)?;
    // Ids wrap.
    let wanted = (template + TEMPLATES_MAX - first_template) % TEMPLATES_MAX;
    let mut layers = Layers::default();
    let mut found = None;
    for index in 0..TEMPLATES_MAX {
        if index == wanted {
            found = Some(layers);
        }
        match bits.take(2)? {
            next_layer::SAME => {}
            next_layer::TEMPORAL => layers.temporal += 1,
            next_layer::SPATIAL => layers = Layers { spatial: layers.spatial + 1, temporal: 0 },
            // No more templates.
            _ => return found.ok_or(PayloadError::Contradiction),
        }
        if layers.spatial > LAYERS_MAX.spatial || layers.temporal > LAYERS_MAX.temporal {
            return Err(PayloadError::Contradiction);
        }
    }
    Err(PayloadError::Contradiction)
}

/// The bits of a descriptor, highest first.
struct Bits<'a> {
    bytes: &'a [u8],
    /// Bits taken so far.
    at: usize,
}

impl Bits<'_> {
    /// Takes `count` bits, at most 16.
    fn take(&mut self, count: usize) -> Result<u32, PayloadError> {
        let mut taken = 0;
        for at in self.at..self.at + count {
            let byte = *self.bytes.get(at / 8).ok_or(PayloadError::Truncated)?;
            taken = taken << 1 | u32::from(byte >> (7 - at % 8) & 1);
        }
        self.at += count;
        Ok(taken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layers(spatial: u8, temporal: u8) -> Option<Layers> {
        Some(Layers { spatial, temporal })
    }

    /// What Chromium sent with the first packet of a key frame, three spatial and three temporal layers.
    const CHROMIUM_L3T3: &str = "c1017280081485214eafffaaaa863cf0430c10c302afc0aaa0063c00430010c002a000a80006000040001d954926\
                                 e082b04a0941b820ac1282503157f974000ca864330e222222eca8655304224230eca877530077004200ef008601\
                                 df010d";

    /// The same of one spatial and three temporal layers.
    const CHROMIUM_L1T3: &str = "80012f800214eaa860414d1410208426";

    fn bytes(hex: &str) -> Vec<u8> {
        (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
    }

    #[test]
    fn a_browsers_structures_name_the_layers_of_each_template() {
        let l3t3 = [(0, 0), (0, 0), (0, 1), (0, 2), (0, 2), (1, 0), (1, 0), (1, 1), (1, 2), (1, 2)]
            .into_iter()
            .chain([(2, 0), (2, 0), (2, 1), (2, 2), (2, 2)]);
        let l1t3 = [(0, 0), (0, 0), (0, 1), (0, 2), (0, 2)];
        let structures: [(&str, Vec<(u8, u8)>); 2] = [(CHROMIUM_L3T3, l3t3.collect()), (CHROMIUM_L1T3, l1t3.to_vec())];
        for (hex, templates) in structures {
            let mut value = bytes(hex);
            for id in 0..=TEMPLATE {
                value[0] = FRAME_START | id;
                let expected = match templates.get(usize::from(id)) {
                    Some(&(spatial, temporal)) => {
                        Ok(DependencyHead { starts_frame: true, layers: layers(spatial, temporal) })
                    }
                    None => Err(PayloadError::Contradiction),
                };
                assert_eq!(DependencyHead::read(&value), expected, "{id}");
            }
        }
    }

    #[test]
    fn a_frame_that_goes_on_has_no_layers_here() {
        for (hex, starts_frame) in [("860173", true), ("460173", false), ("0b0174", false), ("88017640fc", true)] {
            assert_eq!(DependencyHead::read(&bytes(hex)), Ok(DependencyHead { starts_frame, layers: None }), "{hex}");
        }
    }

    /// A structure of `count` templates with ids from `first` on, each `step` from the one before.
    fn structure(first: u8, count: usize, step: u8, template: u8) -> Vec<u8> {
        let mut bits = vec![1, 0, 0, 0, 0];
        bits.extend((0..6).rev().map(|at| first >> at & 1));
        bits.extend([0; 5]);
        for index in 1..=count {
            let next = if index == count { 3 } else { step };
            bits.extend([next >> 1, next & 1]);
        }
        let mut value = vec![FRAME_START | template, 0, 1];
        value
            .extend(bits.chunks(8).map(|byte| byte.iter().enumerate().fold(0, |sum, (at, bit)| sum | bit << (7 - at))));
        value
    }

    #[test]
    fn template_ids_wrap() {
        for (first, template, expected) in [(62, 62, 0), (62, 63, 1), (62, 0, 2), (62, 1, 3), (1, 4, 3)] {
            let head = DependencyHead::read(&structure(first, 4, 1, template)).unwrap();
            assert_eq!(head.layers, layers(0, expected), "{first} {template}");
        }
        assert_eq!(DependencyHead::read(&structure(62, 4, 1, 2)), Err(PayloadError::Contradiction));
        assert_eq!(DependencyHead::read(&structure(62, 4, 1, 61)), Err(PayloadError::Contradiction));
    }

    #[test]
    fn a_structure_has_at_most_64_templates_and_the_layers_of_av1() {
        for (step, fits, count_max) in [(0, layers(0, 0), 64), (1, layers(0, 7), 8), (2, layers(3, 0), 4)] {
            let last = count_max as u8 - 1;
            assert_eq!(DependencyHead::read(&structure(0, count_max, step, last)).unwrap().layers, fits);
            assert_eq!(DependencyHead::read(&structure(0, count_max + 1, step, 0)), Err(PayloadError::Contradiction));
        }
    }

    #[test]
    fn a_structure_cut_before_its_layers_end_is_refused() {
        let value = bytes(CHROMIUM_L3T3);
        for len in 0..value.len() {
            let expected = match len {
                // A descriptor of three bytes is whole.
                3 => Ok(DependencyHead { starts_frame: true, layers: None }),
                // Offset, decode targets and fifteen templates end in the ninth byte.
                9.. => Ok(DependencyHead { starts_frame: true, layers: layers(0, 0) }),
                _ => Err(PayloadError::Truncated),
            };
            assert_eq!(DependencyHead::read(&value[..len]), expected, "{len}");
        }
    }
}
