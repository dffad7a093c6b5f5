//! Operations on a live session: participants join, publish, consume, pause and leave in any order, over valid, changed
//! and repeated datagrams from any address, while time passes and handshakes fail.
//!
//! Holds after every operation, against a model that does the same in the plainest way:
//!
//! - what lives in the shard is what lives in the model, and every request is answered as the model answers it;
//! - of a publisher's packet the consumers that flow, and no others, get exactly one copy, with the next number of their
//!   stream: nothing comes from a paused producer or to a paused or closed consumer, and no packet index is sent twice;
//! - every packet that a participant opens was said by a participant; forged, repeated and diverted datagrams have no
//!   effect, and nothing goes out because of them;
//! - no event names a transport that is closed;
//! - a flood of authentic datagrams, each with a name of its own, takes no more memory the second time.
#![no_main]

mod datagrams;
mod flood;
mod heap;
mod model;
mod objects;
mod operation;
mod scene;
mod speech;

use libfuzzer_sys::fuzz_target;

use self::operation::Operation;
use self::scene::Scene;

/// Operations of one session: enough to fill every place and empty it again, few enough for hundreds of sessions a
/// second.
const OPERATIONS_MAX: usize = 64;

fuzz_target!(|operations: Vec<Operation>| {
    let mut scene = Scene::new();
    for operation in operations.iter().take(OPERATIONS_MAX) {
        scene.carry_out(operation);
    }
    scene.close_everything();
});
