//! Records, messages and hellos made by hand, for tests.

use super::record::message_type;

/// A record with a sequence number of 0.
pub(crate) fn record(content: u8, epoch: u16, payload: &[u8]) -> Vec<u8> {
    let mut record = vec![content, 0xfe, 0xfd];
    record.extend(epoch.to_be_bytes());
    record.extend([0; 6]);
    record.extend((payload.len() as u16).to_be_bytes());
    record.extend(payload);
    record
}

/// A fragment of a handshake message of `message_len` bytes.
pub(crate) fn fragment(message: u8, message_len: usize, message_seq: u16, offset: usize, body: &[u8]) -> Vec<u8> {
    let mut fragment = vec![message];
    fragment.extend(&(message_len as u32).to_be_bytes()[1..]);
    fragment.extend(message_seq.to_be_bytes());
    fragment.extend(&(offset as u32).to_be_bytes()[1..]);
    fragment.extend(&(body.len() as u32).to_be_bytes()[1..]);
    fragment.extend(body);
    fragment
}

/// A handshake message in one fragment.
pub(crate) fn whole(message: u8, message_seq: u16, body: &[u8]) -> Vec<u8> {
    fragment(message, body.len(), message_seq, 0, body)
}

/// An extension of a hello.
pub(crate) fn extension(kind: u16, body: &[u8]) -> Vec<u8> {
    [&kind.to_be_bytes()[..], &(body.len() as u16).to_be_bytes(), body].concat()
}

/// The `use_srtp` extension that offers `profiles`.
pub(crate) fn use_srtp(profiles: &[u16]) -> Vec<u8> {
    let list: Vec<u8> = profiles.iter().flat_map(|profile| profile.to_be_bytes()).collect();
    extension(14, &[&(list.len() as u16).to_be_bytes()[..], &list, &[0]].concat())
}

/// The body of a ClientHello with `extensions`, whose length field is right.
pub(crate) fn client_hello(extensions: &[u8]) -> Vec<u8> {
    let mut body = vec![0xfe, 0xfd];
    body.extend([0x5a; 32]);
    // No session, no cookie, the one cipher suite, no compression.
    body.extend([0, 0, 0, 2, 0xc0, 0x2b, 1, 0]);
    body.extend((extensions.len() as u16).to_be_bytes());
    body.extend(extensions);
    body
}

/// The body of a ClientHello as Chromium's: curves, master secret, a post-quantum key share and SHA1-80 before GCM.
pub(crate) fn chromium_client_hello() -> Vec<u8> {
    let key_share = [&[0x04, 0xc4, 0x11, 0xec, 0x04, 0xc0][..], &[0x33; 0x4c0]].concat();
    let extensions = [
        extension(23, &[]),
        extension(0xff01, &[0]),
        extension(10, &[0, 8, 0x11, 0xec, 0, 29, 0, 23, 0, 24]),
        extension(11, &[1, 0]),
        extension(13, &[0, 8, 4, 3, 8, 4, 4, 1, 5, 3]),
        use_srtp(&[1, 7, 8]),
        extension(51, &key_share),
        extension(43, &[4, 0xfe, 0xfc, 0xfe, 0xfd]),
    ];
    client_hello(&extensions.concat())
}

/// `body` as the fragments of a ClientHello, each in a record of its own, cut every `cut` bytes.
pub(crate) fn client_hello_records(body: &[u8], cut: usize) -> Vec<Vec<u8>> {
    let pieces = body.chunks(cut).enumerate();
    pieces
        .map(|(place, piece)| record(22, 0, &fragment(message_type::CLIENT_HELLO, body.len(), 0, place * cut, piece)))
        .collect()
}
