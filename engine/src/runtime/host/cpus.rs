//! Sets of CPUs, and what this host has of them.

#![allow(unsafe_code)]

use std::collections::BTreeSet;
use std::fmt;
use std::io;
use std::str::FromStr;

use core_affinity::CoreId;

/// CPUs that a set can name: what the kernel's fixed-size mask holds (CPU_SETSIZE).
const CPUS_MAX: usize = 1024;

/// A set of CPUs, written as the kernel writes it: `0,2-5`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CpuSet(BTreeSet<usize>);

/// Why a text is no set of CPUs.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CpuSetError {
    /// A part is neither a number nor a range.
    #[error("`{part}` is neither a CPU nor a range of CPUs; write a list such as 0,2-5")]
    Malformed {
        /// The part.
        part: String,
    },
    /// A range ends before it begins.
    #[error("the range `{part}` ends before it begins")]
    Backwards {
        /// The part.
        part: String,
    },
    /// A number is too large.
    #[error("`{part}` names a CPU beyond {}, the last that the kernel can name", CPUS_MAX - 1)]
    TooLarge {
        /// The part.
        part: String,
    },
    /// A CPU stands in the list twice.
    #[error("CPU {cpu} stands in the list twice, the second time in `{part}`; name it once")]
    Duplicate {
        /// The CPU.
        cpu: usize,
        /// The part that names it again.
        part: String,
    },
}

impl CpuSet {
    /// Whether there is no CPU in it.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many CPUs there are in it.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether `cpu` is in it.
    pub fn contains(&self, cpu: usize) -> bool {
        self.0.contains(&cpu)
    }

    /// The CPUs, lowest first.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = usize> + '_ {
        self.0.iter().copied()
    }

    /// The CPUs that are not in `other`.
    #[must_use]
    pub fn without(&self, other: &Self) -> Self {
        Self(&self.0 - &other.0)
    }

    /// Reads a list that the kernel wrote: it ends with a line break, and an empty one is a set without CPUs.
    pub(super) fn parse_kernel_list(text: &str) -> Result<Self, CpuSetError> {
        let list = text.trim();
        if list.is_empty() { Ok(Self::default()) } else { list.parse() }
    }

    /// Keeps the current thread on these CPUs; `false` where the kernel refuses. Threads that it starts inherit that.
    pub fn pin_current_thread(&self) -> bool {
        let mut cpus = self.iter();
        if let (Some(id), None) = (cpus.next(), cpus.next()) {
            return core_affinity::set_for_current(CoreId { id });
        }
        // SAFETY: a mask of zeros is the empty mask; every CPU of the set is below CPUS_MAX and so within it.
        let mask = unsafe {
            let mut mask: libc::cpu_set_t = std::mem::zeroed();
            self.iter().for_each(|cpu| libc::CPU_SET(cpu, &mut mask));
            mask
        };
        // SAFETY: the mask lives through the call, and its size is told.
        unsafe { libc::sched_setaffinity(0, size_of_val(&mask), &mask) == 0 }
    }
}

impl FromIterator<usize> for CpuSet {
    /// Takes the CPUs that the kernel's mask can name.
    fn from_iter<I: IntoIterator<Item = usize>>(cpus: I) -> Self {
        Self(cpus.into_iter().filter(|&cpu| cpu < CPUS_MAX).collect())
    }
}

impl FromStr for CpuSet {
    type Err = CpuSetError;

    fn from_str(list: &str) -> Result<Self, CpuSetError> {
        let mut cpus = BTreeSet::new();
        for part in list.split(',') {
            let (first, last) = range(part.trim())?;
            for cpu in first..=last {
                if !cpus.insert(cpu) {
                    return Err(CpuSetError::Duplicate { cpu, part: part.trim().to_owned() });
                }
            }
        }
        Ok(Self(cpus))
    }
}

fn range(part: &str) -> Result<(usize, usize), CpuSetError> {
    let number = |text: &str| {
        // `parse` takes a sign too.
        let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        match text.parse::<usize>() {
            _ if !is_number => Err(CpuSetError::Malformed { part: part.to_owned() }),
            Ok(cpu) if cpu < CPUS_MAX => Ok(cpu),
            _ => Err(CpuSetError::TooLarge { part: part.to_owned() }),
        }
    };
    let (first, last) = part.split_once('-').unwrap_or((part, part));
    let (first, last) = (number(first)?, number(last)?);
    if first > last {
        return Err(CpuSetError::Backwards { part: part.to_owned() });
    }
    Ok((first, last))
}

impl fmt::Display for CpuSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut cpus = self.iter().peekable();
        let mut separator = "";
        while let Some(first) = cpus.next() {
            let mut last = first;
            while let Some(next) = cpus.next_if_eq(&(last + 1)) {
                last = next;
            }
            match last - first {
                0 => write!(f, "{separator}{first}")?,
                1 => write!(f, "{separator}{first},{last}")?,
                _ => write!(f, "{separator}{first}-{last}")?,
            }
            separator = ",";
        }
        Ok(())
    }
}

/// The CPUs of a host and the memory that is near them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Topology {
    /// CPUs that are there.
    pub present: CpuSet,
    /// CPUs that are switched on.
    pub online: CpuSet,
    /// CPUs that this process may use.
    pub allowed: CpuSet,
    /// The CPUs of each NUMA node, by the node's number; empty where the kernel knows no nodes.
    pub nodes: Vec<(usize, CpuSet)>,
}

impl Topology {
    /// Reads the host's; `read` gives the text of a file below `/sys/devices/system`.
    ///
    /// # Errors
    /// A file that every kernel has is missing or makes no sense.
    pub(super) fn read(
        allowed: CpuSet,
        read: impl Fn(&str) -> io::Result<String>,
    ) -> Result<Self, (String, io::Error)> {
        let list = |path: String| {
            let parse = |text: String| CpuSet::parse_kernel_list(&text).map_err(io::Error::other);
            read(&path).and_then(parse).map_err(|error| (path, error))
        };
        let present = list("cpu/present".to_owned())?;
        let online = list("cpu/online".to_owned())?;
        let mut nodes = Vec::new();
        // A kernel without NUMA has no such folder.
        if let Ok(numbers) = list("node/online".to_owned()) {
            for node in numbers.iter() {
                nodes.push((node, list(format!("node/node{node}/cpulist"))?));
            }
        }
        Ok(Self { present, online, allowed, nodes })
    }

    /// The NUMA node of `cpu`, 0 where the kernel knows none.
    pub(super) fn node(&self, cpu: usize) -> usize {
        self.nodes.iter().find(|(_, cpus)| cpus.contains(cpu)).map_or(0, |(node, _)| *node)
    }
}

/// The CPUs that the current thread, and with it this process, may use.
pub(super) fn allowed() -> CpuSet {
    core_affinity::get_core_ids().unwrap_or_default().into_iter().map(|core| core.id).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_list_names_single_cpus_and_ranges() {
        let cpus: CpuSet = "0, 2-5,9".parse().unwrap();
        assert_eq!(cpus.iter().collect::<Vec<_>>(), [0, 2, 3, 4, 5, 9]);
        assert_eq!(cpus.to_string(), "0,2-5,9");
        assert_eq!("3,4".parse::<CpuSet>().unwrap().to_string(), "3,4");
    }

    #[test]
    fn the_bad_part_of_a_list_is_named() {
        let part = |part: &str| part.to_owned();
        for (list, error) in [
            ("", CpuSetError::Malformed { part: part("") }),
            ("0,", CpuSetError::Malformed { part: part("") }),
            ("0,x", CpuSetError::Malformed { part: part("x") }),
            ("0,+1", CpuSetError::Malformed { part: part("+1") }),
            ("-1", CpuSetError::Malformed { part: part("-1") }),
            ("1-2-3", CpuSetError::Malformed { part: part("1-2-3") }),
            ("0,5-2", CpuSetError::Backwards { part: part("5-2") }),
            ("0-4294967295", CpuSetError::TooLarge { part: part("0-4294967295") }),
            ("99999999999999999999", CpuSetError::TooLarge { part: part("99999999999999999999") }),
            ("0,2-5,4", CpuSetError::Duplicate { cpu: 4, part: part("4") }),
            ("1,1", CpuSetError::Duplicate { cpu: 1, part: part("1") }),
        ] {
            assert_eq!(list.parse::<CpuSet>(), Err(error.clone()), "{list}");
            let said = error.to_string();
            assert!(said.contains(list.rsplit(',').next().unwrap()), "{said}");
        }
    }

    #[test]
    fn a_thread_stays_on_the_cpus_it_was_given() {
        let all = allowed();
        assert!(!all.is_empty());
        std::thread::spawn(move || {
            let first: CpuSet = all.iter().take(1).collect();
            assert!(first.pin_current_thread());
            assert_eq!(allowed(), first);
            assert!(all.pin_current_thread());
            assert_eq!(allowed(), all);
            assert!(!CpuSet::default().pin_current_thread());
        })
        .join()
        .unwrap();
    }

    proptest! {
        #[test]
        fn a_set_survives_the_way_to_text_and_back(cpus in proptest::collection::btree_set(0..CPUS_MAX, 1..40)) {
            let cpus = CpuSet(cpus);
            prop_assert_eq!(cpus.to_string().parse::<CpuSet>().unwrap(), cpus);
        }

        #[test]
        fn any_text_is_read_or_refused(list in "[0-9,\\- x]{0,20}") {
            if let Ok(cpus) = list.parse::<CpuSet>() {
                prop_assert!(!cpus.is_empty());
            }
        }
    }
}
