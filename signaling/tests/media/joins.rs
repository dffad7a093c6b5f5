//! Joins: many at once, with the handshakes of both their transports, cost a call nothing.

use std::collections::BTreeMap;

use futures_util::future::try_join_all;
use peer::{Participant, PeerError};

use crate::scene::Scene;

/// Who joins at once.
const JOINS: usize = 100;

#[tokio::test]
async fn a_hundred_who_join_at_once_cost_a_call_no_packet() -> Result<(), PeerError> {
    let scene = Scene::set().await?;
    let join = async |number: usize| -> Result<Participant, PeerError> {
        // Ten in each channel.
        let options = scene.service.join_options(&format!("newcomer-{number}"), &format!("joins-{}", number / 10))?;
        let mut newcomer = Participant::join(options).await?;
        newcomer.open_send(newcomer.transport_options()).await?;
        newcomer.open_receive(newcomer.transport_options()).await?;
        Ok(newcomer)
    };
    let newcomers = try_join_all((0..JOINS).map(join)).await?;
    assert_eq!(newcomers.len(), JOINS);
    assert_eq!(scene.drops().await?, BTreeMap::new(), "a datagram of a newcomer, or of the call, was dropped");
    drop(newcomers);
    scene.end().await
}
