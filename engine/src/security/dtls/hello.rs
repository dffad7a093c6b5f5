//! What must be known of a hello before the handshake library sees it: that its extensions tile, and which SRTP profiles
//! it offers (RFC 5246 section 7.4.1, RFC 6347 section 4.2.1, RFC 5764 section 4.1.1).
//!
//! The library walks extensions by their own lengths without looking where the block ends, and reads over a session id
//! as if it were not there; so only a hello that it reads as it is meant passes.

use super::record::message_type;
use crate::security::srtp::SrtpProfile;

/// The extension type of `use_srtp`, RFC 5764 section 9.
const USE_SRTP: u16 = 14;

/// Bytes of version and random number.
const VERSION_AND_RANDOM_LEN: usize = 34;

/// Whether the body of a complete handshake message of type `message` is safe to read; anything but a hello is.
pub(super) fn is_sane(message: u8, body: &[u8]) -> bool {
    match message {
        message_type::CLIENT_HELLO => client_extensions(body).is_some_and(are_tiled),
        message_type::SERVER_HELLO => server_extensions(body).is_some_and(are_tiled),
        _ => true,
    }
}

/// The profile to agree on with a client that sends this ClientHello; `None` where it offers none that is supported.
///
/// AES-GCM wherever it is offered, the shorter key first: it costs a third of the mandatory HMAC profile, which some
/// browsers list before it.
pub fn choose_profile(client_hello: &[u8]) -> Option<SrtpProfile> {
    let offered = Extensions(client_extensions(client_hello)?).find_map(|extension| match extension {
        Some((USE_SRTP, body)) => offered_profiles(body),
        _ => None,
    })?;
    let preferred = [SrtpProfile::AeadAes128Gcm, SrtpProfile::AeadAes256Gcm, SrtpProfile::Aes128CmHmacSha1_80];
    preferred.into_iter().find(|&profile| offered.chunks_exact(2).any(|id| id == profile_id(profile).to_be_bytes()))
}

/// The number of a profile, RFC 5764 section 4.1.2 and RFC 7714 section 14.2.
fn profile_id(profile: SrtpProfile) -> u16 {
    match profile {
        SrtpProfile::Aes128CmHmacSha1_80 => 0x0001,
        SrtpProfile::AeadAes128Gcm => 0x0007,
        SrtpProfile::AeadAes256Gcm => 0x0008,
    }
}

/// The list of profiles in the body of `use_srtp`; `None` where the body does not tile.
fn offered_profiles(body: &[u8]) -> Option<&[u8]> {
    let (list, rest) = take_u16(body)?;
    let (_identifier, rest) = take_u8(rest)?;
    (rest.is_empty() && list.len() % 2 == 0).then_some(list)
}

/// The extension block of a ClientHello; `None` where it is absent or the fields before it do not tile.
fn client_extensions(body: &[u8]) -> Option<&[u8]> {
    let (session_id, rest) = take_u8(body.get(VERSION_AND_RANDOM_LEN..)?)?;
    let (_cookie, rest) = take_u8(rest)?;
    let (cipher_suites, rest) = take_u16(rest)?;
    let (_compression, rest) = take_u8(rest)?;
    let (extensions, rest) = take_u16(rest)?;
    // Nothing is ever resumed, so no sane peer has a session to name.
    (session_id.is_empty() && cipher_suites.len() % 2 == 0 && rest.is_empty()).then_some(extensions)
}

/// The extension block of a ServerHello; `None` where it is absent or the fields before it do not tile.
fn server_extensions(body: &[u8]) -> Option<&[u8]> {
    let (_session_id, rest) = take_u8(body.get(VERSION_AND_RANDOM_LEN..)?)?;
    // The cipher suite and the compression method.
    let (extensions, rest) = take_u16(rest.get(3..)?)?;
    rest.is_empty().then_some(extensions)
}

/// Whether the extensions fill the block exactly, and `use_srtp` its own.
fn are_tiled(block: &[u8]) -> bool {
    Extensions(block).all(|extension| match extension {
        Some((USE_SRTP, body)) => offered_profiles(body).is_some(),
        Some(_) => true,
        None => false,
    })
}

/// Type and body of each extension of a block; a last `None` where the rest is none.
struct Extensions<'a>(&'a [u8]);

impl<'a> Iterator for Extensions<'a> {
    type Item = Option<(u16, &'a [u8])>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let split = self.0.split_first_chunk::<2>().and_then(|(kind, rest)| Some((*kind, take_u16(rest)?)));
        let Some((kind, (body, rest))) = split else {
            self.0 = &[];
            return Some(None);
        };
        self.0 = rest;
        Some(Some((u16::from_be_bytes(kind), body)))
    }
}

/// A field behind a length of one byte, and the rest.
fn take_u8(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (&len, rest) = bytes.split_first()?;
    rest.split_at_checked(usize::from(len))
}

/// A field behind a length of two bytes, and the rest.
fn take_u16(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (len, rest) = bytes.split_first_chunk::<2>()?;
    rest.split_at_checked(usize::from(u16::from_be_bytes(*len)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::security::dtls::sample::{chromium_client_hello, client_hello, extension, use_srtp};

    fn is_sane_client(body: &[u8]) -> bool {
        is_sane(message_type::CLIENT_HELLO, body)
    }

    fn server_hello(session_id: &[u8], extensions: &[u8]) -> Vec<u8> {
        let mut body = vec![0xfe, 0xfd];
        body.extend([0xa5; 32]);
        body.push(session_id.len() as u8);
        body.extend(session_id);
        body.extend([0xc0, 0x2b, 0]);
        body.extend((extensions.len() as u16).to_be_bytes());
        body.extend(extensions);
        body
    }

    #[test]
    fn a_browsers_hello_is_sane_and_gets_gcm_although_it_lists_sha1_first() {
        let hello = chromium_client_hello();
        assert!(hello.len() > 1300, "as long as a post-quantum hello");
        assert!(is_sane_client(&hello));
        assert_eq!(choose_profile(&hello), Some(SrtpProfile::AeadAes128Gcm));
    }

    #[test]
    fn gcm_is_chosen_wherever_it_is_offered_and_sha1_where_it_stands_alone() {
        let cases = [
            (&[1, 8, 7][..], Some(SrtpProfile::AeadAes128Gcm)),
            (&[8, 7], Some(SrtpProfile::AeadAes128Gcm)),
            (&[1, 8], Some(SrtpProfile::AeadAes256Gcm)),
            (&[2, 1], Some(SrtpProfile::Aes128CmHmacSha1_80)),
            (&[1], Some(SrtpProfile::Aes128CmHmacSha1_80)),
            (&[2, 5, 0x0701], None),
            (&[], None),
        ];
        for (offered, chosen) in cases {
            assert_eq!(choose_profile(&client_hello(&use_srtp(offered))), chosen, "{offered:?}");
        }
        assert_eq!(choose_profile(&client_hello(&extension(23, &[]))), None);
    }

    #[test]
    fn a_hello_cut_anywhere_or_with_something_behind_it_is_refused() {
        let hello = chromium_client_hello();
        for len in 0..hello.len() {
            assert!(!is_sane_client(&hello[..len]), "{len} bytes");
        }
        assert!(!is_sane_client(&[&hello[..], &[0]].concat()));
    }

    #[test]
    fn every_extension_block_that_does_not_tile_is_refused() {
        let last = use_srtp(&[7]);
        let blocks: &[&[u8]] = &[
            // One, two and three bytes where an extension has at least four.
            &[0],
            &[0, 23],
            &[0, 23, 0],
            // A body that is shorter than its length by one, and by all of it.
            &[0, 10, 0, 3, 0, 2],
            &[0, 10, 0xff, 0xff],
            // The same behind extensions that are right.
            &[&last[..], &[0]].concat(),
            &[&last[..], &[0, 23, 0]].concat(),
            &[&last[..], &[0, 23, 0, 1]].concat(),
            // `use_srtp` that does not fill its extension, or leaves it.
            &extension(14, &[]),
            &extension(14, &[0]),
            &extension(14, &[0, 2, 0, 7]),
            &extension(14, &[0, 4, 0, 7, 0]),
            &extension(14, &[0, 2, 0, 7, 0, 0]),
            &extension(14, &[0, 3, 0, 7, 0, 0]),
            &extension(14, &[0, 2, 0, 7, 1]),
        ];
        for block in blocks {
            assert!(!is_sane_client(&client_hello(block)), "{block:02x?}");
            assert!(!is_sane(message_type::SERVER_HELLO, &server_hello(&[], block)), "{block:02x?}");
        }
    }

    #[test]
    fn a_length_of_the_block_itself_that_is_wrong_is_refused() {
        let mut hello = client_hello(&use_srtp(&[7]));
        let at = hello.len() - use_srtp(&[7]).len() - 1;
        for wrong in [0, 1, 8, 10, 255] {
            hello[at] = wrong;
            assert!(!is_sane_client(&hello), "{wrong}");
        }
        assert!(!is_sane_client(&hello[..at - 1]), "no block at all");
    }

    #[test]
    fn a_client_that_names_a_session_is_refused_and_a_server_is_not() {
        let mut hello = client_hello(&use_srtp(&[7]));
        hello.splice(34..35, [2, 0xab, 0xcd]);
        assert!(!is_sane_client(&hello));
        assert!(is_sane(message_type::SERVER_HELLO, &server_hello(&[9; 32], &use_srtp(&[7]))));
    }

    proptest! {
        #[test]
        fn any_bytes_are_judged_without_a_panic(body in prop::collection::vec(any::<u8>(), 0..300)) {
            for message in [message_type::CLIENT_HELLO, message_type::SERVER_HELLO] {
                is_sane(message, &body);
            }
            choose_profile(&body);
        }

        #[test]
        fn a_changed_length_in_the_extensions_is_refused_or_still_tiles(at in 0usize..1300, value in any::<u8>()) {
            let mut hello = chromium_client_hello();
            let len = hello.len();
            hello[len - 1 - at] = value;
            if is_sane_client(&hello) {
                let block = client_extensions(&hello).unwrap();
                let sum: usize = Extensions(block).map(|extension| 4 + extension.unwrap().1.len()).sum();
                prop_assert_eq!(sum, block.len());
            }
        }
    }
}
