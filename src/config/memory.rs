//! How much memory the machine gives this process.

use std::fs;

/// Default of `node_bytes_max`: half of the memory there is, at most 4 GiB.
#[must_use]
pub(crate) fn node_bytes_default() -> usize {
    let read = |path| fs::read_to_string(path).unwrap_or_default();
    let total = total_bytes(&read("/proc/meminfo"), &read("/sys/fs/cgroup/memory.max"));
    usize::try_from(total / 2)
        .unwrap_or(NODE_BYTES_MAX)
        .min(NODE_BYTES_MAX)
}

/// The smaller of what the machine has and what its control group allows.
fn total_bytes(meminfo: &str, cgroup: &str) -> u64 {
    let machine = meminfo
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:"))
        .and_then(|rest| rest.trim().strip_suffix("kB"))
        .and_then(|kib| kib.trim().parse::<u64>().ok())
        .map_or(MEMORY_BYTES_UNKNOWN, |kib| kib.saturating_mul(1_024));
    // "max" means that the group sets no bound.
    let group = cgroup.trim().parse().unwrap_or(u64::MAX);
    machine.min(group)
}

const NODE_BYTES_MAX: usize = 4 << 30;

/// Taken where the system does not say: small enough for any machine that runs a server.
const MEMORY_BYTES_UNKNOWN: u64 = 1 << 30;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_smaller_bound_counts() {
        let meminfo = "MemFree: 1 kB\nMemTotal:       16384000 kB\nSwapTotal: 0 kB\n";
        for (meminfo, cgroup, expected) in [
            (meminfo, "max\n", 16_384_000 * 1_024),
            (meminfo, "536870912\n", 536_870_912),
            (meminfo, "", 16_384_000 * 1_024),
            ("", "", MEMORY_BYTES_UNKNOWN),
            ("MemTotal: much\n", "max", MEMORY_BYTES_UNKNOWN),
        ] {
            assert_eq!(
                total_bytes(meminfo, cgroup),
                expected,
                "{meminfo:?} {cgroup:?}"
            );
        }
    }

    #[test]
    fn the_default_is_bounded() {
        assert!((1..=NODE_BYTES_MAX).contains(&node_bytes_default()));
    }
}
