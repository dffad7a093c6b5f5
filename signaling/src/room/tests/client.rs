//! A client that believes only what it is told, and finds fault with whatever contradicts that.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use crate::room::ConnectionKey;
use crate::session::outgoing::{Item, Outlet};
use crate::wire::CloseReason;
use crate::wire::message::State;

pub(super) struct Client {
    pub(super) key: ConnectionKey,
    pub(super) user: String,
    outlet: Outlet,
    /// The request under way, with its id.
    pub(super) asked: Option<(u64, Value)>,
    next_id: u64,
    pub(super) channel: Option<String>,
    /// The others and the state that each is in.
    pub(super) others: BTreeMap<String, Value>,
    /// Streams of others that were announced: producer → user.
    pub(super) streams: BTreeMap<String, String>,
    pub(super) paused_streams: BTreeSet<String>,
    /// Own transports by direction.
    pub(super) transports: BTreeMap<String, String>,
    /// Own producers: id → source.
    pub(super) producers: BTreeMap<String, String>,
    /// Own consumers: id → producer.
    pub(super) consumers: BTreeMap<String, String>,
    pub(super) closed: Option<CloseReason>,
    pub(super) errors: Vec<String>,
    pub(super) faults: Vec<String>,
    /// All messages, for tests that look at their order.
    pub(super) heard: Vec<Value>,
}

impl Client {
    pub(super) fn new(key: ConnectionKey, user: &str, outlet: Outlet) -> Self {
        Self {
            key,
            user: user.to_owned(),
            outlet,
            asked: None,
            next_id: 0,
            channel: None,
            others: BTreeMap::new(),
            streams: BTreeMap::new(),
            paused_streams: BTreeSet::new(),
            transports: BTreeMap::new(),
            producers: BTreeMap::new(),
            consumers: BTreeMap::new(),
            closed: None,
            errors: Vec::new(),
            faults: Vec::new(),
            heard: Vec::new(),
        }
    }

    /// The text of a request.
    pub(super) fn ask(&mut self, mut request: Value) -> String {
        self.next_id += 1;
        request["id"] = json!(self.next_id);
        let text = request.to_string();
        self.asked = Some((self.next_id, request));
        text
    }

    /// Takes in all that waits.
    pub(super) fn listen(&mut self) {
        while let Some(item) = self.outlet.try_next() {
            let (Item::Answer(frame) | Item::Push(frame)) = &item;
            let message: Value = serde_json::from_str(frame).unwrap();
            match item {
                Item::Answer(_) => self.on_answer(&message),
                Item::Push(_) => self.on_push(&message),
            }
            self.heard.push(message);
        }
        self.closed = self.outlet.close_reason();
    }

    fn fault(&mut self, what: &str, message: &Value) {
        self.faults.push(format!("{} of {}: {message}", what, self.user));
    }

    fn check(&mut self, holds: bool, what: &str, message: &Value) {
        if !holds {
            self.fault(what, message);
        }
    }

    fn on_answer(&mut self, message: &Value) {
        let Some((id, request)) = self.asked.take() else { return self.fault("an answer to nothing", message) };
        self.check(message["id"] == json!(id), "another answer", message);
        let text = |key: &str| message[key].as_str().unwrap_or_default().to_owned();
        match message["type"].as_str().unwrap_or_default() {
            "error" => {
                self.check(message["request"] == request["type"], "an error for another request", message);
                self.errors.push(text("code"));
            }
            "joined" => {
                self.channel = Some(text("channelId"));
                let others = message["participants"].as_array().unwrap();
                let other = |other: &Value| (other["userId"].as_str().unwrap().to_owned(), other["state"].clone());
                self.others = others.iter().map(other).collect();
                self.check(!self.others.contains_key(&self.user), "oneself among the others", message);
            }
            "left" => self.forget_room(),
            "transportCreated" => {
                self.transports.insert(text("direction"), text("transportId"));
            }
            "transportClosed" => self.forget_transport(&text("transportId")),
            "produced" => {
                self.producers.insert(text("producerId"), text("source"));
            }
            "producerClosed" => {
                self.producers.remove(&text("producerId"));
            }
            "consumed" => {
                let (consumer, producer) = (text("consumerId"), text("producerId"));
                self.check(self.streams.contains_key(&producer), "a consumer of an unknown stream", message);
                let is_paused = self.paused_streams.contains(&producer);
                self.check(message["producerPaused"] == json!(is_paused), "another pause", message);
                self.consumers.insert(consumer, producer);
            }
            "consumerClosed" => {
                self.consumers.remove(&text("consumerId"));
            }
            _ => {}
        }
    }

    fn on_push(&mut self, message: &Value) {
        let text = |key: &str| message[key].as_str().unwrap_or_default().to_owned();
        let (user, producer) = (text("userId"), text("producerId"));
        let is_present = self.others.contains_key(&user);
        match message["type"].as_str().unwrap_or_default() {
            "connected" | "routerCapabilities" => {}
            _ if self.channel.is_none() => self.fault("a push outside a room", message),
            "userJoined" => {
                let is_new = self.others.insert(user, json!(State::default())).is_none();
                self.check(is_new, "a second coming", message);
            }
            "userLeft" => {
                let was_there = self.others.remove(&user).is_some();
                self.check(was_there, "a stranger's going", message);
                let is_silent = !self.streams.values().any(|owner| *owner == user);
                self.check(is_silent, "a stream outlives its sender", message);
            }
            "newProducer" => {
                self.check(is_present, "a stranger's stream", message);
                if message["paused"] == json!(true) {
                    self.paused_streams.insert(producer.clone());
                }
                let is_new = self.streams.insert(producer, user).is_none();
                self.check(is_new, "a stream twice", message);
            }
            "producerClosed" => {
                self.paused_streams.remove(&producer);
                let owner = self.streams.remove(&producer);
                self.check(owner == Some(user), "the end of an unknown stream", message);
                let is_unused = !self.consumers.values().any(|its| *its == producer);
                self.check(is_unused, "a consumer outlives its producer", message);
            }
            kind @ ("producerPaused" | "producerResumed") => {
                self.check(self.streams.get(&producer) == Some(&user), "a word on an unknown stream", message);
                let changed = match kind {
                    "producerPaused" => self.paused_streams.insert(producer),
                    _ => self.paused_streams.remove(&producer),
                };
                self.check(changed, "a pause that changes nothing", message);
            }
            kind @ ("consumerClosed" | "consumerPaused" | "consumerResumed") => {
                let consumer = text("consumerId");
                self.check(self.consumers.get(&consumer) == Some(&producer), "an unknown consumer", message);
                if kind == "consumerClosed" {
                    self.consumers.remove(&consumer);
                }
            }
            "userStateUpdate" => {
                self.check(is_present, "a stranger's state", message);
                let mut state = message.clone();
                state.as_object_mut().unwrap().retain(|key, _| key != "type" && key != "userId");
                let before = self.others.insert(user, state.clone());
                self.check(before != Some(state), "a state as it was", message);
            }
            kind @ ("transportState" | "transportClosed") => {
                let transport = text("transportId");
                self.check(self.transports.values().any(|own| *own == transport), "an unknown transport", message);
                if kind == "transportClosed" {
                    self.forget_transport(&transport);
                }
            }
            _ => self.fault("an unknown push", message),
        }
    }

    fn forget_transport(&mut self, transport: &str) {
        let direction =
            self.transports.iter().find(|(_, own)| *own == transport).map(|(direction, _)| direction.clone());
        match direction.as_deref() {
            Some("send") => self.producers.clear(),
            Some(_) => self.consumers.clear(),
            None => {}
        }
        self.transports.retain(|_, own| own != transport);
    }

    fn forget_room(&mut self) {
        self.channel = None;
        self.others.clear();
        self.streams.clear();
        self.paused_streams.clear();
        self.transports.clear();
        self.producers.clear();
        self.consumers.clear();
    }
}
