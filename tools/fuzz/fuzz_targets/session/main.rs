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
//! - what a watcher is sent of a camera is what a decoder may see, whatever is lost, asked for, paused or begun anew;
//! - no event names a transport that is closed;
//! - a flood of authentic datagrams, each with a name of its own, takes no more memory the second time.
#![no_main]

mod cameras;
mod datagrams;
mod flood;
mod heap;
mod model;
mod objects;
mod operation;
mod scene;
mod speech;

use libfuzzer_sys::fuzz_target;

use self::operation::Session;
use self::scene::Scene;

fuzz_target!(|session: Session| {
    let mut scene = Scene::new();
    for operation in &session.0 {
        scene.carry_out(operation);
    }
    scene.close_everything();
});
