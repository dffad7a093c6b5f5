//! RTP and RTCP packets written byte by byte, as nobody else would.

/// A header without extension: version and flags, payload type, sequence number, SSRC.
pub(crate) fn header(flags: u8, payload_type: u8, sequence: u16, ssrc: u32) -> Vec<u8> {
    let mut bytes = vec![0x80 | flags, payload_type];
    bytes.extend_from_slice(&sequence.to_be_bytes());
    bytes.extend_from_slice(&[0; 4]);
    bytes.extend_from_slice(&ssrc.to_be_bytes());
    bytes
}

/// A header with one-byte extension elements: ids, and values of 1 to 16 bytes (RFC 8285 4.2).
pub(crate) fn header_with(payload_type: u8, sequence: u16, ssrc: u32, elements: &[(u8, &[u8])]) -> Vec<u8> {
    let mut block = Vec::new();
    for (id, value) in elements {
        block.push(id << 4 | (value.len() as u8 - 1));
        block.extend_from_slice(value);
    }
    block.resize(block.len().next_multiple_of(4), 0);
    let mut bytes = header(0x10, payload_type, sequence, ssrc);
    bytes.extend_from_slice(&[0xbe, 0xde]);
    bytes.extend_from_slice(&(block.len() as u16 / 4).to_be_bytes());
    bytes.extend_from_slice(&block);
    bytes
}

/// A feedback message (RFC 4585 6.1): packet type, format, the stream that it is about, and its body of whole words.
pub(crate) fn feedback(packet_type: u8, format: u8, media_ssrc: u32, body: &[u8]) -> Vec<u8> {
    let words = 2 + body.len() as u16 / 4;
    let mut bytes = vec![0x80 | format, packet_type];
    bytes.extend_from_slice(&words.to_be_bytes());
    // Any sender does: a receiver has no stream of its own to name.
    bytes.extend_from_slice(&1_u32.to_be_bytes());
    bytes.extend_from_slice(&media_ssrc.to_be_bytes());
    bytes.extend_from_slice(body);
    bytes
}

/// Asks for a key frame of a stream: PLI (RFC 4585 6.3.1).
pub(crate) fn picture_loss(media_ssrc: u32) -> Vec<u8> {
    feedback(206, 1, media_ssrc, &[])
}

/// Asks for key frames of streams: FIR (RFC 5104 4.3.1).
pub(crate) fn full_intra_requests(ssrcs: impl IntoIterator<Item = u32>) -> Vec<u8> {
    let mut body = Vec::new();
    for (number, ssrc) in ssrcs.into_iter().enumerate() {
        body.extend_from_slice(&ssrc.to_be_bytes());
        body.extend_from_slice(&[number as u8, 0, 0, 0]);
    }
    feedback(206, 4, 0, &body)
}

/// Asks for packets of a stream again: each of `firsts` and the sixteen behind it (RFC 4585 6.2.1).
pub(crate) fn lost(media_ssrc: u32, firsts: impl IntoIterator<Item = u16>) -> Vec<u8> {
    let body: Vec<u8> = firsts.into_iter().flat_map(|first| (u32::from(first) << 16 | 0xffff).to_be_bytes()).collect();
    feedback(205, 1, media_ssrc, &body)
}

/// A sender report without blocks (RFC 3550 6.4.1).
pub(crate) fn sender_report(ssrc: u32, ntp: u64, timestamp: u32) -> Vec<u8> {
    let mut bytes = vec![0x80, 200, 0, 6];
    bytes.extend_from_slice(&ssrc.to_be_bytes());
    bytes.extend_from_slice(&ntp.to_be_bytes());
    bytes.extend_from_slice(&timestamp.to_be_bytes());
    bytes.extend_from_slice(&[0; 8]);
    bytes
}
