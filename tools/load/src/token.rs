//! Where tokens come from: a secret that they are signed with, or a command that prints one.

use std::time::Duration;

use peer::{Claims, mint};
use tokio::process::Command;
use tokio::time::timeout;

use crate::error::LoadError;

/// How long a token command may take: a request to an issuer far away, with room.
const COMMAND_TIMEOUT: Duration = Duration::from_secs(10);

/// A source of tokens.
#[derive(Clone, Debug)]
pub enum TokenSource {
    /// Tokens are signed with this secret (HS256).
    Secret(String),
    /// A shell command whose output is the token; `{user}` and `{channel}` in it are replaced.
    Command(String),
}

impl TokenSource {
    /// A token of `user` for `channel`.
    pub async fn token(&self, user: &str, channel: &str) -> Result<String, LoadError> {
        match self {
            Self::Secret(secret) => Ok(mint(secret, &Claims::new(user))?),
            Self::Command(template) => run_command(template, user, channel).await,
        }
    }
}

async fn run_command(template: &str, user: &str, channel: &str) -> Result<String, LoadError> {
    // The names are the tool's own and hold nothing that a shell would take for more than a word.
    let command = template.replace("{user}", user).replace("{channel}", channel);
    let failed = |reason: String| LoadError::TokenCommand { command: command.clone(), user: user.into(), reason };
    let output = Command::new("sh").arg("-c").arg(&command).kill_on_drop(true).output();
    let output = timeout(COMMAND_TIMEOUT, output)
        .await
        .map_err(|_| failed(format!("no answer within {} s", COMMAND_TIMEOUT.as_secs())))?
        .map_err(|error| failed(error.to_string()))?;
    let token = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    if !output.status.success() {
        let words = String::from_utf8_lossy(&output.stderr);
        return Err(failed(format!("{}: {}", output.status, words.trim())));
    }
    if token.is_empty() {
        return Err(failed("it printed nothing".into()));
    }
    Ok(token)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_command_is_told_who_and_where_and_its_output_is_the_token() {
        let source = TokenSource::Command("echo ' a-token-of-{user}-for-{channel} '".into());
        let token = source.token("ann", "room").await.expect("the command works");
        assert_eq!(token, "a-token-of-ann-for-room");
    }

    #[tokio::test]
    async fn a_command_that_fails_or_is_silent_says_so() {
        for (command, word) in [("echo why >&2; exit 3", "why"), ("true", "printed nothing")] {
            let error = TokenSource::Command(command.into()).token("ann", "room").await.expect_err("it fails");
            assert!(error.to_string().contains(word), "{error}");
        }
    }
}
