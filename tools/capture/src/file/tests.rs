use super::*;

const RAW_IP: u32 = 101;

/// Numbers in one of the byte orders.
#[derive(Clone, Copy)]
enum Order {
    Little,
    Big,
}

impl Order {
    fn words(self, words: &[u32]) -> Vec<u8> {
        let bytes = |word: &u32| match self {
            Self::Little => word.to_le_bytes(),
            Self::Big => word.to_be_bytes(),
        };
        words.iter().flat_map(bytes).collect()
    }

    fn halves(self, halves: [u16; 2]) -> u32 {
        match self {
            Self::Little => u32::from(halves[1]) << 16 | u32::from(halves[0]),
            Self::Big => u32::from(halves[0]) << 16 | u32::from(halves[1]),
        }
    }
}

fn classic(order: Order, magic: u32, link_type: u32, records: &[(u32, u32, &[u8], u32)]) -> Vec<u8> {
    let mut file = order.words(&[magic, order.halves([2, 4]), 0, 0, 262_144, link_type]);
    for &(seconds, fraction, data, len) in records {
        file.extend(order.words(&[seconds, fraction, data.len() as u32, len]));
        file.extend(data);
    }
    file
}

fn block(order: Order, kind: u32, body: &[u8]) -> Vec<u8> {
    let padded = body.len().next_multiple_of(4);
    let len = padded as u32 + 12;
    let padding = vec![0; padded - body.len()];
    [&order.words(&[kind, len])[..], body, &padding, &order.words(&[len])].concat()
}

fn section(order: Order) -> Vec<u8> {
    block(order, 0x0a0d_0d0a, &order.words(&[0x1a2b_3c4d, order.halves([1, 0]), u32::MAX, u32::MAX]))
}

/// An interface of raw IP with a power of ten (or of two) as its resolution.
fn interface(order: Order, resolution: Option<u8>) -> Vec<u8> {
    let mut body = order.words(&[order.halves([RAW_IP as u16, 0]), 0]);
    if let Some(resolution) = resolution {
        body.extend(order.words(&[order.halves([9, 1])]));
        body.extend([resolution, 0, 0, 0, 0, 0, 0, 0]);
    }
    block(order, 1, &body)
}

fn packet(order: Order, interface: u32, ticks: u64, data: &[u8], len: u32) -> Vec<u8> {
    let mut body = order.words(&[interface, (ticks >> 32) as u32, ticks as u32, data.len() as u32, len]);
    body.extend(data);
    block(order, 6, &body)
}

/// Offset, time, link type, data, whether it is cut.
type Seen = (u64, Option<u64>, u16, Vec<u8>, bool);

fn read(file: impl Read) -> (Vec<Seen>, Result<Option<Damage>, CaptureError>) {
    let mut seen = Vec::new();
    let result = read_records(file, &mut |record| {
        seen.push((record.offset, record.at_ns, record.link.link_type, record.data.to_vec(), record.is_cut));
        Ok(())
    });
    (seen, result)
}

#[test]
fn classic_files_are_read_in_both_orders_and_resolutions() {
    for order in [Order::Little, Order::Big] {
        for (magic, ns) in [(0xa1b2_c3d4, 5_000), (0xa1b2_3c4d, 5)] {
            let file = classic(order, magic, RAW_IP, &[(1, 5, b"one", 3), (2, 0, b"tw", 3)]);
            let (seen, result) = read(&file[..]);
            let expected = [
                (24, Some(1_000_000_000 + ns), 101, b"one".to_vec(), false),
                (43, Some(2_000_000_000), 101, b"tw".to_vec(), true),
            ];
            assert_eq!(seen, expected, "{magic:x}");
            assert_eq!(result.unwrap(), None);
        }
    }
}

#[test]
fn pcapng_is_read_in_both_orders_with_each_interfaces_clock() {
    for order in [Order::Little, Order::Big] {
        let blocks = [
            section(order),
            interface(order, None),
            interface(order, Some(9)),
            interface(order, Some(0x80 | 10)),
            packet(order, 0, 3, b"one", 3),
            packet(order, 1, 1 << 33, b"two!", 5),
            packet(order, 2, 512, b"three", 5),
            block(order, 3, &[&order.words(&[4])[..], b"four"].concat()),
            block(order, 0xbad, b"unknown"),
        ];
        let starts = |n: usize| blocks[..n].iter().map(Vec::len).sum::<usize>() as u64;
        let (seen, result) = read(&blocks.concat()[..]);
        let expected = [
            (starts(4), Some(3_000), 101, b"one".to_vec(), false),
            (starts(5), Some(1 << 33), 101, b"two!".to_vec(), true),
            (starts(6), Some(500_000_000), 101, b"three".to_vec(), false),
            (starts(7), None, 101, b"four".to_vec(), false),
        ];
        assert_eq!(seen, expected);
        assert_eq!(result.unwrap(), None);
    }
}

#[test]
fn a_cut_file_gives_what_was_whole_and_the_place_of_the_cut() {
    let order = Order::Little;
    let records: [(u32, u32, &[u8], u32); 2] = [(1, 0, b"one", 3), (2, 0, b"three", 5)];
    let classic = classic(order, 0xa1b2_3c4d, RAW_IP, &records);
    let next =
        [section(order), interface(order, None), packet(order, 0, 1, b"one", 3), packet(order, 0, 2, b"three", 5)];
    let next_ends: Vec<_> = (1..=4).map(|n| next[..n].iter().map(Vec::len).sum::<usize>()).collect();
    for (file, header_len, ends) in [(classic, 24, vec![24, 43, 64]), (next.concat(), next_ends[0], next_ends)] {
        assert_eq!(ends.last(), Some(&file.len()));
        for len in 0..=file.len() {
            let (seen, result) = read(&file[..len]);
            let whole = ends.iter().copied().filter(|&end| end <= len);
            match result {
                Err(CaptureError::Empty) => assert_eq!(len, 0),
                Err(CaptureError::Header { offset }) => assert!(offset == len as u64 && len < header_len),
                Ok(None) => assert!(ends.contains(&len)),
                Ok(Some(damage)) => {
                    let offset = whole.clone().max().unwrap() as u64;
                    assert_eq!(damage, Damage { offset, what: DamageKind::Cut }, "{len}");
                }
                Err(error) => panic!("{len}: {error}"),
            }
            let packets = ends[ends.len() - 2..].iter().filter(|&&end| end <= len).count();
            assert_eq!(seen.len(), packets, "{len}");
        }
    }
}

#[test]
fn what_is_no_capture_is_told_what_it_is() {
    for (bytes, expected) in [
        (&b""[..], "empty"),
        (b"\x1f\x8b\x08\x00rest", "gunzip"),
        (b"PK\x03\x04", "unzip"),
        (b"{\"an\": \"object\"}", "7b 22 61 6e"),
        (b"\xd4\xc3\xb2\xa1", "ends at byte 4"),
        (b"abc", "ends at byte 3"),
    ] {
        let (seen, result) = read(bytes);
        let error = result.unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
        assert!(error.offset() <= bytes.len() as u64 && seen.is_empty());
    }
    let (_, result) = read(&classic(Order::Big, 0xa1b2_c3d4, 105, &[(1, 0, b"radio", 5)])[..]);
    let error = result.unwrap_err();
    assert!(matches!(error, CaptureError::LinkType { offset: 20, link_type: 105 }), "{error}");
}

#[test]
fn records_that_make_no_sense_end_the_reading_where_they_stand() {
    let order = Order::Little;
    let mut file = classic(order, 0xa1b2_3c4d, RAW_IP, &[(1, 0, b"one", 3)]);
    file.extend(order.words(&[1, 0, u32::MAX, 9]));
    file.resize(40 << 20, 0);
    let (seen, result) = read(&file[..]);
    assert_eq!(result.unwrap(), Some(Damage { offset: 43, what: DamageKind::Oversized }));
    assert_eq!(seen.len(), 1);

    let head = [section(order), interface(order, None)].concat();
    let mut trailer = packet(order, 0, 1, b"one", 3);
    *trailer.last_mut().unwrap() = 1;
    let mut length = packet(order, 0, 1, b"one", 3);
    length[20] = 200;
    for broken in [trailer, length, packet(order, 1, 1, b"of no interface", 15)] {
        let file = [&head[..], &broken, &packet(order, 0, 1, b"one", 3)].concat();
        let damage = Some(Damage { offset: head.len() as u64, what: DamageKind::Malformed });
        assert_eq!(read(&file[..]).1.unwrap(), damage);
    }
}

#[test]
fn a_large_record_and_a_slow_source_are_read_whole() {
    /// Gives one byte less each time.
    struct Slow<'a>(&'a [u8], usize);
    impl Read for Slow<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            self.1 = if self.1 == 1 { 9_000 } else { self.1 - 1 };
            let len = self.1.min(buffer.len());
            self.0.read(&mut buffer[..len])
        }
    }
    let order = Order::Little;
    let large = vec![7; 3 << 20];
    let file = [section(order), interface(order, None), block(order, 0xbad, &large), packet(order, 0, 1, b"one", 3)];
    let file = file.concat();
    let (seen, result) = read(Slow(&file, 9_000));
    assert_eq!((seen.len(), result.unwrap()), (1, None));
}

#[test]
fn a_source_that_fails_is_no_end_of_the_file() {
    /// Fails behind its bytes.
    struct Failing<'a>(&'a [u8]);
    impl Read for Failing<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            if self.0.is_empty() { Err(io::Error::from_raw_os_error(5)) } else { self.0.read(buffer) }
        }
    }
    let data = vec![0; HEAD_BYTES];
    let file = classic(Order::Little, 0xa1b2_3c4d, RAW_IP, &[(1, 0, &data, 0), (1, 0, &data, 0)]);
    let (seen, result) = read(Failing(&file));
    let error = result.unwrap_err();
    assert!(matches!(error, CaptureError::Read { offset, .. } if offset == file.len() as u64), "{error}");
    assert!(error.to_string().contains("os error 5"), "{error}");
    assert_eq!(seen.len(), 2);
}
