//! stub
use super::*;
impl Shard {
    pub(super) fn on_rtcp(&mut self, _slot: usize, _peer: PeerKey, _now: Instant) -> Result<(), DropReason> { Ok(()) }
    pub(super) fn schedule_reports(&mut self, _peer: PeerKey, _now: Instant) {}
    pub(super) fn report_if_due(&mut self, _peer: PeerKey, _now: Instant) {}
}
