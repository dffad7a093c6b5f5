//! What the kernel allows this process: locked memory and io_uring.

#![allow(unsafe_code)]

use std::fs;
use std::io;
use std::os::fd::{FromRawFd, OwnedFd};

/// Memory that one executor locks at the most. glommio refuses to start below it.
pub(super) const MEMLOCK_PER_SHARD: u64 = 512 * 1024;

/// The bit of the capability that frees a process from the limit (capability.h).
const CAP_IPC_LOCK: u32 = 14;

/// How much memory this process may lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemlockLimit {
    /// Bytes for all that its user locks; `u64::MAX` for no limit.
    pub limit: u64,
    /// Whether the kernel does not count what this process locks (CAP_IPC_LOCK).
    pub is_exempt: bool,
}

/// Whether io_uring can be had, and if not, who forbids it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IoUring {
    /// It can.
    Usable,
    /// The kernel has none.
    Absent,
    /// The sysctl `kernel.io_uring_disabled` has this value, which excludes this process.
    Disabled(u8),
    /// A seccomp filter forbids the system call, as those of containers do.
    Filtered,
    /// The kernel refused with this error number.
    Refused(i32),
}

/// Reads the limit of locked memory.
pub(super) fn memlock() -> MemlockLimit {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the kernel fills the structure, which lives through the call.
    let result = unsafe { libc::getrlimit(libc::RLIMIT_MEMLOCK, &mut limit) };
    // RLIM_INFINITY is the largest number.
    let limit = if result == 0 { limit.rlim_cur } else { u64::MAX };
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    MemlockLimit { limit, is_exempt: has_capability(&status, CAP_IPC_LOCK) }
}

/// Whether the effective capabilities in a text of `/proc/self/status` hold the one with this bit.
fn has_capability(status: &str, bit: u32) -> bool {
    let mask = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).is_some_and(|mask| mask >> bit & 1 == 1)
}

/// Makes a ring to see whether it is allowed.
pub(super) fn io_uring() -> IoUring {
    // The largest version of `struct io_uring_params` has 120 bytes; zeros ask for nothing special.
    let mut params = [0_u64; 15];
    // SAFETY: the kernel reads and fills the parameters, which live through the call and are as large as it knows them.
    let ring = unsafe { libc::syscall(libc::SYS_io_uring_setup, 1_u32, params.as_mut_ptr()) };
    match i32::try_from(ring) {
        Ok(ring @ 0..) => {
            // SAFETY: the kernel has just opened the descriptor for us.
            drop(unsafe { OwnedFd::from_raw_fd(ring) });
            IoUring::Usable
        }
        _ => refusal(
            io::Error::last_os_error().raw_os_error().unwrap_or_default(),
            fs::read_to_string("/proc/sys/kernel/io_uring_disabled").ok().as_deref(),
        ),
    }
}

/// Who forbids io_uring, from the error number and the text of the sysctl.
fn refusal(error: i32, sysctl: Option<&str>) -> IoUring {
    let disabled = sysctl.and_then(|text| text.trim().parse().ok()).unwrap_or(0);
    match (error, disabled) {
        (libc::ENOSYS, _) => IoUring::Absent,
        (libc::EPERM, 1..) => IoUring::Disabled(disabled),
        (libc::EPERM | libc::EACCES, _) => IoUring::Filtered,
        (error, _) => IoUring::Refused(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_names_who_forbids() {
        assert_eq!(refusal(libc::ENOSYS, None), IoUring::Absent);
        assert_eq!(refusal(libc::EPERM, Some("2\n")), IoUring::Disabled(2));
        assert_eq!(refusal(libc::EPERM, Some("1\n")), IoUring::Disabled(1));
        assert_eq!(refusal(libc::EPERM, Some("0\n")), IoUring::Filtered);
        assert_eq!(refusal(libc::EPERM, None), IoUring::Filtered);
        assert_eq!(refusal(libc::ENOMEM, Some("0\n")), IoUring::Refused(libc::ENOMEM));
    }

    #[test]
    fn a_capability_is_read_from_the_effective_mask() {
        let status = "Name:\tx\nCapPrm:\tffffffffffffffff\nCapEff:\t0000000000004000\n";
        assert!(has_capability(status, CAP_IPC_LOCK));
        assert!(!has_capability(status, CAP_IPC_LOCK + 1));
        assert!(!has_capability("CapPrm:\tffffffffffffffff\n", CAP_IPC_LOCK));
    }
}
