//! Captures that are written: what a participant hears, decrypted, as Wireshark reads it.
//!
//! The file is of libpcap's classic format, with nanoseconds and the link type of raw IP, so that IPv4 and IPv6 stand in one
//! file and no addresses of network cards have to be made up. Each packet is put in front of it what it would have had on a
//! network: IP and UDP headers with their lengths and check sums.

use std::fs::File;
use std::io::{self, Write};
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use etherparse::PacketBuilder;

/// The classic format with nanoseconds, in the byte order in which it is written here.
const MAGIC: u32 = 0xa1b2_3c4d;
const VERSION: [u16; 2] = [2, 4];
/// No packet is cut: the length of the largest, which is also libpcap's.
const SNAP_LEN: u32 = 262_144;
const RAW_IP: u32 = 101;

/// What a received packet has left of the 64 hops that systems begin with is not known; Wireshark only shows it.
const HOPS: u8 = 64;

/// Why a packet is not recorded.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// The file could not be written on.
    #[error("the recording cannot be written: {0}")]
    Io(#[from] io::Error),
    /// One address is of IPv4, the other of IPv6.
    #[error("no packet goes from {source_address} to {destination}: one is IPv4, the other IPv6")]
    Families {
        /// The one end.
        source_address: IpAddr,
        /// The other.
        destination: IpAddr,
    },
    /// The packet does not fit a UDP datagram.
    #[error("a packet of {0} bytes fits no UDP datagram")]
    TooLong(usize),
    /// The time is not one that the file can tell.
    #[error("the time is before 1970 or after 2106")]
    Time,
}

/// Writes a capture, each record at once and whole: a recording that is interrupted can be read up to there.
///
/// Records are not gathered here. A [`File`] takes each with one system call; what buffers by itself has to be flushed by
/// whoever gave it.
#[derive(Debug)]
pub struct CaptureWriter<W> {
    out: W,
    /// The record that is being made, kept for its room.
    record: Vec<u8>,
}

impl CaptureWriter<File> {
    /// Makes the file at `path`, or replaces it.
    pub fn create(path: &Path) -> Result<Self, WriteError> {
        Self::new(File::create(path)?)
    }
}

impl<W: Write> CaptureWriter<W> {
    /// Begins a capture in `out` with its header.
    pub fn new(mut out: W) -> Result<Self, WriteError> {
        let mut header = Vec::with_capacity(24);
        header.extend(MAGIC.to_le_bytes());
        header.extend(VERSION.map(u16::to_le_bytes).as_flattened());
        // Time zone and accuracy, which all writers leave 0.
        header.extend([0; 8]);
        header.extend(SNAP_LEN.to_le_bytes());
        header.extend(RAW_IP.to_le_bytes());
        out.write_all(&header)?;
        Ok(Self { out, record: Vec::new() })
    }

    /// Records the decrypted RTP `packet`, header and all, that went from `source` to `destination` at this time.
    pub fn write_packet(
        &mut self,
        at: SystemTime,
        source: SocketAddr,
        destination: SocketAddr,
        packet: &[u8],
    ) -> Result<(), WriteError> {
        let builder = match (source.ip(), destination.ip()) {
            (IpAddr::V4(from), IpAddr::V4(to)) => PacketBuilder::ipv4(from.octets(), to.octets(), HOPS),
            (IpAddr::V6(from), IpAddr::V6(to)) => PacketBuilder::ipv6(from.octets(), to.octets(), HOPS),
            (source_address, destination) => return Err(WriteError::Families { source_address, destination }),
        };
        let builder = builder.udp(source.port(), destination.port());
        let since_epoch = at.duration_since(UNIX_EPOCH).map_err(|_| WriteError::Time)?;
        let seconds = u32::try_from(since_epoch.as_secs()).map_err(|_| WriteError::Time)?;
        let len = u32::try_from(builder.size(packet.len())).map_err(|_| WriteError::TooLong(packet.len()))?;
        self.record.clear();
        for word in [seconds, since_epoch.subsec_nanos(), len, len] {
            self.record.extend(word.to_le_bytes());
        }
        // Nothing else can be wrong with a packet in memory.
        builder.write(&mut self.record, packet).map_err(|_| WriteError::TooLong(packet.len()))?;
        Ok(self.out.write_all(&self.record)?)
    }

    /// Gives back what was written to.
    pub fn into_inner(self) -> W {
        self.out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses() -> (SocketAddr, SocketAddr) {
        ("10.0.0.1:5004".parse().unwrap(), "10.0.0.2:5006".parse().unwrap())
    }

    #[test]
    fn what_no_file_can_hold_is_refused_and_leaves_it_as_it_was() {
        let (source, destination) = addresses();
        let mut writer = CaptureWriter::new(Vec::new()).unwrap();
        let mut fails = |at, source, packet: &[u8]| writer.write_packet(at, source, destination, packet).unwrap_err();
        let now = SystemTime::UNIX_EPOCH;
        assert!(matches!(fails(now, "[::1]:1".parse().unwrap(), &[0; 12]), WriteError::Families { .. }));
        assert!(matches!(fails(now, source, &[0; 65_508]), WriteError::TooLong(65_508)));
        let before = now - std::time::Duration::from_secs(1);
        assert!(matches!(fails(before, source, &[0; 12]), WriteError::Time));
        let written = writer.into_inner();
        assert_eq!(written.len(), 24);
    }

    #[test]
    fn a_record_is_written_at_once() {
        /// Counts what it is given.
        struct Writes(Vec<usize>);
        impl Write for Writes {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                self.0.push(bytes.len());
                Ok(bytes.len())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let (source, destination) = addresses();
        let mut writer = CaptureWriter::new(Writes(Vec::new())).unwrap();
        writer.write_packet(SystemTime::now(), source, destination, &[0; 12]).unwrap();
        assert_eq!(writer.into_inner().0, [24, 16 + 20 + 8 + 12]);
    }
}
