//! Reading and writing what stands on the wire, over slices, without allocation or state.
//!
//! Every parser here takes whatever a stranger sends: it returns an error or a value whose offsets lie within its input.

pub mod extension;
pub mod payload;
pub mod rtcp;
pub mod rtp;
pub mod rtx;
pub mod sequence;
pub mod stun;
