//! Many authentic datagrams, each with a name of its own.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use engine::shard::SendOutcome;
use shard_protocol::Command;

use crate::heap;
use crate::model::Copy;
use crate::operation::Flood;
use crate::scene::{Effect, Scene};
use crate::speech::Speech;

/// Datagrams of one wave; more than any table of a peer has places, but for that of the streams that have ended.
const WAVE: usize = 300;

/// What the second wave may take besides: a queue that grows once; and of streams that begin anew, a guard against replays
/// for each, in a list that doubles.
const GROWTH_MAX: usize = 1024;
const GUARDS_GROWTH_MAX: usize = 3 * WAVE * 32 + GROWTH_MAX;

const LOCAL: IpAddr = IpAddr::V4(Ipv4Addr::new(203, 0, 113, 1));

impl Scene {
    /// Sends two waves; the second finds every table as full as it gets. Once in a session, because it takes so long.
    pub(crate) fn flood(&mut self, link: usize, kind: Flood) -> Option<Effect> {
        let own = &self.model.links[link];
        if self.has_flooded || !(own.is_alive && own.is_reachable && own.has_keys) {
            return None;
        }
        let source = self.participant(link).address;
        if self.model.owner(source) != Some(link) {
            return None;
        }
        self.has_flooded = true;
        self.forget_sent();
        let mut effect = Effect::default();
        for wave in 0..2 {
            let datagrams: Vec<_> = (0..WAVE).filter_map(|n| self.datagram(link, kind, n, &mut effect)).collect();
            let before = heap::live();
            for (source, datagram) in &datagrams {
                self.deliver(*source, datagram);
            }
            let growth = heap::live().saturating_sub(before);
            let growth_max = if matches!(kind, Flood::Media) { GUARDS_GROWTH_MAX } else { GROWTH_MAX };
            assert!(wave == 0 || growth <= growth_max, "{growth} bytes more");
        }
        if matches!(kind, Flood::Addresses) {
            // So many addresses have come and gone that the model does not know which.
            self.world.command(Command::CloseTransport { transport: self.model.links[link].transport });
            self.model.close_link(link);
            self.bury_participants();
        }
        Some(effect)
    }

    fn datagram(
        &mut self,
        link: usize,
        kind: Flood,
        number: usize,
        effect: &mut Effect,
    ) -> Option<(SocketAddr, Vec<u8>)> {
        let own = self.participant(link).address;
        match kind {
            Flood::Media => {
                let producer = self.model.producers.iter().position(|own| own.is_alive && own.link == link)?;
                let ssrc = self.fresh_ssrc();
                let speaker = &mut self.model.producers[producer];
                speaker.restart(ssrc, 7);
                speaker.next += 1;
                let speech = Speech::plain(speaker, 7, 0, 0);
                let datagram = self.participant(link).try_protect(&speech.packet)?;
                let copies = self.model.speak(producer, 7, own, true)?;
                effect.accepted += 1;
                effect.copies.extend::<Vec<Copy>>(copies);
                Some((own, datagram))
            }
            Flood::Reports => {
                let mut compound = vec![0x80, 201, 0, 1];
                compound.extend(self.fresh_ssrc().to_be_bytes());
                Some((own, self.participant(link).protect_rtcp(&compound)))
            }
            Flood::Checks => Some((own, self.participant(link).check())),
            Flood::Addresses => {
                let source = SocketAddr::from(([192, 0, 3, (number % 256) as u8], 6000));
                Some((source, self.participant(link).check()))
            }
        }
    }

    /// Gives a datagram to the shard alone, past the network and the participants.
    fn deliver(&mut self, source: SocketAddr, datagram: &[u8]) {
        let now = self.world.now();
        let shard = &mut self.world.shard;
        shard.input_mut().push(datagram, source, LOCAL, now);
        shard.handle_input(now);
        while let Some(output) = shard.poll_output(now) {
            let datagrams_sent = output.datagrams() as u64;
            shard.handle_sent(now, SendOutcome { calls: 1, datagrams_sent, ..SendOutcome::default() });
        }
        while shard.poll_dtls().is_some() {}
        while let Some(event) = shard.poll_event() {
            self.world.events.push(event);
        }
    }
}
