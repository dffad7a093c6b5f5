//! Where the service departs from its model, mediasoup 3.27, on purpose.
//!
//! The comparison with the model's own code proves that exactly these differ.

/// One departure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Departure {
    /// A short name.
    pub name: &'static str,
    /// What the service does instead.
    pub effect: &'static str,
    /// Why.
    pub reason: &'static str,
}

/// All departures.
pub const DEPARTURES: &[Departure] = &[
    Departure {
        name: "stereo-told",
        effect: "a consumer's Opus has sprop-stereo=1 where the producer's says nothing of it and the router's has it",
        reason: "browsers send stereo when asked without saying so, and listeners decode mono unless they are told",
    },
    Departure {
        name: "no-nack-without-rtx",
        effect: "a consumer's codec has no NACK where its receiver takes no retransmissions of it",
        reason: "a shard retransmits by RTX alone: under the old number again, a packet that was written anew would be \
                 protected by a nonce that was used",
    },
    Departure {
        name: "no-mapped-ssrc",
        effect: "the mapping has payload types only, and consumable encodings have no SSRC",
        reason: "a shard names a stream by producer and encoding and needs no third SSRC between sender and receiver",
    },
    Departure {
        name: "own-cname",
        effect: "a producer's canonical name is the participant's, whatever it calls itself",
        reason: "one participant could else take another's name, and receivers would play their streams as one's",
    },
    Departure {
        name: "five-codecs",
        effect: "a router is made of Opus, VP8, VP9, H264 and AV1 only",
        reason: "shards read the payloads of no others",
    },
    Departure {
        name: "known-fields-only",
        effect: "unknown fields, and known ones that count as left out (null, false, 0, empty), are not passed on",
        reason: "what one client makes up never reaches another",
    },
    Departure {
        name: "bounds",
        effect: "long lists and long strings are refused",
        reason: "every list of the service is bounded",
    },
    Departure {
        name: "whole-numbers",
        effect: "numbers with a fraction or outside their field's range are refused, and so is a number that is none",
        reason: "the number tables of a shard hold no others, and the model's media process refuses or cuts them later",
    },
    Departure {
        name: "control-characters",
        effect: "strings with control characters are refused",
        reason: "a participant's strings become lines of another participant's session description",
    },
    Departure {
        name: "lists-are-no-objects",
        effect: "a list where an object belongs is refused",
        reason: "the model takes it for an object without fields only by the accident of its language",
    },
    Departure {
        name: "four-directions",
        effect: "a header extension's direction is refused unless it is one of the four",
        reason: "there are no others to obey",
    },
    Departure {
        name: "six-digits",
        effect: "an H264 profile-level-id is read only if it is six hexadecimal digits",
        reason: "the model takes a minus sign for a digit",
    },
];
