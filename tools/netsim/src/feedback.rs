//! What the service says of a participant's streams by RTCP, with the time at which it came.

use std::time::Instant;

use rtcp::extended_report::{ExtendedReport, ReceiverReferenceTimeReportBlock};
use rtcp::packet::Packet;
use rtcp::payload_feedbacks::full_intra_request::FullIntraRequest;
use rtcp::payload_feedbacks::picture_loss_indication::PictureLossIndication;
use rtcp::payload_feedbacks::receiver_estimated_maximum_bitrate::ReceiverEstimatedMaximumBitrate;
use rtcp::receiver_report::ReceiverReport;
use rtcp::reception_report::ReceptionReport;
use rtcp::sender_report::SenderReport;
use rtcp::transport_feedbacks::transport_layer_cc::TransportLayerCc;
use rtcp::transport_feedbacks::transport_layer_nack::TransportLayerNack;

/// What came, kind by kind, each in the order of its arrival.
#[derive(Debug, Default)]
pub struct Feedback {
    /// Packets asked for again: SSRC and sequence number.
    pub losses: Vec<(Instant, u32, u16)>,
    /// Key frames asked for: SSRC.
    pub key_frames: Vec<(Instant, u32)>,
    /// Bounds on what may be sent.
    pub estimates: Vec<(Instant, ReceiverEstimatedMaximumBitrate)>,
    /// Arrivals of transport-wide numbers.
    pub arrivals: Vec<(Instant, TransportLayerCc)>,
    /// Reports of streams that are sent to the participant.
    pub sender_reports: Vec<(Instant, SenderReport)>,
    /// Reports of streams that the participant sends.
    pub receptions: Vec<(Instant, ReceptionReport)>,
    /// The newest reference time (RFC 3611 section 4.4), whose: its middle 32 bits.
    pub reference_time: Option<(Instant, u32, u32)>,
}

/// What one packet asks of a publisher.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wish {
    /// These packets of an SSRC again.
    Packets(u32, Vec<u16>),
    /// A key frame of an SSRC.
    KeyFrame(u32),
    /// Nothing more: an SSRC is known.
    Acknowledged(u32),
}

impl Feedback {
    /// Takes one packet of a compound, and gives what it asks for.
    pub fn handle(&mut self, now: Instant, packet: &(dyn Packet + Send + Sync)) -> Vec<Wish> {
        let packet = packet.as_any();
        if let Some(nack) = packet.downcast_ref::<TransportLayerNack>() {
            let numbers: Vec<u16> = nack.nacks.iter().flat_map(|pair| pair.packet_list()).collect();
            self.losses.extend(numbers.iter().map(|number| (now, nack.media_ssrc, *number)));
            return vec![Wish::Packets(nack.media_ssrc, numbers)];
        }
        let mut key_frames = Vec::new();
        if let Some(pli) = packet.downcast_ref::<PictureLossIndication>() {
            key_frames.push(pli.media_ssrc);
        } else if let Some(fir) = packet.downcast_ref::<FullIntraRequest>() {
            key_frames.extend(fir.fir.iter().map(|entry| entry.ssrc));
        } else if let Some(report) = packet.downcast_ref::<SenderReport>() {
            self.sender_reports.push((now, report.clone()));
            return self.on_receptions(now, &report.reports);
        } else if let Some(report) = packet.downcast_ref::<ReceiverReport>() {
            return self.on_receptions(now, &report.reports);
        } else if let Some(estimate) = packet.downcast_ref::<ReceiverEstimatedMaximumBitrate>() {
            self.estimates.push((now, estimate.clone()));
        } else if let Some(arrivals) = packet.downcast_ref::<TransportLayerCc>() {
            self.arrivals.push((now, arrivals.clone()));
        } else if let Some(report) = packet.downcast_ref::<ExtendedReport>() {
            let block = report.reports.iter().find_map(|block| block.as_any().downcast_ref());
            if let Some(ReceiverReferenceTimeReportBlock { ntp_timestamp }) = block {
                self.reference_time = Some((now, report.sender_ssrc, (ntp_timestamp >> 16) as u32));
            }
        }
        self.key_frames.extend(key_frames.iter().map(|ssrc| (now, *ssrc)));
        key_frames.into_iter().map(Wish::KeyFrame).collect()
    }

    fn on_receptions(&mut self, now: Instant, receptions: &[ReceptionReport]) -> Vec<Wish> {
        self.receptions.extend(receptions.iter().map(|reception| (now, reception.clone())));
        receptions.iter().map(|reception| Wish::Acknowledged(reception.ssrc)).collect()
    }
}
