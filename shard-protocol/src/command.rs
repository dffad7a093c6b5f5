//! What signaling asks of a shard.

use crate::ids::{ConsumerId, ProducerId, RequestId, RouterId, TransportId};
use crate::tables::{ConsumerTable, DtlsTable, IceCredentials, ProducerTable};

/// A set of reasons why a stream does not flow; it flows while the set is empty.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PauseReasons(u8);

/// One reason why a stream does not flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum PauseReason {
    /// Its owner paused it by a request of its own.
    Owner = 1 << 0,
    /// The participant's state forbids it: a muted microphone, a camera that is switched off, deaf ears.
    State = 1 << 1,
}

impl PauseReasons {
    /// No reason: the stream flows.
    pub const NONE: Self = Self(0);

    /// This set and `reason`.
    #[must_use]
    pub fn with(self, reason: PauseReason) -> Self {
        Self(self.0 | reason as u8)
    }

    /// This set without `reason`.
    #[must_use]
    pub fn without(self, reason: PauseReason) -> Self {
        Self(self.0 & !(reason as u8))
    }

    /// Whether nothing holds the stream back.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Whether `reason` is one of the set.
    pub fn contains(self, reason: PauseReason) -> bool {
        self.0 & reason as u8 != 0
    }
}

/// A command to a shard.
///
/// A command with a `request` makes something. It may be refused, for want of room in the queue or by the shard, and is
/// answered by exactly one [`crate::Event`] with the same `request`. A command without one closes, holds back, lets go or
/// asks the publisher: it is never refused, has no answer, and naming something that is gone is no error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Makes the place for one room's media.
    CreateRouter {
        /// Names the answer.
        request: RequestId,
        /// The new router.
        router: RouterId,
    },
    /// Closes a router with all its transports, producers and consumers.
    CloseRouter {
        /// The router.
        router: RouterId,
    },
    /// Makes a transport that waits for a peer's first ICE check.
    CreateTransport {
        /// Names the answer.
        request: RequestId,
        /// The router that it belongs to.
        router: RouterId,
        /// The new transport.
        transport: TransportId,
        /// The service's credentials for this peer.
        ice: IceCredentials,
        /// The most that the peer may send over it in bit/s, whatever its producers may together; `None` for no such cap.
        incoming_bitrate_max_bps: Option<u32>,
    },
    /// Tells a transport the peer's DTLS parameters; the handshake begins once ICE has validated an address.
    ConnectTransport {
        /// Names the answer.
        request: RequestId,
        /// The transport.
        transport: TransportId,
        /// The peer's parameters.
        dtls: DtlsTable,
    },
    /// Closes a transport with its producers and consumers, and the consumers of its producers.
    CloseTransport {
        /// The transport.
        transport: TransportId,
    },
    /// Makes a producer.
    CreateProducer {
        /// Names the answer.
        request: RequestId,
        /// The transport that its packets come by.
        transport: TransportId,
        /// The new producer.
        producer: ProducerId,
        /// Its parameters.
        table: Box<ProducerTable>,
        /// Why it does not flow at first.
        paused: PauseReasons,
    },
    /// Closes a producer and its consumers.
    CloseProducer {
        /// The producer.
        producer: ProducerId,
    },
    /// Adds a reason why a producer does not flow.
    PauseProducer {
        /// The producer.
        producer: ProducerId,
        /// The reason.
        reason: PauseReason,
    },
    /// Takes away a reason why a producer does not flow.
    ResumeProducer {
        /// The producer.
        producer: ProducerId,
        /// The reason.
        reason: PauseReason,
    },
    /// Makes a consumer of a producer of the same router.
    CreateConsumer {
        /// Names the answer.
        request: RequestId,
        /// The transport that its packets go by.
        transport: TransportId,
        /// The producer that it takes from.
        producer: ProducerId,
        /// The new consumer.
        consumer: ConsumerId,
        /// Its parameters.
        table: Box<ConsumerTable>,
        /// Why it does not flow at first.
        paused: PauseReasons,
    },
    /// Closes a consumer.
    CloseConsumer {
        /// The consumer.
        consumer: ConsumerId,
    },
    /// Adds a reason why a consumer does not flow.
    PauseConsumer {
        /// The consumer.
        consumer: ConsumerId,
        /// The reason.
        reason: PauseReason,
    },
    /// Takes away a reason why a consumer does not flow.
    ResumeConsumer {
        /// The consumer.
        consumer: ConsumerId,
        /// The reason.
        reason: PauseReason,
    },
    /// Asks the publisher of a consumer's stream for a key frame; nothing for audio. It comes when the publisher is next to
    /// be asked, so that many who ask cost no more than one.
    RequestKeyFrame {
        /// The consumer.
        consumer: ConsumerId,
    },
    /// Asks for an [`crate::Event::Stats`].
    ReportStats {
        /// Names the answer.
        request: RequestId,
    },
    /// Ends the shard once everything said before it is done.
    Shutdown,
}
