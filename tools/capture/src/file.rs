//! Capture files: the records of libpcap's classic format and of pcapng, one after another, with their place in the file.
//!
//! The formats are pcap-parser's to read, through a buffer that never grows beyond [`RECORD_BYTES_MAX`]. Here it is told
//! what a file is that is neither, and where one stops to make sense. What is in a record is not looked at.

use std::io::{self, Cursor, Read};

use pcap_parser::pcapng::Block;
use pcap_parser::traits::{PcapNGPacketBlock, PcapReaderIterator};
use pcap_parser::{InterfaceDescriptionBlock, LegacyPcapReader, PcapBlockOwned, PcapError, PcapHeader, PcapNGReader};

use crate::datagram::is_known;
use crate::error::{CaptureError, Damage, DamageKind};

/// The most that one record may take. libpcap's packets have at most 256 KiB; pcapng has blocks of names and keys beside them,
/// which Wireshark reads up to this length.
const RECORD_BYTES_MAX: usize = 16 << 20;

/// What is read at once, while no record is longer.
const BUFFER_BYTES: usize = 256 << 10;

/// Bytes at the front among which a file's header is looked for: a section header with its comments, in pcapng.
const HEAD_BYTES: usize = 64 << 10;

/// Bytes of the classic format's file header.
const CLASSIC_HEADER_LEN: usize = 24;

/// Where that header names the link type.
const CLASSIC_LINK_TYPE_AT: u64 = 20;

/// The lower half of the classic link type field; the upper one tells of check sums at a frame's end.
const LINK_TYPE: i32 = 0xffff;

/// The classic format's first word in both byte orders: microseconds, nanoseconds, and the "modified" form.
const CLASSIC_MAGICS: [[u8; 4]; 5] = [
    [0xd4, 0xc3, 0xb2, 0xa1],
    [0xa1, 0xb2, 0xc3, 0xd4],
    [0x4d, 0x3c, 0xb2, 0xa1],
    [0xa1, 0xb2, 0x3c, 0x4d],
    [0x34, 0xcd, 0xb2, 0xa1],
];

/// The type of pcapng's first block, the same in both byte orders.
const NEXT_GENERATION_MAGIC: [u8; 4] = [0x0a, 0x0d, 0x0d, 0x0a];

/// What other files begin with, what they are, and what to do about them.
const FOREIGN_MAGICS: [(&[u8], &str, &str); 6] = [
    (&[0x1f, 0x8b], "a gzip archive", "unpack it with gunzip"),
    (&[0x28, 0xb5, 0x2f, 0xfd], "a zstd archive", "unpack it with unzstd"),
    (b"BZh", "a bzip2 archive", "unpack it with bunzip2"),
    (&[0xfd, b'7', b'z', b'X', b'Z'], "an xz archive", "unpack it with unxz"),
    (b"PK", "a zip archive", "unpack it with unzip"),
    (b"#!rtpplay", "an rtpdump file", "record the packets with tcpdump or Wireshark instead"),
];

/// More interfaces than any machine records on; each costs memory.
const INTERFACES_MAX: usize = 1 << 16;

/// Ticks a second of the classic format's older form.
const MICROSECONDS: u64 = 1_000_000;

const NS_PER_S: u64 = 1_000_000_000;

/// One captured packet.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Record<'a> {
    /// Where the record begins in the file.
    pub(crate) offset: u64,
    /// When the packet was captured, in nanoseconds since the epoch; none in pcapng's simple packet blocks.
    pub(crate) at_ns: Option<u64>,
    /// What kind of network it was captured on.
    pub(crate) link: Link,
    /// The packet.
    pub(crate) data: &'a [u8],
    /// Whether the packet was longer.
    pub(crate) is_cut: bool,
}

/// A link type, and where in the file it stands.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Link {
    pub(crate) link_type: u16,
    pub(crate) offset: u64,
}

/// What takes the records; its error ends the reading.
pub(crate) type OnRecord<'a> = dyn FnMut(Record<'_>) -> Result<(), CaptureError> + 'a;

/// Hands every whole record to `on_record`, and tells where the rest cannot be read.
pub(crate) fn read_records(source: impl Read, on_record: &mut OnRecord<'_>) -> Result<Option<Damage>, CaptureError> {
    let mut source = Source { inner: source, error: None };
    let mut head = Vec::new();
    if let Err(source) = source.by_ref().take(HEAD_BYTES as u64).read_to_end(&mut head) {
        return Err(CaptureError::Read { offset: head.len() as u64, source });
    }
    let format = Format::of(&head)?;
    let mut walk = Walk { offset: 0, on_record, format, interfaces: Vec::new(), is_big_endian: false };
    let head_len = head.len() as u64;
    let bytes = Cursor::new(head).chain(&mut source);
    let end = match format {
        Format::Classic => match LegacyPcapReader::new(BUFFER_BYTES, bytes) {
            Ok(reader) => walk.run(reader),
            Err(_) => return Err(CaptureError::Header { offset: head_len }),
        },
        Format::NextGeneration => match PcapNGReader::new(BUFFER_BYTES, bytes) {
            Ok(reader) => walk.run(reader),
            Err(_) => return Err(CaptureError::Header { offset: head_len }),
        },
    };
    let offset = walk.offset;
    match end? {
        End::Clean => Ok(None),
        End::Damaged(what) => Ok(Some(Damage { offset, what })),
        End::Unread => {
            let source = source.error.unwrap_or_else(|| io::Error::other("reading failed"));
            Err(CaptureError::Read { offset, source })
        }
    }
}

/// Bytes whose error is kept: pcap-parser tells only that there was one.
struct Source<R> {
    inner: R,
    error: Option<io::Error>,
}

impl<R: Read> Read for Source<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.inner.read(buffer) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    let copy = error.raw_os_error().map_or_else(|| error.kind().into(), io::Error::from_raw_os_error);
                    self.error = Some(error);
                    return Err(copy);
                }
                read => return read,
            }
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    Classic,
    NextGeneration,
}

impl Format {
    fn of(head: &[u8]) -> Result<Self, CaptureError> {
        if head.is_empty() {
            return Err(CaptureError::Empty);
        }
        if let Some((_, what, remedy)) = FOREIGN_MAGICS.iter().find(|(magic, ..)| head.starts_with(magic)) {
            return Err(CaptureError::Format { found: (*what).to_owned(), remedy });
        }
        let offset = head.len() as u64;
        let Some(magic) = head.first_chunk::<4>() else { return Err(CaptureError::Header { offset }) };
        if CLASSIC_MAGICS.contains(magic) {
            return if head.len() < CLASSIC_HEADER_LEN {
                Err(CaptureError::Header { offset })
            } else {
                Ok(Self::Classic)
            };
        }
        if *magic == NEXT_GENERATION_MAGIC {
            return Ok(Self::NextGeneration);
        }
        let found = format!("{:02x} {:02x} {:02x} {:02x}", magic[0], magic[1], magic[2], magic[3]);
        Err(CaptureError::Format { found, remedy: "record one with `tcpdump -w FILE udp`, or save it in Wireshark" })
    }
}

#[derive(Clone, Copy, Debug)]
struct Interface {
    link: Link,
    /// Ticks a second of its packets' times.
    resolution: u64,
    /// Seconds to add to them.
    offset_s: i64,
}

enum End {
    Clean,
    Damaged(DamageKind),
    /// The source failed.
    Unread,
}

/// What to do after a look at the buffer.
enum Step {
    Block(usize),
    Refill,
    End(End),
    /// All has been read, and what is left makes no record.
    Rest,
}

/// The way through a file.
struct Walk<'a, 'b> {
    /// Where the next record begins.
    offset: u64,
    on_record: &'a mut OnRecord<'b>,
    format: Format,
    /// The file's one interface, or those of this section.
    interfaces: Vec<Interface>,
    is_big_endian: bool,
}

impl Walk<'_, '_> {
    fn run(&mut self, mut reader: impl PcapReaderIterator) -> Result<End, CaptureError> {
        loop {
            let step = match reader.next() {
                Ok((len, block)) => match self.handle_block(block)? {
                    Some(what) => Step::End(End::Damaged(what)),
                    None => Step::Block(len),
                },
                Err(PcapError::Eof) => Step::End(End::Clean),
                Err(PcapError::Incomplete(_) | PcapError::BufferTooSmall) => Step::Refill,
                Err(PcapError::UnexpectedEof) => Step::Rest,
                Err(_) => Step::End(End::Damaged(DamageKind::Malformed)),
            };
            match step {
                Step::Block(len) => {
                    reader.consume(len);
                    self.offset += len as u64;
                }
                Step::Refill => {
                    let before = reader.data().len();
                    if reader.refill().is_err() {
                        return Ok(End::Unread);
                    }
                    let is_full = reader.data().len() == before && !reader.reader_exhausted();
                    if is_full && !reader.grow((2 * before).clamp(BUFFER_BYTES, RECORD_BYTES_MAX)) {
                        return Ok(End::Damaged(DamageKind::Oversized));
                    }
                }
                Step::Rest if reader.data().is_empty() => return Ok(End::Clean),
                Step::Rest => {
                    let is_there = self.claimed_len(reader.data()).is_some_and(|len| len <= reader.data().len());
                    return Ok(End::Damaged(if is_there { DamageKind::Malformed } else { DamageKind::Cut }));
                }
                Step::End(end) => return Ok(end),
            }
        }
    }

    /// How long the record at the front of `data` says that it is.
    fn claimed_len(&self, data: &[u8]) -> Option<usize> {
        let (at, header_len) = match self.format {
            Format::Classic => (8, 16),
            Format::NextGeneration => (4, 0),
        };
        let word = *data.get(at..)?.first_chunk()?;
        let len = if self.is_big_endian { u32::from_be_bytes(word) } else { u32::from_le_bytes(word) };
        usize::try_from(len).ok()?.checked_add(header_len)
    }

    /// Takes the next block; what is wrong with it ends the reading.
    fn handle_block(&mut self, block: PcapBlockOwned<'_>) -> Result<Option<DamageKind>, CaptureError> {
        match block {
            PcapBlockOwned::LegacyHeader(header) => self.on_classic_header(&header)?,
            PcapBlockOwned::Legacy(block) => {
                let Some(interface) = self.interfaces.first() else { return Ok(Some(DamageKind::Malformed)) };
                let fraction_ns = u64::from(block.ts_usec) * (NS_PER_S / interface.resolution);
                (self.on_record)(Record {
                    offset: self.offset,
                    at_ns: Some(u64::from(block.ts_sec) * NS_PER_S + fraction_ns),
                    link: interface.link,
                    data: block.data,
                    is_cut: block.caplen < block.origlen,
                })?;
            }
            PcapBlockOwned::NG(block) => return self.on_block(&block),
        }
        Ok(None)
    }

    fn on_classic_header(&mut self, header: &PcapHeader) -> Result<(), CaptureError> {
        self.is_big_endian = header.is_bigendian();
        let resolution = if header.is_nanosecond_precision() { NS_PER_S } else { MICROSECONDS };
        let link_type = (header.network.0 & LINK_TYPE) as u16;
        let link = Link { link_type, offset: CLASSIC_LINK_TYPE_AT };
        if !is_known(link_type) {
            return Err(CaptureError::LinkType { offset: link.offset, link_type });
        }
        self.interfaces.push(Interface { link, resolution, offset_s: 0 });
        Ok(())
    }

    fn on_block(&mut self, block: &Block<'_>) -> Result<Option<DamageKind>, CaptureError> {
        match block {
            Block::SectionHeader(section) => {
                self.is_big_endian = section.big_endian();
                self.interfaces.clear();
            }
            Block::InterfaceDescription(interface) => return Ok(self.on_interface(interface)),
            Block::EnhancedPacket(packet) => {
                let Some(interface) = self.interfaces.get(packet.if_id as usize) else {
                    return Ok(Some(DamageKind::Malformed));
                };
                let ticks = u64::from(packet.ts_high) << 32 | u64::from(packet.ts_low);
                (self.on_record)(Record {
                    offset: self.offset,
                    at_ns: Some(interface.at_ns(ticks)),
                    link: interface.link,
                    data: packet.packet_data(),
                    is_cut: packet.caplen < packet.origlen,
                })?;
            }
            Block::SimplePacket(packet) => {
                let Some(interface) = self.interfaces.first() else { return Ok(Some(DamageKind::Malformed)) };
                let data = packet.packet_data();
                let is_cut = (data.len() as u64) < u64::from(packet.origlen);
                (self.on_record)(Record { offset: self.offset, at_ns: None, link: interface.link, data, is_cut })?;
            }
            _ => {}
        }
        Ok(None)
    }

    fn on_interface(&mut self, interface: &InterfaceDescriptionBlock<'_>) -> Option<DamageKind> {
        if self.interfaces.len() == INTERFACES_MAX {
            return Some(DamageKind::Malformed);
        }
        // Behind the block's type and length.
        let offset = self.offset + 8;
        let link_type = (interface.linktype.0 & LINK_TYPE) as u16;
        let Some(resolution) = resolution(interface.if_tsresol) else { return Some(DamageKind::Malformed) };
        let link = Link { link_type, offset };
        self.interfaces.push(Interface { link, resolution, offset_s: interface.if_tsoffset });
        None
    }
}

/// Ticks a second, as a negative power of ten or, with the upper bit, of two. pcap-parser knows the former alone.
fn resolution(exponent: u8) -> Option<u64> {
    let base: u64 = if exponent & 0x80 == 0 { 10 } else { 2 };
    base.checked_pow(u32::from(exponent & 0x7f))
}

impl Interface {
    fn at_ns(&self, ticks: u64) -> u64 {
        let ns = i128::from(ticks) * i128::from(NS_PER_S) / i128::from(self.resolution);
        let ns = ns + i128::from(self.offset_s) * i128::from(NS_PER_S);
        u64::try_from(ns.max(0)).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests;
