//! A shard with rooms in it, for measuring its turn without sockets: one datagram in, a protected copy for each consumer out.
//!
//! Between two turns time passes, outside of what is measured: each publisher keeps its interval, reports fall due and go
//! out, checks come and are answered. So a turn that is measured has its packet to forward and nothing else.

use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use engine::security::dtls::{DtlsRequest, DtlsResponse};
use engine::security::srtp::{SrtpKeys, SrtpProfile};
use engine::shard::{SendOutcome, Shard, ShardConfig};
use netsim::{Participant, Publisher, PublisherSetup, audio_consumer, audio_producer, consumer, producer_payload_type};
use rtp::packet::Packet;
use shard_protocol::command::PauseReasons;
use shard_protocol::ids::{ConsumerId, ProducerId, RequestId, RouterId, TransportId};
use shard_protocol::limits::{TRANSPORTS_MAX, VIDEO_PRODUCERS_MAX};
use shard_protocol::tables::{
    ConsumerTable, DtlsRole, DtlsTable, Fingerprint, IceCredentials, PayloadFormat, ProducerTable, Ssrc,
};
use shard_protocol::{Command, Event};

use crate::limit::Visits;
use crate::{VIDEO_LEN, VOICE_LEN, master, packet};

/// What is published in a room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Media {
    /// A voice: [`VOICE_LEN`] every 20 ms.
    Voice,
    /// A camera in VP8, retransmissions kept: [`VIDEO_LEN`] every 5 ms.
    Video,
}

impl Media {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Voice, Self::Video];

    /// A word for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Voice => "voice",
            Self::Video => "video",
        }
    }

    /// Between two packets of a publisher. Shorter, and the shard would refuse them as more than honest publishers send.
    fn interval(self) -> Duration {
        match self {
            Self::Voice => Duration::from_millis(20),
            Self::Video => Duration::from_millis(5),
        }
    }

    fn producer_table(self, now: Instant) -> ProducerTable {
        match self {
            Self::Voice => audio_producer("0", Some(0x5eed)),
            Self::Video => Publisher::new(PublisherSetup::camera(PayloadFormat::Vp8), 1, now, now).table(),
        }
    }

    fn consumer_table(self) -> ConsumerTable {
        match self {
            Self::Voice => audio_consumer("0", 0x1_0000),
            Self::Video => consumer(PayloadFormat::Vp8, "0", 0x1_0000, Some(0x1_0001)),
        }
    }

    /// A publisher's packet; each of a camera is a picture, the first a key frame.
    fn packet(self, ssrc: u32, sequence_number: u16, is_first: bool) -> Packet {
        let len = match self {
            Self::Voice => VOICE_LEN,
            Self::Video => VIDEO_LEN,
        };
        let mut packet = packet(len, sequence_number);
        packet.header.ssrc = ssrc;
        if self == Self::Video {
            packet.header.payload_type = producer_payload_type(PayloadFormat::Vp8);
            packet.header.marker = true;
            // A descriptor with a long picture id, layer index and layer (RFC 7741 section 4.2), then the frame's tag and, of a key
            // frame, its start code.
            let [high, low] = (0x8000 | sequence_number).to_be_bytes();
            let start = [0x90, 0xe0, high, low, 0, 0, 0x10 | u8::from(!is_first), 0, 0, 0x9d, 0x01, 0x2a];
            packet.payload = start.into_iter().chain(packet.payload.iter().copied().skip(start.len())).collect();
        }
        packet
    }
}

/// Whether a room's state is in the cache when its packet comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heat {
    /// There is one room.
    Hot,
    /// As many rooms as a shard may have, visited in random order: all others come between two packets of a room.
    Cold,
}

impl Heat {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Hot, Self::Cold];

    /// A word for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Hot => "hot",
            Self::Cold => "cold",
        }
    }

    /// How many rooms there are, with a publisher and `consumers` each.
    pub fn rooms(self, media: Media, consumers: usize) -> usize {
        let rooms_max = TRANSPORTS_MAX / (consumers + 1);
        match (self, media) {
            (Self::Hot, _) => 1,
            (Self::Cold, Media::Voice) => rooms_max,
            (Self::Cold, Media::Video) => rooms_max.min(VIDEO_PRODUCERS_MAX),
        }
    }
}

/// Where the shard is.
const LOCAL: IpAddr = IpAddr::V4(Ipv4Addr::new(203, 0, 113, 1));

/// Between two checks of a participant: far within the 30 s of its consent.
const CHECK_INTERVAL: Duration = Duration::from_secs(10);

/// One room: its publisher.
struct Room {
    /// Its participant's place.
    publisher: usize,
    ssrc: u32,
    packets: u64,
}

/// A packet of a publisher on its way to the shard.
pub struct Arrival {
    datagram: Vec<u8>,
    source: SocketAddr,
}

/// A shard with rooms.
pub struct Rooms {
    shard: Shard,
    media: Media,
    rooms: Vec<Room>,
    participants: Vec<Participant>,
    visits: Visits,
    consumers: usize,
    now: Instant,
    checked_at: Instant,
    last_id: u64,
}

impl Rooms {
    /// Fills a shard with rooms of `consumers`, all of them connected.
    pub fn new(media: Media, consumers: usize, heat: Heat) -> Self {
        let rooms = heat.rooms(media, consumers);
        assert!(rooms > 0, "a shard has at most {TRANSPORTS_MAX} transports: no room for {consumers} consumers");
        let now = Instant::now();
        let mut all = Self {
            // Any day does; this one is in 2026.
            shard: Shard::new(ShardConfig { seed: 1, now, now_ntp: 3_990_000_000 << 32 }),
            media,
            rooms: Vec::new(),
            participants: Vec::new(),
            visits: Visits::new(rooms, 1),
            consumers,
            now,
            checked_at: now,
            last_id: 0,
        };
        for _ in 0..rooms {
            all.add_room();
        }
        all.check();
        // A camera's consumers begin with its key frame.
        for _ in 0..rooms {
            let arrival = all.next_arrival();
            all.take_turn(&arrival);
        }
        all
    }

    /// How many copies are made of a packet.
    pub fn consumers(&self) -> usize {
        self.consumers
    }

    /// Lets time pass until the next room's packet comes, which is not measured.
    pub fn next_arrival(&mut self) -> Arrival {
        self.now += self.media.interval() / self.rooms.len() as u32;
        if self.now - self.checked_at > CHECK_INTERVAL {
            self.check();
        }
        while self.shard.poll_timeout().is_some_and(|at| at <= self.now) {
            self.shard.handle_timeout(self.now);
            self.send_all();
        }
        let place = self.visits.next().unwrap_or_default();
        let room = &mut self.rooms[place];
        room.packets += 1;
        let packet = self.media.packet(room.ssrc, room.packets as u16, room.packets == 1);
        let publisher = &mut self.participants[room.publisher];
        Arrival { datagram: publisher.protect(&packet), source: publisher.address }
    }

    /// The turn that is measured. Instructions are counted by this name, so nothing else may have it, and nobody inlines it.
    #[inline(never)]
    pub fn take_measured_turn(&mut self, arrival: &Arrival) {
        self.take_turn(arrival);
    }

    /// One turn of the shard: a packet in, a copy for each consumer out, and feedback to the publisher where the packet makes
    /// it due.
    fn take_turn(&mut self, arrival: &Arrival) {
        let (now, copies_before) = (self.now, self.shard.stats_mut().rtp_out);
        let is_taken = self.shard.input_mut().push(&arrival.datagram, arrival.source, LOCAL, now);
        self.shard.handle_input(now);
        self.shard.handle_timeout(now);
        self.send_all();
        let copies = self.shard.stats_mut().rtp_out - copies_before;
        assert!(is_taken && copies == self.consumers as u64, "{copies} copies for {} consumers", self.consumers);
    }

    /// Lets the shard make all that it has to send.
    fn send_all(&mut self) {
        while let Some(output) = self.shard.poll_output(self.now) {
            let datagrams_sent = output.datagrams() as u64;
            black_box(output.messages().len());
            self.shard.handle_sent(self.now, SendOutcome { calls: 1, datagrams_sent, ..SendOutcome::default() });
        }
    }

    fn fresh_id(&mut self) -> u64 {
        self.last_id += 1;
        self.last_id
    }

    fn add_room(&mut self) {
        let router = RouterId(self.fresh_id());
        self.request(|request| Command::CreateRouter { request, router });
        let (publisher, transport) = self.add_participant(router);
        let table = self.media.producer_table(self.now);
        let Some(Ssrc(ssrc)) = table.encodings.first().and_then(|encoding| encoding.ssrc) else {
            panic!("a publisher's only encoding tells its SSRC");
        };
        let producer = ProducerId(self.fresh_id());
        let (table, paused) = (Box::new(table), PauseReasons::NONE);
        self.request(|request| Command::CreateProducer { request, transport, producer, table, paused });
        for _ in 0..self.consumers {
            let (_, transport) = self.add_participant(router);
            let consumer = ConsumerId(self.fresh_id());
            let (table, paused) = (Box::new(self.media.consumer_table()), PauseReasons::NONE);
            self.request(|request| Command::CreateConsumer { request, transport, producer, consumer, table, paused });
        }
        self.rooms.push(Room { publisher, ssrc, packets: 0 });
    }

    /// Makes a transport with the keys of a finished handshake, and its peer; the peer's place.
    fn add_participant(&mut self, router: RouterId) -> (usize, TransportId) {
        let id = self.fresh_id();
        let transport = TransportId(id);
        let ice = IceCredentials { ufrag: format!("ufrag{id}"), password: format!("password/of/22/chars+{id}") };
        self.request(|request| Command::CreateTransport {
            request,
            router,
            transport,
            ice: ice.clone(),
            incoming_bitrate_max_bps: None,
        });
        let dtls = DtlsTable { role: DtlsRole::Server, fingerprints: vec![Fingerprint::Sha256([7; 32])] };
        self.request(|request| Command::ConnectTransport { request, transport, dtls });
        let profile = SrtpProfile::AeadAes128Gcm;
        let keys = SrtpKeys { profile, local: master(profile), remote: master(profile) };
        let place = self.participants.len();
        let address = SocketAddr::from(([198, 51, (place >> 8) as u8, place as u8], 40_000));
        self.participants.push(Participant::new(address, ice, &keys, id));
        self.check_one(place);
        while let Some(request) = self.shard.poll_dtls() {
            if let DtlsRequest::Start { transport, .. } = request {
                let connected = DtlsResponse::Connected { transport, keys: keys.clone(), last_flight: None };
                self.shard.handle_dtls(self.now, connected);
            }
        }
        self.take_events();
        (place, transport)
    }

    /// Carries out a command that is not refused.
    fn request(&mut self, command: impl FnOnce(RequestId) -> Command) {
        let request = RequestId(self.fresh_id());
        self.shard.handle_command(self.now, command(request));
        self.take_events();
    }

    fn take_events(&mut self) {
        while let Some(event) = self.shard.poll_event() {
            if let Event::Answered { result: Err(error), .. } = event {
                panic!("the shard refuses what a room needs: {error:?}");
            }
        }
    }

    /// Every participant checks.
    fn check(&mut self) {
        for place in 0..self.participants.len() {
            self.check_one(place);
        }
        self.checked_at = self.now;
    }

    fn check_one(&mut self, place: usize) {
        let participant = &self.participants[place];
        let check = participant.check();
        assert!(self.shard.input_mut().push(&check, participant.address, LOCAL, self.now), "an empty batch has room");
        self.shard.handle_input(self.now);
        self.send_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_packet_is_copied_to_all_of_its_room_for_as_long_as_it_takes() {
        // More than the 30 s of a consent, in either pace. The turn itself asserts the copies.
        for (media, turns) in [(Media::Voice, 2000), (Media::Video, 8000)] {
            let mut rooms = Rooms::new(media, 3, Heat::Hot);
            let begun = rooms.now;
            for _ in 0..turns {
                let arrival = rooms.next_arrival();
                rooms.take_measured_turn(&arrival);
            }
            assert!(rooms.now - begun > Duration::from_secs(31));
        }
    }

    #[test]
    fn cold_rooms_fill_the_shard() {
        for media in Media::ALL {
            let mut rooms = Rooms::new(media, 1000, Heat::Cold);
            assert_eq!(rooms.rooms.len(), 8);
            for _ in 0..16 {
                let arrival = rooms.next_arrival();
                rooms.take_measured_turn(&arrival);
            }
            assert!(rooms.rooms.iter().all(|room| room.packets == 3));
        }
    }
}
