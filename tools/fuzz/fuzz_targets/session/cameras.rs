//! Cameras and those who watch them: they act by themselves while time passes, heed what the shard asks for, ask for what they
//! miss and for what they do not, over lines that lose packets.
//!
//! What goes out is not predicted packet by packet. Instead each watcher records all that it is sent, and the strict model of
//! what a decoder may see judges it. A camera that has sent what no camera does is not judged: who watches it may see anything,
//! but no packet index twice and nothing that does not open. Nor is a watcher whose packets went elsewhere for a time.

use std::time::Duration;

use bytes::Bytes;
use netsim::decoder::judge;
use netsim::{Conditions, EncodingSetup, Participant, Publisher, PublisherSetup, ReceiverSetup, consumer};
use rtp::header::Header;
use rtp_util::marshal::Marshal;
use shard_protocol::Command;
use shard_protocol::ids::{ConsumerId, ProducerId};
use shard_protocol::limits::PRODUCERS_PER_TRANSPORT_MAX;
use shard_protocol::tables::PayloadFormat;

use crate::model::{Consumer, Producer};
use crate::objects::reason;
use crate::operation::{Act, Format, Oddity, Switch, Wish};
use crate::scene::{Effect, Scene, choose};

/// Places of one session; more would only make it slower.
const CAMERAS_MAX: usize = 4;
const WATCHERS_MAX: usize = 12;

/// The MID of cameras; none of the microphones has it.
const MID: &str = "v";

/// SSRCs that end in a session, of cameras that begin anew and of odd packets: the shard remembers 32 of a transport, and those
/// of its microphones must be among them.
const ENDED_MAX: u32 = 3;

/// How far time may be off over a break. A line that loses packets does not delay them.
const SLACK: Duration = Duration::from_millis(50);

/// The extension ids of cameras.
const MID_ID: u8 = 4;
const RID_ID: u8 = 10;
const REPAIRED_RID_ID: u8 = 11;

/// A camera, the publisher `place` of its participant.
pub(crate) struct Camera {
    pub(crate) id: ProducerId,
    pub(crate) link: usize,
    pub(crate) is_alive: bool,
    place: usize,
    format: PayloadFormat,
    ended: u32,
    /// Whether it has sent what no camera does.
    is_odd: bool,
}

/// One who watches a camera: the receiver `place` of its participant.
pub(crate) struct Watcher {
    pub(crate) id: ConsumerId,
    pub(crate) link: usize,
    pub(crate) camera: usize,
    pub(crate) is_alive: bool,
    place: usize,
    ssrc: u32,
}

/// Frames that are few and small, so that minutes of them are cheap.
fn setup(format: PayloadFormat, is_simulcast: bool) -> PublisherSetup {
    let encoding = |rid, interval_ms, delta_len, key_len| EncodingSetup {
        rid,
        interval: Duration::from_millis(interval_ms),
        delta_len,
        key_len,
    };
    let encodings = if is_simulcast {
        vec![
            encoding(Some("l"), 200, 200, 1200),
            encoding(Some("m"), 150, 400, 1500),
            encoding(Some("h"), 100, 900, 2500),
        ]
    } else {
        vec![encoding(None, 100, 900, 2500)]
    };
    PublisherSetup { encodings, ..PublisherSetup::camera(format) }
}

impl Scene {
    pub(crate) fn show(&mut self, link: u8, format: Format, is_simulcast: bool) -> Option<Effect> {
        let link = choose(self.model.links.len(), link)?;
        let live = || self.model.cameras.iter().filter(|camera| camera.is_alive);
        let sounds = self.model.producers.iter().filter(|producer| producer.is_alive && producer.link == link).count();
        let is_free = live().all(|camera| camera.link != link) && sounds < PRODUCERS_PER_TRANSPORT_MAX;
        if live().count() == CAMERAS_MAX || !is_free || !self.model.links[link].is_alive {
            return None;
        }
        let format = match format {
            Format::Vp8 => PayloadFormat::Vp8,
            Format::Vp9 => PayloadFormat::Vp9,
            Format::H264 => PayloadFormat::H264,
            Format::Av1 => PayloadFormat::Av1,
        };
        let mut setup = setup(format, is_simulcast);
        setup.number = self.model.cameras.len() as u16;
        let id = self.world.add_publisher(self.model.links[link].id, setup);
        let place = self.participant(link).publishers.len() - 1;
        self.model.cameras.push(Camera { id, link, is_alive: true, place, format, ended: 0, is_odd: false });
        Some(Effect::uncounted())
    }

    pub(crate) fn close_camera(&mut self, camera: u8) -> Option<Effect> {
        let camera = choose(self.model.cameras.len(), camera)?;
        self.publisher(camera).pause();
        self.world.command(Command::CloseProducer { producer: self.model.cameras[camera].id });
        self.model.close_camera(camera);
        Some(Effect::uncounted())
    }

    pub(crate) fn switch_camera(&mut self, camera: u8, switch: Switch) -> Option<Effect> {
        let producer = self.model.cameras[choose(self.model.cameras.len(), camera)?].id;
        let reason = reason(switch);
        self.world.command(if switch.is_pause {
            Command::PauseProducer { producer, reason }
        } else {
            Command::ResumeProducer { producer, reason }
        });
        Some(Effect::uncounted())
    }

    /// Lets a camera do something of its own.
    pub(crate) fn act(&mut self, camera: u8, act: Act) -> Option<Effect> {
        let camera = choose(self.model.cameras.len(), camera).filter(|camera| self.model.cameras[*camera].is_alive)?;
        let now = self.world.now();
        if matches!(act, Act::BeginAnew) {
            let own = &mut self.model.cameras[camera];
            if own.ended == ENDED_MAX {
                return None;
            }
            own.ended += 1;
            self.forget_sent();
        }
        let publisher = self.publisher(camera);
        let encodings = publisher.setup().encodings.len();
        match act {
            Act::BeginAnew => publisher.restart(),
            Act::Start(encoding) => publisher.set_active(usize::from(encoding) % encodings, true),
            Act::Stop(encoding) => publisher.set_active(usize::from(encoding) % encodings, false),
            Act::Pad(encoding) => publisher.send_padding(now, usize::from(encoding) % encodings),
            Act::Rest => publisher.pause(),
            Act::GoOn => publisher.resume(),
            Act::SendNothingAgain => publisher.refuse_repeats(),
        }
        Some(Effect::uncounted())
    }

    pub(crate) fn watch(&mut self, link: u8, camera: u8) -> Option<Effect> {
        let link = choose(self.model.links.len(), link)?;
        let camera = choose(self.model.cameras.len(), camera)?;
        let (own, shown) = (&self.model.links[link], &self.model.cameras[camera]);
        let is_one_room = own.router == self.model.links[shown.link].router;
        let watchers = self.model.watchers.iter().filter(|watcher| watcher.is_alive).count();
        if !own.is_alive || !shown.is_alive || !is_one_room || watchers == WATCHERS_MAX {
            return None;
        }
        let (id, producer, format) = (own.id, shown.id, shown.format);
        let (ssrc, rtx_ssrc) = (self.fresh_ssrc(), self.fresh_ssrc());
        let table = consumer(format, &format!("w{ssrc:x}"), ssrc, Some(rtx_ssrc));
        let id = self.world.add_receiver(id, producer, table, ReceiverSetup::default());
        let place = self.participant(link).receivers.len() - 1;
        self.model.watchers.push(Watcher { id, link, camera, is_alive: true, place, ssrc });
        Some(Effect::uncounted())
    }

    pub(crate) fn close_watcher(&mut self, watcher: u8) -> Option<Effect> {
        let own = choose(self.model.watchers.len(), watcher).map(|watcher| &mut self.model.watchers[watcher])?;
        own.is_alive = false;
        let consumer = own.id;
        self.world.command(Command::CloseConsumer { consumer });
        Some(Effect::uncounted())
    }

    pub(crate) fn switch_watcher(&mut self, watcher: u8, switch: Switch) -> Option<Effect> {
        let consumer = self.model.watchers[choose(self.model.watchers.len(), watcher)?].id;
        let reason = reason(switch);
        self.world.command(if switch.is_pause {
            Command::PauseConsumer { consumer, reason }
        } else {
            Command::ResumeConsumer { consumer, reason }
        });
        Some(Effect::uncounted())
    }

    /// Asks for what a watcher may or may not need.
    pub(crate) fn ask(&mut self, watcher: u8, wish: &Wish) -> Option<Effect> {
        let &Watcher { id, link, ssrc, place, .. } = &self.model.watchers[choose(self.model.watchers.len(), watcher)?];
        let participant = self.participant(link);
        let source = participant.address;
        let receiver = participant.receivers.get_mut(place)?;
        match wish {
            Wish::Packets { ages } => {
                let newest = receiver.arrivals.last().map_or(0, |arrival| arrival.sequence as u16);
                let mut numbers: Vec<u16> = ages.iter().map(|age| newest.wrapping_sub(*age)).collect();
                // The most that one message takes.
                numbers.truncate(200);
                receiver.request_packets(&numbers);
            }
            Wish::KeyFrame => receiver.request_key_frame(),
            Wish::KeyFrameOfAny { ssrc: foreign } => {
                let mut request = vec![0x84, 206, 0, 6];
                for word in [1, 0, ssrc, 0, *foreign, 0] {
                    request.extend(word.to_be_bytes());
                }
                let datagram = participant.protect_rtcp(&request);
                self.world.send_from(source, &datagram);
            }
            Wish::KeyFrameOfSignaling => self.world.command(Command::RequestKeyFrame { consumer: id }),
        }
        Some(Effect::uncounted())
    }

    /// Makes a participant's line lose packets, or lose none. From then on it does nothing whose outcome must be known.
    pub(crate) fn change_line(&mut self, link: u8, loss: u8) -> Option<Effect> {
        let link = choose(self.model.links.len(), link)?;
        let is_speaker = |own: &Producer| own.link == link;
        let is_listener = |own: &Consumer| own.link == link;
        // What is said must come, to be compared.
        if self.model.producers.iter().any(is_speaker) || self.model.consumers.iter().any(is_listener) {
            return None;
        }
        let loss = f64::from(loss % 64) / 128.0;
        let conditions = Conditions { loss, delay: Duration::ZERO, ..Conditions::GOOD };
        self.world.set_line(self.model.links[link].id, conditions, conditions);
        // For ever: what the shard knows of such a participant is not known here.
        self.model.links[link].is_lossy = true;
        self.forget_sent();
        Some(Effect::uncounted())
    }

    /// Sends an authentic packet that no camera sends.
    pub(crate) fn show_oddly(&mut self, camera: u8, oddity: &Oddity) -> Option<Effect> {
        let camera = choose(self.model.cameras.len(), camera)?;
        let &Camera { format, link, ended, .. } = &self.model.cameras[camera];
        let fresh = if oddity.is_ssrc_fresh { Some(self.fresh_ssrc()) } else { None };
        if fresh.is_some() && ended == ENDED_MAX {
            return None;
        }
        let publisher = self.publisher(camera);
        let encoding = usize::from(oddity.encoding) % publisher.setup().encodings.len();
        let rid = publisher.setup().encodings[encoding].rid;
        let told = publisher.table().encodings[encoding].rtx_ssrc.filter(|_| oddity.is_retransmission);
        let ssrc = fresh.or(told.map(|ssrc| ssrc.0)).unwrap_or_else(|| publisher.ssrc(encoding));
        let mut header = Header {
            version: 2,
            marker: oddity.marker,
            padding: oddity.padding.is_some(),
            payload_type: netsim::producer_payload_type(format) + u8::from(oddity.is_retransmission),
            sequence_number: oddity.sequence,
            timestamp: oddity.timestamp,
            ssrc,
            ..Default::default()
        };
        let mut push = |id, value: &[u8]| header.set_extension(id, Bytes::copy_from_slice(value));
        if oddity.is_named {
            push(MID_ID, MID.as_bytes()).ok()?;
            if let Some(rid) = rid {
                push(if oddity.is_retransmission { REPAIRED_RID_ID } else { RID_ID }, rid.as_bytes()).ok()?;
            }
        }
        for (id, len) in oddity.elements.iter().take(4) {
            let (id, len) = (1 + id % 14, 1 + usize::from(len % 16));
            if ![MID_ID, RID_ID, REPAIRED_RID_ID].contains(&id) {
                push(id, &vec![0x91; len]).ok()?;
            }
        }
        let mut packet = header.marshal().ok()?.to_vec();
        packet.extend(oddity.payload.iter().take(1400));
        packet.extend(oddity.padding);

        let own = &mut self.model.cameras[camera];
        own.is_odd = true;
        own.ended += u32::from(fresh.is_some());
        self.forget_sent();
        let participant = self.participant(link);
        let source = participant.address;
        let datagram = participant.try_protect(&packet)?;
        self.world.send_from(source, &datagram);
        Some(Effect::uncounted())
    }

    /// Cameras of closed transports show no more.
    pub(crate) fn rest_cameras(&mut self) {
        for camera in 0..self.model.cameras.len() {
            if !self.model.cameras[camera].is_alive {
                self.publisher(camera).pause();
            }
        }
    }

    /// Judges what every watcher was sent.
    pub(crate) fn judge_watchers(&mut self) {
        for watcher in 0..self.model.watchers.len() {
            let &Watcher { link, camera, place, .. } = &self.model.watchers[watcher];
            let own = &self.model.cameras[camera];
            if own.is_odd || self.model.links[link].is_diverted {
                continue;
            }
            let (publisher_link, publisher_place) = (own.link, own.place);
            // Both may be one participant: the publishers are taken out and put back.
            let publishers = std::mem::take(&mut self.participant(publisher_link).publishers);
            let verdict = judge(&publishers[publisher_place], &self.participant(link).receivers[place], SLACK);
            self.participant(publisher_link).publishers = publishers;
            if let Err(fault) = verdict {
                panic!("watcher {watcher} of camera {camera}: {fault}");
            }
        }
    }

    fn publisher(&mut self, camera: usize) -> &mut Publisher {
        let &Camera { link, place, .. } = &self.model.cameras[camera];
        let participant: &mut Participant = self.participant(link);
        &mut participant.publishers[place]
    }
}
