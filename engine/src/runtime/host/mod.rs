//! The host: what the operator asked for and what the machine has, made into a plan before anything starts.
//!
//! A plan is refused with its cause and the command that mends it. Nothing here starts a thread; the plan is carried out by
//! [`super::start`].

mod cpus;
mod limits;
#[cfg(test)]
mod tests;

use std::fmt;
use std::io;
use std::net::IpAddr;
use std::ops::RangeInclusive;

use shard_protocol::ids::ShardIndex;

pub use self::cpus::{CpuSet, CpuSetError, Topology};
use self::limits::MEMLOCK_PER_SHARD;
pub use self::limits::{IoUring, MemlockLimit};
use super::socket::{BindError, UdpSocket};

/// What the operator asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlacementRequest {
    /// How many shards; left out, as many as there are CPUs for them.
    pub shards: Option<usize>,
    /// The CPUs of the shards; left out, those allowed to this process less one for signaling.
    pub cpuset: Option<CpuSet>,
    /// The CPUs of everything else; left out, those allowed that no shard has, or all where the shards have all.
    pub signal_cpuset: Option<CpuSet>,
    /// The UDP ports of all shards.
    pub ports: RangeInclusive<u16>,
    /// The address to listen on; left out, all.
    pub listen_ip: Option<IpAddr>,
}

/// Where one shard runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShardPlan {
    /// Which shard it is.
    pub index: ShardIndex,
    /// The CPU that it is pinned to.
    pub cpu: usize,
    /// The NUMA node of that CPU.
    pub numa_node: usize,
    /// Its slice of the ports; it binds the first free one.
    pub ports: RangeInclusive<u16>,
}

/// Where everything runs. Its text is a table for the operator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostPlan {
    /// The shards, by their index.
    pub shards: Vec<ShardPlan>,
    /// The CPUs of everything else.
    pub signal_cpus: CpuSet,
    /// The address to listen on; `None` for all.
    pub listen_ip: Option<IpAddr>,
}

/// What the machine has and allows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host {
    /// Its CPUs.
    pub topology: Topology,
    /// Memory that may be locked.
    pub memlock: MemlockLimit,
    /// Whether io_uring can be had.
    pub io_uring: IoUring,
}

/// Why a request cannot be planned on this host: what, where, and how to mend it.
#[derive(Debug, thiserror::Error)]
pub enum HostError {
    /// The kernel does not tell what it should.
    #[error("reading /sys/devices/system/{path}: {source}; /sys must be mounted: `mount -t sysfs sysfs /sys`")]
    Unreadable {
        /// The file.
        path: String,
        /// What came instead.
        source: io::Error,
    },
    /// CPUs that this machine does not have.
    #[error("{flag}: this machine has no CPU {cpus}; it has {present} (see `lscpu -e`)")]
    UnknownCpus {
        /// The flag that names them.
        flag: &'static str,
        /// The CPUs.
        cpus: CpuSet,
        /// Those that it has.
        present: CpuSet,
    },
    /// CPUs that are switched off.
    #[error(
        "{flag}: CPU {cpus} is offline; switch it on with `echo 1 > /sys/devices/system/cpu/cpu{}/online`",
        cpus.iter().next().unwrap_or_default()
    )]
    OfflineCpus {
        /// The flag that names them.
        flag: &'static str,
        /// The CPUs.
        cpus: CpuSet,
    },
    /// CPUs that this process may not use.
    #[error(
        "{flag}: this process may not use CPU {cpus}, only {allowed}; look for `taskset`, systemd's `AllowedCPUs=` and \
         `CPUAffinity=`, or docker's `--cpuset-cpus` where it is started"
    )]
    ForbiddenCpus {
        /// The flag that names them.
        flag: &'static str,
        /// The CPUs.
        cpus: CpuSet,
        /// Those that it may use.
        allowed: CpuSet,
    },
    /// No shard was asked for.
    #[error("--shards 0 serves nobody; ask for one or more, or leave it out")]
    NoShards,
    /// There are not enough CPUs.
    #[error("{shards} shards need as many CPUs, and there are {}: {cpus}; lower --shards or widen --cpuset", cpus.len())]
    TooFewCpus {
        /// The shards asked for.
        shards: usize,
        /// The CPUs for them.
        cpus: CpuSet,
    },
    /// The range of ports is none.
    #[error(
        "the media ports {}-{} are no range; --rtc-min-port must be at least 1 and not above --rtc-max-port",
        ports.start(), ports.end()
    )]
    BadPorts {
        /// The range.
        ports: RangeInclusive<u16>,
    },
    /// There are not enough ports.
    #[error(
        "{shards} shards need a UDP port each, and {}-{} has fewer; raise --rtc-max-port or lower --shards",
        ports.start(), ports.end()
    )]
    TooFewPorts {
        /// The shards asked for.
        shards: usize,
        /// The range.
        ports: RangeInclusive<u16>,
    },
    /// A slice has no free port, or the address is not ours.
    #[error("shard {index}: {source}")]
    Bind {
        /// The shard.
        index: ShardIndex,
        /// Why.
        source: BindError,
    },
    /// Too little memory may be locked.
    #[error(
        "{shards} shards lock up to {} KiB of memory for io_uring, and the limit is {} KiB; raise it with `ulimit -l {}`, \
         systemd's `LimitMEMLOCK=infinity` or docker's `--ulimit memlock=-1`",
        required / 1024, limit / 1024, required / 1024
    )]
    MemlockTooLow {
        /// The shards asked for.
        shards: usize,
        /// Bytes that they need.
        required: u64,
        /// Bytes that are allowed.
        limit: u64,
    },
    /// The kernel has no io_uring.
    #[error("this kernel has no io_uring; Linux 5.8 or later is needed, built with CONFIG_IO_URING (see `uname -r`)")]
    IoUringAbsent,
    /// A sysctl forbids io_uring.
    #[error(
        "the sysctl kernel.io_uring_disabled is {value} and forbids io_uring to this process; allow it with \
         `sysctl -w kernel.io_uring_disabled=0`"
    )]
    IoUringDisabled {
        /// Its value.
        value: u8,
    },
    /// A filter forbids io_uring.
    #[error(
        "a seccomp filter forbids io_uring, as those of containers do; allow io_uring_setup, io_uring_enter and \
         io_uring_register in its profile, or start the container with `--security-opt seccomp=unconfined`"
    )]
    IoUringFiltered,
    /// The kernel refuses a ring for another reason.
    #[error("the kernel refuses an io_uring: {source}; `dmesg` may tell more")]
    IoUringRefused {
        /// What it said.
        source: io::Error,
    },
}

impl Host {
    /// Looks at this machine and this process. To be called before any thread is pinned.
    ///
    /// # Errors
    /// `/sys` does not tell which CPUs there are.
    pub fn look() -> Result<Self, HostError> {
        let read = |path: &str| std::fs::read_to_string(format!("/sys/devices/system/{path}"));
        let topology =
            Topology::read(cpus::allowed(), read).map_err(|(path, source)| HostError::Unreadable { path, source })?;
        Ok(Self { topology, memlock: limits::memlock(), io_uring: limits::io_uring() })
    }

    fn check_cpus(&self, flag: &'static str, cpus: &CpuSet) -> Result<(), HostError> {
        let Topology { present, online, allowed, .. } = &self.topology;
        let missing = |among: &CpuSet| Some(cpus.without(among)).filter(|cpus| !cpus.is_empty());
        if let Some(cpus) = missing(present) {
            Err(HostError::UnknownCpus { flag, cpus, present: present.clone() })
        } else if let Some(cpus) = missing(online) {
            Err(HostError::OfflineCpus { flag, cpus })
        } else if let Some(cpus) = missing(allowed) {
            Err(HostError::ForbiddenCpus { flag, cpus, allowed: allowed.clone() })
        } else {
            Ok(())
        }
    }

    fn check_memlock(&self, shards: usize) -> Result<(), HostError> {
        let MemlockLimit { limit, is_exempt } = self.memlock;
        // An exempt process must still have a limit that lets one executor start: glommio looks at the number alone.
        let counted = if is_exempt { 1 } else { shards as u64 };
        let required = counted.saturating_mul(MEMLOCK_PER_SHARD);
        if limit < required { Err(HostError::MemlockTooLow { shards, required, limit }) } else { Ok(()) }
    }

    fn check_io_uring(&self) -> Result<(), HostError> {
        match self.io_uring {
            IoUring::Usable => Ok(()),
            IoUring::Absent => Err(HostError::IoUringAbsent),
            IoUring::Disabled(value) => Err(HostError::IoUringDisabled { value }),
            IoUring::Filtered => Err(HostError::IoUringFiltered),
            IoUring::Refused(error) => Err(HostError::IoUringRefused { source: io::Error::from_raw_os_error(error) }),
        }
    }
}

impl HostPlan {
    /// Plans `request` on `host`.
    ///
    /// # Errors
    /// The host cannot do it; the first cause that was found.
    pub fn new(request: &PlacementRequest, host: &Host) -> Result<Self, HostError> {
        let cpus = shard_cpus(request, host)?;
        let slices = port_slices(&request.ports, cpus.len())?;
        let signal_cpus = signal_cpus(request, host, &cpus)?;
        host.check_io_uring()?;
        host.check_memlock(cpus.len())?;
        let shards = cpus.iter().zip(slices).enumerate().map(|(index, (&cpu, ports))| ShardPlan {
            index: ShardIndex(index as u16),
            cpu,
            numa_node: host.topology.node(cpu),
            ports,
        });
        Ok(Self { shards: shards.collect(), signal_cpus, listen_ip: request.listen_ip })
    }

    /// Tries whether each slice has a free port now, and gives it back. Starting binds them for good.
    ///
    /// # Errors
    /// A slice has none.
    pub fn check_ports(&self) -> Result<(), HostError> {
        let bind = |shard: &ShardPlan| UdpSocket::bind(shard.ports.clone(), self.listen_ip);
        // All at once, as at start.
        let bound: Result<Vec<_>, _> = self
            .shards
            .iter()
            .map(|shard| bind(shard).map_err(|source| HostError::Bind { index: shard.index, source }))
            .collect();
        bound.map(drop)
    }
}

/// One CPU for each shard.
fn shard_cpus(request: &PlacementRequest, host: &Host) -> Result<Vec<usize>, HostError> {
    let allowed = &host.topology.allowed;
    let (cpus, default) = match &request.cpuset {
        Some(cpus) => {
            host.check_cpus("--cpuset", cpus)?;
            (cpus, cpus.len())
        }
        None => (allowed, allowed.len().saturating_sub(1).max(1)),
    };
    let shards = request.shards.unwrap_or(default);
    if shards == 0 {
        return Err(HostError::NoShards);
    }
    if shards > cpus.len() {
        return Err(HostError::TooFewCpus { shards, cpus: cpus.clone() });
    }
    // The highest: what is left over is the lowest, where interrupts and everything else run unless told otherwise.
    Ok(cpus.iter().skip(cpus.len() - shards).collect())
}

/// The CPUs of everything but the shards.
fn signal_cpus(request: &PlacementRequest, host: &Host, shards: &[usize]) -> Result<CpuSet, HostError> {
    if let Some(cpus) = &request.signal_cpuset {
        host.check_cpus("--signal-cpuset", cpus)?;
        return Ok(cpus.clone());
    }
    let allowed = &host.topology.allowed;
    let free = allowed.without(&shards.iter().copied().collect());
    Ok(if free.is_empty() { allowed.clone() } else { free })
}

/// Cuts the range into slices of one size; the last takes what is over.
fn port_slices(ports: &RangeInclusive<u16>, shards: usize) -> Result<Vec<RangeInclusive<u16>>, HostError> {
    let (first, last) = (*ports.start(), *ports.end());
    if first == 0 || first > last {
        return Err(HostError::BadPorts { ports: ports.clone() });
    }
    let too_few = || HostError::TooFewPorts { shards, ports: ports.clone() };
    let shards = u16::try_from(shards).map_err(|_| too_few())?;
    // The range has one port more than this difference, which may be 65 536 with port 0; without it everything fits.
    let slice = (last - first).saturating_add(1) / shards;
    if slice == 0 {
        return Err(too_few());
    }
    let slices = (0..shards).map(|index| {
        let start = first + index * slice;
        let end = if index == shards - 1 { last } else { start + slice - 1 };
        start..=end
    });
    Ok(slices.collect())
}

impl fmt::Display for HostPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:<7}{:<6}{:<11}UDP ports", "shard", "CPU", "NUMA node")?;
        for ShardPlan { index, cpu, numa_node, ports } in &self.shards {
            writeln!(f, "{index:<7}{cpu:<6}{numa_node:<11}{}-{}", ports.start(), ports.end())?;
        }
        write!(f, "signaling and handshakes: CPU {}", self.signal_cpus)
    }
}
