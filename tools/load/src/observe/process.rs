//! A process as `/proc` tells of it: CPU time of each thread, memory, descriptors.

use std::collections::BTreeMap;
use std::fs;
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::error::LoadError;

/// Ticks of `/proc`'s CPU times in a second: USER_HZ, which is 100 wherever Linux tells it to programs.
const TICKS_PER_SECOND: u64 = 100;
/// Where user and system time stand in a `stat` line, counted behind the command's parentheses.
const TIME_FIELDS: [usize; 2] = [11, 12];

/// One look at a process.
#[derive(Clone, Debug)]
pub struct ProcessSample {
    at: Instant,
    cpu: Duration,
    /// Name and CPU time by thread.
    threads: BTreeMap<u32, (String, Duration)>,
    resident_bytes: u64,
    descriptors: u64,
}

/// What a process did between two looks.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ProcessUse {
    /// The process.
    pub pid: u32,
    /// CPU time of all its threads, in seconds.
    pub cpu_s: f64,
    /// The same as a share of one core.
    pub cores: f64,
    /// Each thread's share of one core, the busiest first.
    pub threads: Vec<ThreadUse>,
    /// Resident memory at the first look, in bytes.
    pub resident_before_bytes: u64,
    /// Resident memory at the second look, in bytes.
    pub resident_after_bytes: u64,
    /// Open descriptors at the first look; none where they may not be counted.
    pub descriptors_before: u64,
    /// Open descriptors at the second look.
    pub descriptors_after: u64,
}

/// What a thread did.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ThreadUse {
    /// The thread's number.
    pub tid: u32,
    /// Its name.
    pub name: String,
    /// Its share of one core.
    pub cores: f64,
}

impl ProcessSample {
    /// Looks at `pid`.
    ///
    /// # Errors
    /// Where there is no such process, or it may not be looked at.
    pub fn take(pid: u32) -> Result<Self, LoadError> {
        let gone = || LoadError::System(format!("/proc/{pid} can't be read: is --pid {pid} a process that runs here?"));
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).map_err(|_| gone())?;
        let status = fs::read_to_string(format!("/proc/{pid}/status")).map_err(|_| gone())?;
        let mut threads = BTreeMap::new();
        for entry in fs::read_dir(format!("/proc/{pid}/task")).map_err(|_| gone())?.flatten() {
            // A thread may end between the listing and the look.
            let stat = fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
            let tid = entry.file_name().to_str().and_then(|name| name.parse().ok());
            threads.extend(tid.zip(parse_stat(&stat)));
        }
        Ok(Self {
            at: Instant::now(),
            cpu: parse_stat(&stat).ok_or_else(gone)?.1,
            threads,
            resident_bytes: resident_bytes(&status).unwrap_or(0),
            descriptors: fs::read_dir(format!("/proc/{pid}/fd")).map_or(0, |entries| entries.count() as u64),
        })
    }

    /// What the process did from this look to `after`.
    pub fn until(&self, after: &Self, pid: u32) -> ProcessUse {
        let wall_s = after.at.saturating_duration_since(self.at).as_secs_f64().max(f64::EPSILON);
        let share = |before: Duration, after: Duration| after.saturating_sub(before).as_secs_f64() / wall_s;
        let mut threads: Vec<ThreadUse> = after
            .threads
            .iter()
            .map(|(&tid, (name, cpu))| {
                let before = self.threads.get(&tid).map_or(Duration::ZERO, |(_, cpu)| *cpu);
                ThreadUse { tid, name: name.clone(), cores: share(before, *cpu) }
            })
            .collect();
        threads.sort_by(|left, right| right.cores.total_cmp(&left.cores));
        ProcessUse {
            pid,
            cpu_s: after.cpu.saturating_sub(self.cpu).as_secs_f64(),
            cores: share(self.cpu, after.cpu),
            threads,
            resident_before_bytes: self.resident_bytes,
            resident_after_bytes: after.resident_bytes,
            descriptors_before: self.descriptors,
            descriptors_after: after.descriptors,
        }
    }
}

/// Name and CPU time of a `stat` line. The name stands in parentheses and may itself hold some.
fn parse_stat(stat: &str) -> Option<(String, Duration)> {
    let (_, rest) = stat.split_once('(')?;
    let (name, fields) = rest.rsplit_once(") ")?;
    let fields: Vec<&str> = fields.split(' ').collect();
    let ticks = TIME_FIELDS.into_iter().map(|place| fields.get(place)?.parse::<u64>().ok()).sum::<Option<u64>>()?;
    Some((name.to_owned(), Duration::from_millis(ticks * 1000 / TICKS_PER_SECOND)))
}

fn resident_bytes(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().trim_end_matches(" kB").parse::<u64>().ok().map(|kibibytes| kibibytes * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::thread_cpu;

    #[test]
    fn a_stat_line_is_read_whatever_the_name() {
        let line = "7 (a (b) c) S 1 7 7 0 -1 4194560 100 0 0 0 250 30 0 0 20 0 1 0 5 0 0";
        assert_eq!(parse_stat(line), Some(("a (b) c".into(), Duration::from_millis(2800))));
        assert_eq!(parse_stat("7 (short) S 1"), None);
    }

    #[test]
    fn a_busy_thread_of_this_process_is_seen_by_its_name() {
        let pid = std::process::id();
        let before = ProcessSample::take(pid).expect("it runs");
        let busy = std::thread::Builder::new().name("busy".into()).spawn(|| {
            let began = Instant::now();
            let mut ticks = 0u64;
            // Past some ticks of the counter, however little of a core the thread is given.
            while thread_cpu() < Duration::from_millis(60) && began.elapsed() < Duration::from_secs(60) {
                ticks = ticks.wrapping_add(1);
            }
            std::thread::park();
            ticks
        });
        let busy = busy.expect("a thread");
        let deadline = Instant::now() + Duration::from_secs(60);
        let seen = loop {
            let seen = before.until(&ProcessSample::take(pid).expect("it runs"), pid);
            let thread = seen.threads.iter().find(|thread| thread.name == "busy").map(|thread| thread.cores);
            // The process's own time is read first, and may lag a tick behind the thread's.
            let is_seen = thread.is_some_and(|cores| cores > 0.0) && seen.cpu_s > 0.0;
            if is_seen || Instant::now() > deadline {
                break seen;
            }
            std::thread::sleep(Duration::from_millis(10));
        };
        busy.thread().unpark();
        busy.join().expect("it ends");
        assert!(seen.threads.iter().any(|thread| thread.name == "busy" && thread.cores > 0.0));
        assert!(seen.cpu_s > 0.0 && seen.resident_after_bytes > 1 << 20 && seen.descriptors_after > 2);
    }

    #[test]
    fn a_process_that_is_not_there_is_an_error_that_names_it() {
        let error = ProcessSample::take(u32::MAX).expect_err("there is none");
        assert!(error.to_string().contains("4294967295"), "{error}");
    }
}
