//! Feedback, off the packet's way: what a publisher is asked to send, and told of its packets' arrival; and what a receiver
//! asks for.
//!
//! A peer that sends pictures has an [`super::peer::Uplink`]; [`Shard::wake_for_feedback`] keeps the time when something is
//! due, so that a stream that rests costs nothing.

use std::time::{Duration, Instant};

use shard_protocol::limits::{ENCODINGS_MAX, PRODUCERS_PER_TRANSPORT_MAX};
use shard_protocol::stats::DropReason;
use shard_protocol::tables::{HeaderExtension, MediaKind, Ssrc};

use super::Shard;
use super::keys::{ConsumerKey, PeerKey, ProducerKey};
use super::objects::Objects;
use super::peer::Peer;
use super::reports::{COMPOUND_LEN_MAX, REPORTER};
use crate::media::{ARRIVALS_MAX, COPY_HEADER_LEN_MAX, Content, Flow, MISSING_MAX, RefusedRequest};
use crate::packet::SLOT_LEN;
use crate::wire::extension::ExtensionValues;
use crate::wire::rtcp::CompoundWriter;
use crate::wire::rtp::RtpHeader;
use crate::wire::sequence::SeqNo;

/// Between two tellings of arrivals. Senders' congestion control wants one every 50 to 100 ms; all of a shard's fall on
/// multiples of this, so that one wake serves them.
const ARRIVALS_INTERVAL: Duration = Duration::from_millis(100);

/// Between two tellings of the limit; one that is lost is soon made up for.
const LIMIT_INTERVAL: Duration = Duration::from_secs(1);

/// Bytes of one packet that is sent again.
pub(super) const RETRANSMISSION_LEN_MAX: usize = COPY_HEADER_LEN_MAX + SLOT_LEN;

/// Streams that a limit is told for: every encoding of all of a transport's producers.
const SSRCS_MAX: usize = PRODUCERS_PER_TRANSPORT_MAX * ENCODINGS_MAX;

impl Peer {
    /// Notes when a packet of the peer came, by the number that it has among all of its transport, where it has one; whether
    /// feedback may be due sooner for it.
    pub(super) fn on_uplink_packet(
        &mut self,
        extensions: &ExtensionValues,
        packet: &[u8],
        received_at: Instant,
        epoch: Instant,
    ) -> bool {
        let Some(uplink) = &mut self.uplink else { return false };
        let due_before = uplink.due_at;
        if uplink.limit_at.is_none_or(|at| at <= received_at) {
            uplink.wake_by(received_at);
        }
        let value = extensions.value(packet, HeaderExtension::TransportWideCc);
        if let Some(number) = value.and_then(<[u8]>::first_chunk) {
            let sequence = SeqNo(u16::from_be_bytes(*number));
            let since_epoch = received_at.saturating_duration_since(epoch);
            uplink.arrivals.on_packet(sequence, since_epoch);
            if uplink.arrivals_at.is_none() {
                let at = epoch + next_multiple(since_epoch, ARRIVALS_INTERVAL);
                uplink.arrivals_at = Some(at);
                uplink.wake_by(at);
            }
        }
        uplink.due_at != due_before
    }
}

/// The next multiple of `interval` after `since`.
fn next_multiple(since: Duration, interval: Duration) -> Duration {
    let count = since.as_nanos() / interval.as_nanos() + 1;
    interval * u32::try_from(count).unwrap_or(u32::MAX)
}

impl Shard {
    /// Sets the time of the next feedback to a publisher by what its producer wants.
    pub(super) fn wake_for_feedback(&mut self, peer_key: PeerKey, producer_key: ProducerKey, now: Instant) {
        let Objects { peers, producers, .. } = &mut self.objects;
        let Some(peer) = peers.get_mut(peer_key) else { return };
        let Some(uplink) = &mut peer.uplink else { return };
        if let Some(at) = producers.get(producer_key).and_then(|producer| producer.wishes_next_at(now)) {
            uplink.wake_by(at);
        }
        peer.set_timer(&mut self.timers, peer_key);
    }

    /// A consumer needs a key frame to go on.
    pub(super) fn want_key_frame(&mut self, consumer_key: ConsumerKey, now: Instant) {
        let Objects { peers, producers, consumers, .. } = &mut self.objects;
        let consumer = consumers.get(consumer_key).filter(|consumer| consumer.kind == MediaKind::Video);
        let Some(consumer) = consumer.filter(|consumer| consumer.is_flowing()) else { return };
        // One that came before its receiver can be reached would be lost, and the next is a second away.
        if !peers.get(consumer.transport).is_some_and(|receiver| receiver.transport.is_reachable()) {
            return;
        }
        let producer_key = consumer.producer;
        let Some(producer) = producers.get_mut(producer_key) else { return };
        let encoding = consumer.clock().and_then(|clock| producer.encoding_of(clock));
        let publisher = producer.transport;
        // A flood of requests finds one that waits already.
        if producer.want_key_frame(encoding.unwrap_or(producer.target())) {
            self.wake_for_feedback(publisher, producer_key, now);
        }
    }

    /// All that a peer receives needs key frames: it has just come, or come back.
    pub(super) fn want_all_key_frames(&mut self, peer_key: PeerKey, now: Instant) {
        let consumers = self.objects.peers.get(peer_key).map_or(0, |peer| peer.consumers.len());
        for place in 0..consumers {
            let peer = self.objects.peers.get(peer_key);
            if let Some(&(_, consumer)) = peer.and_then(|peer| peer.consumers.get(place)) {
                self.want_key_frame(consumer, now);
            }
        }
    }

    /// Asks a publisher for what is due, and tells it what has come.
    pub(super) fn feed_back_if_due(&mut self, peer_key: PeerKey, now: Instant) {
        let Some(peer) = self.objects.peers.get_mut(peer_key) else { return };
        let Some(uplink) = peer.uplink.as_mut().filter(|uplink| uplink.due_at.is_some_and(|at| at <= now)) else {
            return;
        };
        uplink.due_at = None;
        for place in 0..peer.producers.len() {
            let peer = self.objects.peers.get(peer_key);
            let Some(&producer) = peer.and_then(|peer| peer.producers.get(place)) else { continue };
            self.ask_publisher(peer_key, producer, now);
            self.wake_for_feedback(peer_key, producer, now);
        }
        self.tell_limit_if_due(peer_key, now);
        let peer = self.objects.peers.get(peer_key);
        let arrivals_at = peer.and_then(|peer| peer.uplink.as_ref()?.arrivals_at);
        if arrivals_at.is_some_and(|at| at <= now) {
            self.tell_arrivals(peer_key);
        } else if let Some(at) = arrivals_at
            && let Some(uplink) = self.objects.peers.get_mut(peer_key).and_then(|peer| peer.uplink.as_mut())
        {
            uplink.wake_by(at);
        }
    }

    /// Asks for what is missing of a producer's streams and for key frames.
    fn ask_publisher(&mut self, peer_key: PeerKey, producer_key: ProducerKey, now: Instant) {
        let Objects { peers, producers, .. } = &mut self.objects;
        let Some(producer) = producers.get_mut(producer_key) else { return };
        let round_trip = peers.get(peer_key).and_then(|peer| peer.sender_round_trip);
        let (is_flowing, is_watched) = (producer.is_flowing(), producer.is_watched());
        let mut room = [0; COMPOUND_LEN_MAX];
        let mut writer = CompoundWriter::new(&mut room);
        for (stream, key_frames) in producer.wishes_mut() {
            let (mut lost, mut lost_len) = ([SeqNo(0); MISSING_MAX], 0);
            if let Some(missing) = &mut stream.missing {
                if !is_flowing || !is_watched {
                    missing.clear();
                }
                let given_up = missing.take_due(now, round_trip, |index| {
                    let place = lost.get_mut(lost_len);
                    lost_len += usize::from(place.is_some());
                    place.map(|place| *place = index.sequence()).is_some()
                });
                if given_up.is_some_and(|index| !stream.is_made_up_for(index)) {
                    key_frames.want();
                }
            }
            if lost_len > 0 {
                // What finds no room is asked for with the next try.
                writer.try_nack(REPORTER, stream.ssrc, lost.into_iter().take(lost_len));
            }
            if is_flowing && key_frames.take_request(now) {
                writer.try_picture_loss(REPORTER, stream.ssrc);
            }
        }
        let len = writer.len();
        self.send_compound(peer_key, &room[..len]);
    }

    /// Tells a publisher when its packets came.
    fn tell_arrivals(&mut self, peer_key: PeerKey) {
        loop {
            let Objects { peers, producers, .. } = &mut self.objects;
            let Some(peer) = peers.get_mut(peer_key) else { return };
            let Some(uplink) = &mut peer.uplink else { return };
            let media = peer.producers.iter().find_map(|&key| Some(producers.get(key)?.streams().next()?.ssrc));
            // All of them: the newest of them has come, so that there is always something to tell.
            let mut arrivals = [None; ARRIVALS_MAX];
            let (first, untold) = uplink.arrivals.untold(&mut arrivals);
            if untold.is_empty() {
                uplink.arrivals_at = None;
                return;
            }
            let mut room = [0; COMPOUND_LEN_MAX];
            let mut writer = CompoundWriter::new(&mut room);
            let told =
                writer.try_transport_feedback(REPORTER, media.unwrap_or(Ssrc(0)), uplink.arrivals_count, first, untold);
            if told == 0 {
                // A span that no telling bridges is given up.
                let given_up = untold.len();
                uplink.arrivals.on_told(given_up);
                continue;
            }
            uplink.arrivals.on_told(told);
            uplink.arrivals_count = uplink.arrivals_count.wrapping_add(1);
            let len = writer.len();
            self.send_compound(peer_key, &room[..len]);
        }
    }

    /// Tells a publisher how much it may send in all, while it sends.
    fn tell_limit_if_due(&mut self, peer_key: PeerKey, now: Instant) {
        let Objects { peers, producers, .. } = &mut self.objects;
        let Some(peer) = peers.get_mut(peer_key) else { return };
        let Some(uplink) = peer.uplink.as_mut().filter(|uplink| uplink.limit_at.is_none_or(|at| at <= now)) else {
            return;
        };
        uplink.limit_at = Some(now + LIMIT_INTERVAL);
        let mut bits_per_second = 0;
        let (mut ssrcs, mut ssrcs_len) = ([Ssrc(0); SSRCS_MAX], 0);
        for &key in &peer.producers {
            let Some(producer) = producers.get(key) else { continue };
            bits_per_second += u64::from(producer.table().bitrate_max_bps);
            for (place, stream) in ssrcs.iter_mut().skip(ssrcs_len).zip(producer.streams()) {
                *place = stream.ssrc;
                ssrcs_len += 1;
            }
        }
        let cap = peer.incoming_bitrate_max_bps.map_or(u64::MAX, u64::from);
        let mut room = [0; COMPOUND_LEN_MAX];
        let mut writer = CompoundWriter::new(&mut room);
        writer.try_receiver_estimate(REPORTER, bits_per_second.min(cap), ssrcs.into_iter().take(ssrcs_len));
        let len = writer.len();
        self.send_compound(peer_key, &room[..len]);
    }

    /// Sends a receiver again what it misses of the stream `ssrc`.
    pub(super) fn on_lost(
        &mut self,
        peer_key: PeerKey,
        ssrc: Ssrc,
        lost: impl Iterator<Item = SeqNo>,
        now: Instant,
    ) -> Result<(), DropReason> {
        let departure = self.departure(now);
        let since_epoch = now.saturating_duration_since(self.clock.instant);
        let Objects { peers, producers, consumers, .. } = &mut self.objects;
        let Some(peer) = peers.get_mut(peer_key) else { return Ok(()) };
        let Some(consumer) = peer.consumer(ssrc).and_then(|key| consumers.get_mut(key)) else { return Ok(()) };
        let Some(producer) = producers.get(consumer.producer) else { return Ok(()) };
        let Some(store) = producer.store.as_ref().filter(|_| consumer.is_flowing()) else { return Ok(()) };
        let Some((destination, source, sender, transport_sequence)) = peer.transport.departure() else { return Ok(()) };
        for sequence in lost {
            // The rest of the batch is for checks and handshakes, and for what others have lost.
            if !self.control.has_spare_room(RETRANSMISSION_LEN_MAX) {
                return Err(DropReason::SendBufferFull);
            }
            let Some(retransmission) = &mut consumer.retransmission else { return Ok(()) };
            match retransmission.try_request(sequence, now, since_epoch, peer.receiver_round_trip) {
                Ok(()) => {}
                Err(RefusedRequest::UnderWay) => continue,
                Err(RefusedRequest::OverBudget) => return Err(DropReason::RetransmissionRefused),
            }
            let found = consumer.origin(sequence).and_then(|origin| {
                let packet = store.packet(origin.id, origin.index)?;
                let header = RtpHeader::parse(packet).ok()?;
                let codec = producer.codec(Flow::Media, header.payload_type).ok()?;
                let extensions = ExtensionValues::parse(packet, &header, &producer.table().header_extensions);
                Some((origin, packet, Content::read(packet, &header, extensions, codec.format).ok()?))
            });
            let Some((origin, packet, content)) = found else {
                // Lost on the publisher's way too and asked for there, or too old.
                self.stats.drops.add(DropReason::RetransmissionRefused);
                continue;
            };
            let Some(retransmission) = &mut consumer.retransmission else { return Ok(()) };
            if !retransmission.admits(packet.len(), now) || !peer.retransmission_budget.admits(packet.len(), now) {
                return Err(DropReason::RetransmissionRefused);
            }
            let len_max = COPY_HEADER_LEN_MAX + content.payload.len() + sender.rtp_overhead();
            let is_appended = self.control.append(destination, source, len_max, |out| {
                let copied = consumer.copy_again(&origin, &content, packet, &departure, transport_sequence, out);
                copied.map_or(0, |copied| {
                    self.stats.rtp_out += 1;
                    sender.protect_rtp(out, copied.header_len, copied.len, copied.ssrc, copied.index)
                })
            });
            if !is_appended {
                return Err(DropReason::SendBufferFull);
            }
        }
        Ok(())
    }
}
