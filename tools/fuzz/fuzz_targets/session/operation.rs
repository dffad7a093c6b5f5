//! What can happen in a session. Numbers choose among what there is, by their remainder.

use arbitrary::{Arbitrary, Unstructured};

/// Operations of one session: enough to fill every place and empty it again, few enough for hundreds of sessions a
/// second.
const OPERATIONS_MAX: usize = 64;

/// Operations for as long as there are bytes: none of those says whether another one follows, because then most sessions
/// would end before anything can happen in them.
#[derive(Debug)]
pub(crate) struct Session(pub(crate) Vec<Operation>);

impl<'a> Arbitrary<'a> for Session {
    fn arbitrary(bytes: &mut Unstructured<'a>) -> arbitrary::Result<Self> {
        let mut operations = Vec::new();
        while !bytes.is_empty() && operations.len() < OPERATIONS_MAX {
            operations.push(bytes.arbitrary()?);
        }
        Ok(Self(operations))
    }
}

/// One step of a session.
#[derive(Arbitrary, Clone, Debug)]
pub(crate) enum Operation {
    AddRouter,
    CloseRouter(u8),
    /// A participant's transport: its parameters are told and its first check comes.
    Join {
        router: u8,
        outcome: Outcome,
    },
    EndHandshake {
        link: u8,
        is_failure: bool,
    },
    Leave(u8),
    Publish {
        link: u8,
        mid: u8,
        is_ssrc_told: bool,
        is_paused: bool,
    },
    CloseProducer(u8),
    SwitchProducer {
        producer: u8,
        switch: Switch,
    },
    Consume {
        link: u8,
        producer: u8,
        /// The SSRC of another consumer, where there is one.
        takes_known_ssrc: bool,
        is_paused: bool,
    },
    CloseConsumer(u8),
    SwitchConsumer {
        consumer: u8,
        switch: Switch,
    },
    /// A publisher's next packet.
    Speak {
        producer: u8,
        /// How many packets before it are lost.
        lost: u8,
        len: u8,
    },
    /// A packet that was overtaken.
    Straggle {
        producer: u8,
        late: u8,
    },
    /// A packet with all that a header can have.
    SpeakOddly {
        producer: u8,
        form: Form,
    },
    /// A publisher's packet, changed on its way.
    ForgeSpeech {
        producer: u8,
        place: u16,
        bits: u8,
    },
    ChangeSsrc {
        producer: u8,
        is_near_wrap: bool,
    },
    /// A participant's RTCP.
    Report {
        link: u8,
        is_forged: bool,
        place: u16,
        body: Report,
    },
    /// A datagram that was sent before, again.
    Repeat {
        sent: u8,
    },
    /// One that was sent before, from another address.
    Divert {
        sent: u8,
        address: u8,
    },
    /// Any bytes from any address.
    Noise {
        address: u8,
        bytes: Vec<u8>,
    },
    /// A participant's check, from any address.
    Check {
        link: u8,
        address: u8,
    },
    /// A check, changed on its way.
    ForgeCheck {
        link: u8,
        address: u8,
        place: u16,
        bits: u8,
    },
    /// A participant goes on from another address.
    Rebind {
        link: u8,
        address: u8,
    },
    FallSilent(u8),
    /// A camera; it shows by itself while time passes.
    Show {
        link: u8,
        format: Format,
        is_simulcast: bool,
    },
    CloseCamera(u8),
    SwitchCamera {
        camera: u8,
        switch: Switch,
    },
    Act {
        camera: u8,
        act: Act,
    },
    Watch {
        link: u8,
        camera: u8,
    },
    CloseWatcher(u8),
    SwitchWatcher {
        watcher: u8,
        switch: Switch,
    },
    Ask {
        watcher: u8,
        wish: Wish,
    },
    /// An authentic packet that no camera sends.
    ShowOddly {
        camera: u8,
        oddity: Oddity,
    },
    /// The line of a participant that neither speaks nor listens loses packets, both ways.
    ChangeLine {
        link: u8,
        loss: u8,
    },
    Wait(Span),
    Flood {
        link: u8,
        kind: Flood,
    },
}

/// What comes of a handshake.
#[derive(Arbitrary, Clone, Copy, Debug)]
pub(crate) enum Outcome {
    Keys,
    KeysOfLongerGcm,
    KeysOfHmac,
    Failure,
    Silence,
}

/// A reason to pause, added or taken away.
#[derive(Arbitrary, Clone, Copy, Debug)]
pub(crate) struct Switch {
    pub(crate) is_pause: bool,
    pub(crate) is_state: bool,
}

/// What an odd packet has.
#[derive(Arbitrary, Clone, Debug)]
pub(crate) struct Form {
    pub(crate) marker: bool,
    pub(crate) payload_type: u8,
    pub(crate) sources: u8,
    pub(crate) is_two_byte: bool,
    pub(crate) elements: Vec<(u8, u8)>,
    /// The padding's length as the packet says it.
    pub(crate) padding: Option<u8>,
    pub(crate) payload: Vec<u8>,
}

/// How a camera encodes.
#[derive(Arbitrary, Clone, Copy, Debug)]
pub(crate) enum Format {
    Vp8,
    Vp9,
    H264,
    Av1,
}

/// What a camera does of its own.
#[derive(Arbitrary, Clone, Copy, Debug)]
pub(crate) enum Act {
    /// With other SSRCs.
    BeginAnew,
    /// An encoding begins.
    Start(u8),
    /// An encoding stops.
    Stop(u8),
    /// Padding alone, in an encoding's stream.
    Pad(u8),
    Rest,
    GoOn,
    SendNothingAgain,
}

/// What a watcher asks for.
#[derive(Arbitrary, Clone, Debug)]
pub(crate) enum Wish {
    /// Packets again, counted back from the newest.
    Packets {
        ages: Vec<u16>,
    },
    KeyFrame,
    /// Also of a stream that may be nobody's.
    KeyFrameOfAny {
        ssrc: u32,
    },
    KeyFrameOfSignaling,
}

/// A packet of a camera's stream, or of one that claims to be.
#[derive(Arbitrary, Clone, Debug)]
pub(crate) struct Oddity {
    pub(crate) encoding: u8,
    pub(crate) is_retransmission: bool,
    pub(crate) is_ssrc_fresh: bool,
    /// Whether it has MID and RID.
    pub(crate) is_named: bool,
    pub(crate) marker: bool,
    pub(crate) sequence: u16,
    pub(crate) timestamp: u32,
    pub(crate) elements: Vec<(u8, u8)>,
    pub(crate) payload: Vec<u8>,
    pub(crate) padding: Option<u8>,
}

/// What RTCP says.
#[derive(Arbitrary, Clone, Debug)]
pub(crate) enum Report {
    Sender {
        ssrc: u32,
        ntp: u64,
        blocks: Vec<[u32; 6]>,
    },
    /// About what is really sent.
    Receiver {
        blocks: Vec<[u32; 5]>,
    },
    RoundTrip {
        delay: u32,
        time: u32,
    },
    Bytes(Vec<u8>),
}

/// A time that passes.
#[derive(Arbitrary, Clone, Copy, Debug)]
pub(crate) enum Span {
    Frame,
    Report,
    Check,
    Consent,
}

/// What a flood consists of.
#[derive(Arbitrary, Clone, Copy, Debug)]
pub(crate) enum Flood {
    /// Media, each packet of another SSRC.
    Media,
    /// RTCP, each of another SSRC.
    Reports,
    /// Checks from one address.
    Checks,
    /// Checks, each from another address.
    Addresses,
}
