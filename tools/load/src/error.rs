//! What keeps a run from being made.

use std::io;
use std::path::PathBuf;

use peer::PeerError;

/// Why there is no run, or no result of it.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// There is nothing to make tokens from.
    #[error("no way to tokens: set JWT_SECRET, or give --secret-file FILE or --token-command COMMAND")]
    NoTokens,
    /// The token command failed.
    #[error("the token command {command:?} failed for user {user}: {reason}")]
    TokenCommand {
        /// The command.
        command: String,
        /// For whom.
        user: String,
        /// Why.
        reason: String,
    },
    /// A file could not be read or written.
    #[error("{}: {error}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// A capture can't be used.
    #[error("{}: {reason}", path.display())]
    Capture {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// A capture stops to make sense; what was whole is used.
    #[error("{0}")]
    Damaged(String),
    /// The arguments do not go together.
    #[error("{0}")]
    Arguments(String),
    /// The system does not give what the run needs.
    #[error("{0}")]
    System(String),
    /// The participant failed.
    #[error(transparent)]
    Peer(#[from] PeerError),
}
