//! RTP payload formats, read only as far as forwarding needs: whether a decoder can begin with this packet, which layer it
//! belongs to, and where the numbers stand that have to be continuous for each receiver.
//!
//! [`read`] looks at an opened payload without its padding, once per packet and before any copy is made; each copy then
//! gets numbers of its own by [`PictureId::write`] and [`Tl0Index::write`]. A read touches a few bytes at the front of the
//! payload, of H264 also the length of each aggregated unit, and allocates nothing.
//!
//! Not here: the pictures themselves, which layer goes to whom, and what the continuous numbers are.

mod av1;
mod dependency;
mod h264;
#[cfg(test)]
mod tests;
mod vp8;
mod vp9;

use shard_protocol::tables::PayloadFormat;

/// What forwarding needs to know of one packet's payload.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PayloadHead {
    /// Whether it is the first packet of a frame that needs no other frame; of spatial layers, the first packet of the whole
    /// picture.
    pub starts_key_frame: bool,
    /// The spatial layer, lowest first; 0 where the format does not say.
    pub spatial_layer: u8,
    /// The temporal layer, lowest first; 0 where the format does not say.
    pub temporal_layer: u8,
    /// The picture's number, of VP8 and VP9.
    pub picture_id: Option<PictureId>,
    /// The running number of pictures in temporal layer 0, of VP8 and of VP9 that is not flexible.
    pub tl0_index: Option<Tl0Index>,
}

/// A picture's number, which the pictures of a stream count up and wrap (RFC 7741 section 4.2, RFC 9628 section 4.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PictureId {
    /// Where it stands in the payload.
    pub at: u8,
    /// The number, of 15 or of 7 bits.
    pub value: u16,
    /// Whether it has 15 bits and two bytes, else 7 bits and one.
    pub is_long: bool,
}

/// The number TL0PICIDX, which the pictures of temporal layer 0 count up and wrap (RFC 7741 section 4.2, RFC 9628
/// section 4.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tl0Index {
    /// Where it stands in the payload.
    pub at: u8,
    /// The number.
    pub value: u8,
}

/// Why a payload cannot be of its format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PayloadError {
    /// It ends within its own description, or holds nothing behind it.
    #[error("the payload is shorter than its descriptor says")]
    Truncated,
    /// Fields that exclude each other, or a value that the format does not have.
    #[error("the payload's descriptor contradicts itself")]
    Contradiction,
}

/// Reads the front of an opened `payload` without its padding; `dependency` is the value of the dependency descriptor
/// extension, where the packet has one.
///
/// The extension is read of AV1 alone, whose payload says less than it; all other formats say it themselves. An empty
/// payload is a packet of padding and has no head.
pub fn read(format: PayloadFormat, payload: &[u8], dependency: Option<&[u8]>) -> Result<PayloadHead, PayloadError> {
    if payload.is_empty() {
        return Ok(PayloadHead::default());
    }
    match format {
        PayloadFormat::Opus => Ok(PayloadHead::default()),
        PayloadFormat::Vp8 => vp8::read(payload),
        PayloadFormat::Vp9 => vp9::read(payload),
        PayloadFormat::H264 => h264::read(payload),
        PayloadFormat::Av1 => av1::read(payload, dependency),
    }
}

impl PictureId {
    /// Writes `value` in this number's place and form, cut to its 15 or 7 bits, to a copy of the payload that it was read
    /// from; a shorter one is left as it is.
    pub fn write(self, payload: &mut [u8], value: u16) {
        let Some(room) = payload.get_mut(usize::from(self.at)..) else { return };
        let [high, low] = value.to_be_bytes();
        if self.is_long {
            if let Some(room) = room.first_chunk_mut() {
                *room = [LONG_PICTURE_ID | high, low];
            }
        } else if let Some(room) = room.first_mut() {
            *room = low & !LONG_PICTURE_ID;
        }
    }
}

impl Tl0Index {
    /// Writes `value` in this number's place to a copy of the payload that it was read from; a shorter one is left as it is.
    pub fn write(self, payload: &mut [u8], value: u8) {
        if let Some(room) = payload.get_mut(usize::from(self.at)) {
            *room = value;
        }
    }
}

/// M: the picture's number has a second byte.
const LONG_PICTURE_ID: u8 = 0x80;

/// The bytes of a descriptor, one after another.
struct Fields<'a> {
    payload: &'a [u8],
    /// Where the next one stands. A descriptor is shorter than a dozen bytes.
    at: u8,
}

impl<'a> Fields<'a> {
    fn new(payload: &'a [u8]) -> Self {
        Self { payload, at: 0 }
    }

    fn byte(&mut self) -> Result<u8, PayloadError> {
        let byte = *self.payload.get(usize::from(self.at)).ok_or(PayloadError::Truncated)?;
        self.at += 1;
        Ok(byte)
    }

    /// Takes a picture's number, which VP8 and VP9 write alike.
    fn picture_id(&mut self) -> Result<PictureId, PayloadError> {
        let at = self.at;
        let first = self.byte()?;
        let is_long = first & LONG_PICTURE_ID != 0;
        let high = u16::from(first & !LONG_PICTURE_ID);
        let value = if is_long { high << 8 | u16::from(self.byte()?) } else { high };
        Ok(PictureId { at, value, is_long })
    }

    fn tl0_index(&mut self) -> Result<Tl0Index, PayloadError> {
        Ok(Tl0Index { at: self.at, value: self.byte()? })
    }
}
