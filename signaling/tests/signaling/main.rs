//! The real binary from outside: HTTP, tokens, frames, limits, close codes, flags. What media does is tested beside this.

mod closing;
mod flags;
mod frames;
mod harness;
mod http;
mod rooms;
mod tokens;
