//! What a process has used, as the kernel counts it.

/// What a process has used so far.
#[derive(Clone, Copy, Debug)]
pub struct Usage {
    /// Processor seconds, user and system together.
    pub cpu_seconds: f64,
    /// Resident memory, in bytes.
    pub memory_bytes: u64,
    /// Greatest resident memory so far, in bytes.
    pub memory_bytes_max: u64,
}

/// Processor time and memory of process `pid`, from `/proc`.
///
/// Time is counted twice: to the nanosecond over the threads that live, and in ticks of 10 ms with
/// those that ended. Both can only be short of the truth, so the greater counts.
pub fn usage_of(pid: u32) -> Usage {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let bytes = |name: &str| {
        let line = status.lines().find(|line| line.starts_with(name)).unwrap();
        let kilobytes: u64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
        kilobytes * 1024
    };
    Usage {
        cpu_seconds: live_seconds(pid).max(tick_seconds(pid)),
        memory_bytes: bytes("VmRSS:"),
        memory_bytes_max: bytes("VmHWM:"),
    }
}

fn live_seconds(pid: u32) -> f64 {
    let threads = std::fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    let nanos: u64 = threads
        .filter_map(|thread| {
            let path = thread.unwrap().path().join("schedstat");
            // A thread may have ended since the folder was read.
            let text = std::fs::read_to_string(path).ok()?;
            text.split(' ').next()?.parse::<u64>().ok()
        })
        .sum();
    nanos as f64 / 1e9
}

/// Ticks of `/proc/PID/stat` in a second: what Linux shows to programs on every architecture.
const TICKS_PER_SECOND: f64 = 100.0;

fn tick_seconds(pid: u32) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    // The program's name stands in brackets and may hold anything.
    let fields = stat.rsplit(')').next().unwrap();
    let ticks: u64 = fields
        .split_whitespace()
        .skip(11)
        .take(2)
        .map(|field| field.parse::<u64>().unwrap())
        .sum();
    ticks as f64 / TICKS_PER_SECOND
}
