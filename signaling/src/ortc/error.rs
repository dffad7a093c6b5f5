//! Why a negotiation fails, and what the client is told.

/// A request whose parameters cannot be carried out. Its text is a sentence for the client, with the place in the
/// request.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OrtcError {
    /// A field is missing, of the wrong type, or out of its bounds.
    #[error("{path} {expected}")]
    Invalid {
        /// Where in the request, as `rtpParameters.encodings[2].ssrc`.
        path: String,
        /// The rest of the sentence: what holds for the field.
        expected: &'static str,
    },
    /// A list has too many items, an object too many fields, or a string too many bytes.
    #[error("{path} has more than {limit} {unit}")]
    TooLarge {
        /// Where in the request.
        path: String,
        /// How many are allowed.
        limit: usize,
        /// What is counted.
        unit: &'static str,
    },
    /// The service does not speak a codec, or not in this form.
    #[error("{path}: {mime_type} {reason}")]
    UnsupportedCodec {
        /// Where in the request.
        path: String,
        /// The codec.
        mime_type: String,
        /// The rest of the sentence: why not.
        reason: &'static str,
    },
    /// An SSRC, or a RID, stands for two encodings of one stream.
    #[error("{path} belongs to another encoding of the same stream")]
    DuplicateSsrc {
        /// Where in the request.
        path: String,
    },
    /// The receiver's capabilities have no codec of the producer.
    #[error("none of the stream's codecs is among the receiver's rtpCapabilities")]
    CannotConsume,
}

impl OrtcError {
    /// The error code of the signaling protocol.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Invalid { .. } => "bad_request",
            Self::TooLarge { .. } => "too_large",
            Self::UnsupportedCodec { .. } => "unsupported_codec",
            Self::DuplicateSsrc { .. } => "duplicate_ssrc",
            Self::CannotConsume => "cannot_consume",
        }
    }
}
