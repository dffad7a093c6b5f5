//! The real binary from outside: HTTP, tokens, frames, limits, close codes, flags. What media does is tested beside this.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a scenario that cannot go on is to fail where it stands")]

mod closing;
mod flags;
mod frames;
mod harness;
mod http;
mod rooms;
mod tokens;
mod video;
