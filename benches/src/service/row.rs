//! The rows of the table: what is put on the service, and which limit it is held against.

use clap::ValueEnum;
use engine::packet::BATCH_MAX;
use engine::shard::COPIES_PER_TURN;

/// Packets of voices that a turn of the limit takes at least: in one room of 300 a copy costs a tenth less than with as few as
/// the service takes there, and with yet more hardly less.
const VOICES_MIN: usize = 64;

/// A shape of load.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Row {
    /// 100 rooms of 10, two of each speak
    VoiceRooms,
    /// One room of 300, two speak
    OneRoom,
    /// 60 rooms of 11, one of each speaks: 600 consumers at 50 packets a second
    Consumers600,
    /// 20 rooms of 10 with one camera each
    VideoRooms,
    /// 1000 joins as fast as they go, beside 100 in calls
    Joins,
    /// One room of 11, one speaks: 10 consumers
    Consumers10,
    /// 10 rooms of 11, one of each speaks: 100 consumers
    Consumers100,
    /// 300 rooms of 11, one of each speaks: 3000 consumers
    Consumers3000,
    /// 100 rooms of 10 with microphones, one of each speaks: memory with both transports and nine consumers each
    Memory,
    /// 100 rooms of 10 where seven speak: more than half a core forwards
    VoiceSaturated,
    /// One room of 300 where thirty speak: more than half a core forwards
    RoomSaturated,
    /// 24 rooms of 10 with ten cameras each: more than half a core forwards
    VideoSaturated,
}

/// How many are where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Crowd {
    /// Rooms.
    pub rooms: usize,
    /// Participants of each.
    pub members: usize,
    /// Those of each who speak.
    pub speakers: usize,
    /// Those of each who have a microphone.
    pub microphones: usize,
    /// Those of each who show a camera.
    pub cameras: usize,
}

impl Crowd {
    const fn voice(rooms: usize, members: usize, speakers: usize) -> Self {
        Self { rooms, members, speakers, microphones: speakers, cameras: 0 }
    }

    /// All participants.
    pub fn participants(&self) -> usize {
        self.rooms * self.members
    }
}

impl Row {
    /// Its line in the table.
    pub fn title(self) -> &'static str {
        match self {
            Self::VoiceRooms => "voice, 100 rooms of 10, 2 speak",
            Self::OneRoom => "voice, one room of 300, 2 speak",
            Self::Consumers600 => "voice, 600 consumers (60 rooms of 11)",
            Self::VideoRooms => "video, 20 rooms of 10, one camera each",
            Self::Joins => "1000 joins beside 50 calls of 2",
            Self::Consumers10 => "voice, 10 consumers (a room of 11)",
            Self::Consumers100 => "voice, 100 consumers (10 rooms of 11)",
            Self::Consumers3000 => "voice, 3000 consumers (300 rooms of 11)",
            Self::Memory => "voice, 100 rooms of 10, all with microphones, 1 speaks",
            Self::VoiceSaturated => "saturated, 100 rooms of 10, 7 speak",
            Self::RoomSaturated => "saturated, one room of 300, 30 speak",
            Self::VideoSaturated => "saturated, 24 rooms of 10, ten cameras each",
        }
    }

    /// Who takes part; of [`Self::Joins`], those who are in calls.
    pub fn crowd(self) -> Crowd {
        match self {
            Self::VoiceRooms => Crowd::voice(100, 10, 2),
            Self::OneRoom => Crowd::voice(1, 300, 2),
            Self::Consumers600 => Crowd::voice(60, 11, 1),
            Self::VideoRooms => Crowd { cameras: 1, ..Crowd::voice(20, 10, 0) },
            Self::Joins => Crowd::voice(50, 2, 2),
            Self::Consumers10 => Crowd::voice(1, 11, 1),
            Self::Consumers100 => Crowd::voice(10, 11, 1),
            Self::Consumers3000 => Crowd::voice(300, 11, 1),
            Self::Memory => Crowd { microphones: 10, ..Crowd::voice(100, 10, 1) },
            Self::VoiceSaturated => Crowd::voice(100, 10, 7),
            Self::RoomSaturated => Crowd::voice(1, 300, 30),
            // Some 227 000 copies a second are asked for: more than half a core of a host forwards that spends 2.2 µs on each.
            Self::VideoSaturated => Crowd { cameras: 10, ..Crowd::voice(24, 10, 0) },
        }
    }

    /// Those who join while the crowd is in calls.
    pub fn newcomers(self) -> Option<Crowd> {
        (self == Self::Joins).then_some(Crowd::voice(100, 10, 0))
    }

    /// Whether the shard hardly ever waits, so that its limit never does.
    pub fn is_saturated(self) -> bool {
        matches!(self, Self::VoiceSaturated | Self::RoomSaturated | Self::VideoSaturated)
    }

    /// Packets that a turn of a limit that never waits takes. Voices come together, and what is for one listener can leave as one
    /// message: as many as a turn of the service takes, and no fewer than make the limit cheapest in a large room. A camera's
    /// packets are paced, and come one by one.
    pub fn limit_batch(self) -> usize {
        let Crowd { members, cameras, .. } = self.crowd();
        if cameras == 0 { (COPIES_PER_TURN / (members - 1)).clamp(VOICES_MIN, BATCH_MAX) } else { 1 }
    }
}
