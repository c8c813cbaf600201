//! Processes as `/proc` shows them: which descend from one, what they hold in memory, how many of
//! their threads want a processor.
//!
//! What cannot be read is not there: processes end while one looks at them.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use crate::limits::PROC_FILE_BYTES_MAX;
use crate::limits::PROC_PROCESSES_MAX;
use crate::limits::PROC_THREADS_MAX;

/// Number of a process, or of a thread.
pub(crate) type Pid = u32;

/// What `/proc/PID/stat` and `/proc/PID/task/TID/stat` say (proc_pid_stat(5)).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Stat {
    pub(crate) pid: Pid,
    pub(crate) parent: Pid,
    /// Running or waiting for a processor.
    pub(crate) is_runnable: bool,
    pub(crate) threads_count: u64,
}

impl Stat {
    /// `PID (COMMAND) STATE PPID …`; the command may hold anything, parentheses and line ends too.
    pub(crate) fn read(text: &[u8]) -> Option<Self> {
        let open = memchr::memchr(b'(', text)?;
        let close = memchr::memrchr(b')', text)?;
        let pid = number(text.get(..open)?.trim_ascii())?;
        let mut fields = words(text.get(close + 1..)?);
        let state = fields.next()?;
        let parent = number(fields.next()?)?;
        // The third and fourth field of all were read; the twentieth is wanted.
        let threads_count = number(fields.nth(15)?)?;
        Some(Self {
            pid: Pid::try_from(pid).ok()?,
            parent: Pid::try_from(parent).ok()?,
            is_runnable: state == b"R",
            threads_count,
        })
    }
}

/// The bytes that `key` has in a text of lines `KEY:   NUMBER kB`: `status` and `smaps_rollup`.
pub(crate) fn kilobytes(text: &[u8], key: &[u8]) -> Option<u64> {
    text.split(|&byte| byte == b'\n').find_map(|line| {
        let value = line.strip_prefix(key)?.strip_prefix(b":")?;
        let count = value.trim_ascii().strip_suffix(b"kB")?;
        number(count.trim_ascii())?.checked_mul(1024)
    })
}

/// A number in decimal that is the whole of `text`.
pub(crate) fn number(text: &[u8]) -> Option<u64> {
    let all_digits = text.iter().all(u8::is_ascii_digit);
    std::str::from_utf8(text)
        .ok()
        .filter(|_| all_digits)?
        .parse()
        .ok()
}

/// What stands between blanks and line ends.
pub(crate) fn words(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split(u8::is_ascii_whitespace)
        .filter(|word| !word.is_empty())
}

/// What a file holds, up to `PROC_FILE_BYTES_MAX`; `None` when it cannot be read.
pub(crate) fn read(path: &Path) -> Option<Vec<u8>> {
    let file = File::open(path).ok()?;
    let mut bytes = Vec::new();
    file.take(PROC_FILE_BYTES_MAX)
        .read_to_end(&mut bytes)
        .ok()?;
    Some(bytes)
}

/// Memory that processes hold.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Held {
    /// In RAM. A page that several share counts for each with its part, so that a sum over a tree
    /// has it once.
    pub(crate) resident_bytes: u64,
    /// On the disk, shared in the same way.
    pub(crate) swap_bytes: u64,
}

/// `/proc`, or what a test shows instead.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Processes<'a>(pub(crate) &'a Path);

impl Processes<'_> {
    /// The descendants of `ancestor`, itself not; at most the first `PROC_PROCESSES_MAX` processes
    /// are looked at.
    pub(crate) fn descendants(self, ancestor: Pid) -> Vec<Stat> {
        let Ok(entries) = std::fs::read_dir(self.0) else {
            return Vec::new();
        };
        let stats = entries
            .filter_map(|entry| {
                let entry = entry.ok()?;
                number(entry.file_name().as_encoded_bytes())?;
                Stat::read(&read(&entry.path().join("stat"))?)
            })
            .take(PROC_PROCESSES_MAX);
        tree(stats, ancestor)
    }

    /// How many threads of `processes` run or could: at most `PROC_THREADS_MAX` are looked at.
    pub(crate) fn runnable_count(self, processes: &[Stat]) -> u32 {
        let mut looked_at = 0;
        let mut count = 0;
        for process in processes {
            // The state of a process is its first thread's: where that is the only one, it is known.
            if process.threads_count <= 1 {
                count += u32::from(process.is_runnable);
                continue;
            }
            let tasks = self.0.join(process.pid.to_string()).join("task");
            let Ok(entries) = std::fs::read_dir(tasks) else {
                continue;
            };
            for entry in entries.flatten() {
                if looked_at == PROC_THREADS_MAX {
                    return count;
                }
                looked_at += 1;
                let stat = read(&entry.path().join("stat")).and_then(|text| Stat::read(&text));
                count += u32::from(stat.is_some_and(|stat| stat.is_runnable));
            }
        }
        count
    }

    /// What `processes` hold together; `None` when nothing of it can be read.
    pub(crate) fn held(self, processes: &[Stat]) -> Option<Held> {
        processes
            .iter()
            .filter_map(|process| self.held_by(process.pid))
            .reduce(|sum, one| Held {
                resident_bytes: sum.resident_bytes.saturating_add(one.resident_bytes),
                swap_bytes: sum.swap_bytes.saturating_add(one.swap_bytes),
            })
    }

    /// The proportional set size from `smaps_rollup` (proc_pid_smaps(5)). That of another user's
    /// process may not be read: then `status`, which counts shared pages in full.
    fn held_by(self, pid: Pid) -> Option<Held> {
        let folder = self.0.join(pid.to_string());
        let in_keys = |name: &str, resident: &[u8], swap: &[u8]| {
            let text = read(&folder.join(name))?;
            Some(Held {
                resident_bytes: kilobytes(&text, resident)?,
                swap_bytes: kilobytes(&text, swap).unwrap_or(0),
            })
        };
        in_keys("smaps_rollup", b"Pss", b"SwapPss")
            .or_else(|| in_keys("status", b"VmRSS", b"VmSwap"))
    }
}

/// Those of `stats` that descend from `ancestor`.
fn tree(stats: impl Iterator<Item = Stat>, ancestor: Pid) -> Vec<Stat> {
    let mut children = BTreeMap::<Pid, Vec<Stat>>::new();
    for stat in stats {
        children.entry(stat.parent).or_default().push(stat);
    }
    // Taken out of the map: numbers that came round while one looked cannot make a circle.
    let mut found = children.remove(&ancestor).unwrap_or_default();
    let mut index = 0;
    while let Some(stat) = found.get(index) {
        found.extend(children.remove(&stat.pid).unwrap_or_default());
        index += 1;
    }
    found.retain(|stat| stat.pid != ancestor);
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn stat(pid: Pid, parent: Pid, is_runnable: bool, threads_count: u64) -> Stat {
        Stat {
            pid,
            parent,
            is_runnable,
            threads_count,
        }
    }

    #[test]
    fn stats_are_read_whatever_the_command() {
        let rest = "1 1 0 -1 4194560 9 0 0 0 1 2 0 0 20 0 7 0 3046 8 9";
        let line = |command: &str, state: &str| format!("42 ({command}) {state} 7 {rest}\n");
        for (text, expected) in [
            (line("sh", "S"), Some(stat(42, 7, false, 7))),
            (line("sh", "R"), Some(stat(42, 7, true, 7))),
            (line("sh", "D"), Some(stat(42, 7, false, 7))),
            (line("a) R 1 (b", "S"), Some(stat(42, 7, false, 7))),
            (line("a\n) b", "R"), Some(stat(42, 7, true, 7))),
            (line("", "Z"), Some(stat(42, 7, false, 7))),
            ("42 (sh) S 7 1 1 0".to_owned(), None),
            ("42 (sh S 7".to_owned(), None),
            ("42 sh) S 7".to_owned(), None),
            (") (".to_owned(), None),
            (line("sh", "S").replace("42", "4294967296"), None),
            (line("sh", "S").replace("42", "-1"), None),
            (String::new(), None),
        ] {
            assert_eq!(Stat::read(text.as_bytes()), expected, "{text:?}");
        }
    }

    #[test]
    fn sizes_stand_behind_their_keys() {
        let text = b"Name:\tsh\nVmHWM:\t  99 kB\nVmRSS:\t    3420 kB\nVmSwap:\t       0 kB\nPss_Anon:  7 kB\nPss:  5 kB\nThreads:\t1\nBad: x kB\nHuge: 18446744073709551615 kB\n";
        for (key, expected) in [
            ("VmRSS", Some(3420 * 1024)),
            ("VmSwap", Some(0)),
            ("Pss", Some(5 * 1024)),
            ("Threads", None),
            ("Bad", None),
            ("Huge", None),
            ("Vm", None),
            ("", None),
        ] {
            assert_eq!(kilobytes(text, key.as_bytes()), expected, "{key}");
        }
        assert_eq!(kilobytes(b"Pss: 5 kB", b"Pss"), Some(5 * 1024));
        assert_eq!(kilobytes(b"Pss: kB", b"Pss"), None);
    }

    #[test]
    fn descendants_are_found_in_any_order() {
        let pairs = [(5, 4), (1, 0), (4, 2), (3, 1), (2, 1), (6, 2), (9, 8)];
        let stats = || {
            pairs
                .iter()
                .map(|&(pid, parent)| stat(pid, parent, false, 1))
        };
        let pids = |ancestor| {
            let mut pids: Vec<Pid> = tree(stats(), ancestor).iter().map(|s| s.pid).collect();
            pids.sort_unstable();
            pids
        };
        assert_eq!(pids(1), [2, 3, 4, 5, 6]);
        assert_eq!(pids(2), [4, 5, 6]);
        assert!(pids(5).is_empty());
        assert!(pids(77).is_empty());
        // A circle, which no moment has, but which two looks can see.
        let circle = [stat(2, 3, false, 1), stat(3, 2, false, 1)];
        assert_eq!(tree(circle.into_iter(), 2), [circle[1]]);
    }

    #[test]
    fn a_tree_is_summed_and_what_is_missing_left_out() {
        let root = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        let line = |pid: Pid, parent: Pid, state: &str, threads: u32| {
            format!("{pid} (x) {state} {parent} 1 1 0 -1 0 9 0 0 0 1 2 0 0 20 0 {threads} 0 3\n")
        };
        write("10/stat", &line(10, 1, "S", 1));
        write("11/stat", &line(11, 10, "R", 1));
        write(
            "11/smaps_rollup",
            "0-f ---p 0 00:00 0  [rollup]\nRss: 9 kB\nPss: 4 kB\nSwapPss: 1 kB\n",
        );
        write("12/stat", &line(12, 11, "S", 3));
        write("12/task/12/stat", &line(12, 11, "S", 3));
        write("12/task/13/stat", &line(13, 11, "R", 3));
        write("12/task/14/stat", &line(14, 11, "R", 3));
        write("12/status", "VmRSS: 16 kB\n");
        write("15/stat", &line(15, 12, "S", 1));
        write("16/stat", &line(16, 1, "R", 1));
        write("self/stat", &line(17, 10, "R", 1));
        let proc = Processes(root.path());
        let mut found = proc.descendants(10);
        found.sort_by_key(|stat| stat.pid);
        assert_eq!(
            found.iter().map(|s| s.pid).collect::<Vec<_>>(),
            [11, 12, 15]
        );
        assert_eq!(proc.runnable_count(&found), 3);
        let held = Held {
            resident_bytes: 20 * 1024,
            swap_bytes: 1024,
        };
        assert_eq!(proc.held(&found), Some(held));
        assert_eq!(proc.held(&found[2..]), None);
        assert_eq!(Processes(&root.path().join("none")).descendants(10), []);
    }
}
