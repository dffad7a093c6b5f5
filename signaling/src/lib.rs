//! Signaling: WebSocket sessions, rooms, negotiation and placement; what the service is to clients, and asks of shards.
//!
//! A request's way, top-down: [`http`] upgrades and [`auth`] says who asks, [`session`] reads and paces, [`wire`] parses,
//! [`room`] carries it out with [`negotiation`] and [`placement`], [`shards`] passes it on. Answers go back by the
//! session's bounded queue.
//!
//! All of it runs in one thread. The state of rooms is one synchronous state machine, [`room::Rooms`], without sockets and
//! without a clock. Not here: packets, and how shards are started; the library knows them by [`shards::ShardPort`] alone.

pub mod addresses;
pub mod auth;
pub mod config;
pub mod http;
pub mod metrics;
pub mod negotiation;
pub mod ortc;
pub mod permissions;
pub mod placement;
pub mod room;
pub mod session;
pub mod shards;
pub mod token;
pub mod wire;
