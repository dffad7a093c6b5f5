//! Attacks on the media ports of the real service, each beside a live call that must not feel them.
//!
//! Every scene runs the binary on loopback with one shard, a call of two native participants with sound and pictures in both
//! directions, and an attacker. Afterwards the call has lost, repeated or altered nothing and was never silent for 100 ms, the service's memory
//! has hardly grown, and every datagram of the attack was counted under the reason that it deserves.

mod call;
mod checks;
mod coalescing;
mod flood;
mod handshakes;
mod joins;
mod leaks;
mod noise;
mod packet;
mod pictures;
mod rates;
mod reports;
mod requests;
mod scene;
mod streams;
mod voice_packets;
