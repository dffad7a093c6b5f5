//! Why a shard refuses a command.

/// A refusal; nothing changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum CommandError {
    /// The router, transport or producer that the command names is gone.
    #[error("no such router, transport or producer")]
    NotFound,
    /// A limit of [`crate::limits`] is reached.
    #[error("the shard is full")]
    LimitReached,
    /// Another stream of the same transport has this SSRC or this MID; or a consumer's SSRC is not above all that its
    /// transport's consumers ever had.
    #[error("the SSRC or the MID belongs, or belonged, to another stream of the transport")]
    DuplicateSsrc,
    /// The peer's DTLS parameters are known already.
    #[error("the transport is connected already")]
    AlreadyConnected,
    /// The tables contradict themselves or a limit: a fault of signaling.
    #[error("the parameter tables contradict themselves")]
    BadTable,
}
