//! RTP headers, extension elements and padding, of any bytes.
//!
//! Holds: every offset lies within the packet, elements lie within their block in the order of the bytes, a value that
//! is found is one of the elements, and the padding leaves header and payload apart.
#![no_main]

use engine::wire::extension::{ExtensionValues, walk_elements};
use engine::wire::rtp::{FIXED_HEADER_LEN, RtpHeader};
use libfuzzer_sys::fuzz_target;
use shard_protocol::tables::{HeaderExtension, HeaderExtensionIds};

/// Ids as a browser gives them out, the last one only possible in the two-byte form.
const IDS: HeaderExtensionIds = HeaderExtensionIds([4, 10, 11, 2, 3, 5, 1, 13, 14, 15, 200]);

fuzz_target!(|packet: &[u8]| {
    let Ok(header) = RtpHeader::parse(packet) else { return };
    assert!((FIXED_HEADER_LEN..=packet.len()).contains(&header.header_len));
    assert!(header.payload_type.0 < 128);

    let mut elements = Vec::new();
    if let Some(block) = header.extension {
        assert_eq!(block.start + block.len, header.header_len);
        walk_elements(packet, block, |id, range| {
            assert_ne!(id, 0, "0 is padding");
            let end = elements.last().map_or(block.start, |(_, range): &(u8, std::ops::Range<usize>)| range.end);
            assert!(end < range.start && range.start <= range.end && range.end <= header.header_len);
            elements.push((id, range));
        });
    }
    // A receive buffer holds no more, and places are kept in sixteen bits.
    if packet.len() <= usize::from(u16::MAX) {
        let values = ExtensionValues::parse(packet, &header, &IDS);
        for extension in HeaderExtension::ALL {
            let last = elements.iter().rfind(|(id, _)| Some(*id) == IDS.id(extension));
            let expected = last.map(|(_, range)| &packet[range.clone()]);
            assert_eq!(values.value(packet, extension), expected, "{extension:?}");
        }
    }
    if let Ok(end) = header.payload_end(packet) {
        assert!((header.header_len..=packet.len()).contains(&end));
        assert_eq!(end < packet.len(), header.has_padding);
    }
});
