//! Fuzz target: what the kernel writes about processes and control groups.

use crate::sources::run::cgroup::Version;
use crate::sources::run::cgroup::counted_v1;
use crate::sources::run::cgroup::counted_v2;
use crate::sources::run::cgroup::membership;
use crate::sources::run::cgroup::mount;
use crate::sources::run::process::Stat;
use crate::sources::run::process::kilobytes;

/// Fuzz target: `bytes` are any of the files that are read, and a longer one in front of and behind
/// which other lines stand. A line that is understood is understood there, too.
pub fn fuzz_readings(bytes: &[u8]) {
    // The command of a process may hold anything, so its line is the whole of its file.
    if let Some(stat) = Stat::read(bytes) {
        let command = memchr::memchr(b'(', bytes).unwrap_or(0) + 1;
        let mut other = bytes.to_vec();
        other.splice(command..command, b") R 9 (".iter().copied());
        assert_eq!(Stat::read(&other), Some(stat));
    }
    let among_others = [b"Other: 1 kB\n7:x:/y\n", bytes, b"\nOther: 2 kB\n"].concat();
    if !bytes.is_empty() {
        assert_eq!(kilobytes(bytes, b"Pss"), kilobytes(&among_others, b"Pss"));
    }
    assert_eq!(counted_v1(bytes), counted_v1(&among_others));
    assert_eq!(counted_v2(bytes), counted_v2(&among_others));
    assert_eq!(membership(bytes), membership(&among_others));
    for version in [Version::V1, Version::V2] {
        assert_eq!(mount(bytes, version), mount(&among_others, version));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::collection::vec;
    use proptest::proptest;
    use proptest::sample::select;

    const PIECES: &[&str] = &[
        "7 (",
        "sh",
        ")",
        " ",
        "R",
        "S",
        "1",
        "42",
        "\n",
        "Pss:",
        "kB",
        "memory.stat",
        "total_rss ",
        "rss ",
        "hierarchical_memory_limit ",
        "anon ",
        "0::",
        "4:memory:",
        "/",
        "/a/b",
        "-",
        "cgroup",
        "cgroup2",
        "rw,memory",
        "\\040",
        "18446744073709551616",
        "-1",
        "0 0 0 0 0 0 0 0 0 0 0 0 0 0 3",
    ];

    proptest! {
        #[test]
        fn any_text_is_read_or_not(pieces in vec(select(PIECES), 0..40)) {
            fuzz_readings(pieces.concat().as_bytes());
        }
    }
}
