//! Readings of the machine that a server runs on, out of /proc: load, memory, disks, and the memory
//! of a server's processes. The readers are pure; what is missing or looks different is `None`.

use std::fs;
use std::num::NonZero;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use tokio::time::Instant;

use crate::clock;
use crate::limits::MACHINE_PROCESSES_MAX;
use crate::sources::samples::Samples;

/// Load averages, divided by the number of processors.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Load {
    one: f64,
    five: f64,
    fifteen: f64,
}

impl Load {
    /// Now.
    #[must_use]
    pub fn read() -> Option<Self> {
        let processors = std::thread::available_parallelism().map_or(1, NonZero::get);
        let processors = u32::try_from(processors).ok()?;
        Self::parse(&fs::read_to_string("/proc/loadavg").ok()?, processors)
    }

    fn parse(loadavg: &str, processors: u32) -> Option<Self> {
        let mut words = loadavg.split_whitespace();
        let mut next = || Some(words.next()?.parse::<f64>().ok()? / f64::from(processors));
        Some(Self {
            one: next()?,
            five: next()?,
            fifteen: next()?,
        })
    }

    /// Writes `load-avg-1m`, `-5m` and `-15m`.
    pub fn write(load: Option<Self>, samples: &mut Samples) {
        samples.rate("load-avg-1m", load.map(|load| load.one));
        samples.rate("load-avg-5m", load.map(|load| load.five));
        samples.rate("load-avg-15m", load.map(|load| load.fifteen));
    }
}

/// The machine's memory, in KiB.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Memory {
    total: u64,
    free: u64,
    cached: Option<u64>,
}

impl Memory {
    /// Now.
    #[must_use]
    pub fn read() -> Option<Self> {
        Self::parse(&fs::read_to_string("/proc/meminfo").ok()?)
    }

    fn parse(meminfo: &str) -> Option<Self> {
        Some(Self {
            total: kib(meminfo, "MemTotal:")?,
            free: kib(meminfo, "MemFree:")?,
            cached: kib(meminfo, "Cached:"),
        })
    }

    /// Writes `memory-total`, `-free`, `-percentage-used` and `-cached`.
    pub fn write(memory: Option<Self>, samples: &mut Samples) {
        samples.number("memory-total", memory.map(|memory| memory.total), "kB");
        samples.number("memory-free", memory.map(|memory| memory.free), "kB");
        let used =
            memory.and_then(|memory| part(memory.total.saturating_sub(memory.free), memory.total));
        samples.fraction("memory-percentage-used", used);
        let cached = memory.and_then(|memory| memory.cached);
        samples.number("memory-cached", cached, "kB");
    }
}

/// `of` as a part of `whole`; nothing where there is no whole.
#[must_use]
#[expect(
    clippy::cast_precision_loss,
    reason = "five decimals of the quotient are shown"
)]
pub fn part(of: u64, whole: u64) -> Option<f64> {
    (0 < whole).then(|| of as f64 / whole as f64)
}

/// The number behind `name` in /proc/meminfo or a process's status.
fn kib(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.trim().strip_suffix("kB")?.trim().parse().ok()
}

/// What a disk has done since the machine started, in blocks of 16 KiB.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct DiskWork {
    read: u64,
    written: u64,
}

impl DiskWork {
    /// Of the device `major:minor` in /proc/diskstats; sectors there are 512 bytes.
    fn parse(diskstats: &str, major: u32, minor: u32) -> Option<Self> {
        diskstats.lines().find_map(|line| {
            let words: Vec<&str> = line.split_whitespace().collect();
            let number = |index: usize| words.get(index)?.parse::<u64>().ok();
            if number(0)? != u64::from(major) || number(1)? != u64::from(minor) {
                return None;
            }
            Some(Self {
                read: number(5)? / SECTORS_PER_BLOCK,
                written: number(9)? / SECTORS_PER_BLOCK,
            })
        })
    }
}

/// Heroku counts operations in blocks of 16 KiB.
const SECTORS_PER_BLOCK: u64 = 32;

/// How much a disk works: what it did between two readings.
#[derive(Debug, Default)]
pub struct Disk {
    last: Option<(Instant, DiskWork)>,
}

impl Disk {
    /// Writes `read-iops` and `write-iops` of the disk that holds `path` since the last time, if
    /// there was one and the file system is a disk's.
    pub fn write(&mut self, path: Option<&Path>, samples: &mut Samples) {
        let now = clock::now();
        let work = path.and_then(work_of);
        let before = std::mem::replace(&mut self.last, work.map(|work| (now, work)));
        let (Some((then, before)), Some(work)) = (before, work) else {
            return;
        };
        let seconds = now.saturating_duration_since(then).as_secs_f64();
        let rate = |now: u64, before: u64| {
            let blocks = u32::try_from(now.saturating_sub(before)).ok()?;
            (0.0 < seconds).then(|| f64::from(blocks) / seconds)
        };
        samples.rate("read-iops", rate(work.read, before.read));
        samples.rate("write-iops", rate(work.written, before.written));
    }
}

fn work_of(path: &Path) -> Option<DiskWork> {
    let device = fs::metadata(path).ok()?.dev();
    let (major, minor) = (rustix::fs::major(device), rustix::fs::minor(device));
    DiskWork::parse(&fs::read_to_string("/proc/diskstats").ok()?, major, minor)
}

/// A file system's room, in bytes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Room {
    /// All of it.
    pub total: u64,
    /// What is taken.
    pub used: u64,
    /// What is left for who is not root.
    pub available: u64,
}

impl Room {
    /// Of the file system that holds `path`.
    #[must_use]
    pub fn read(path: &Path) -> Option<Self> {
        let told = rustix::fs::statvfs(path).ok()?;
        let total = told.f_blocks.saturating_mul(told.f_frsize);
        Some(Self {
            total,
            used: total.saturating_sub(told.f_bfree.saturating_mul(told.f_frsize)),
            available: told.f_bavail.saturating_mul(told.f_frsize),
        })
    }
}

/// The process `pid`'s parent, if it is there.
#[must_use]
pub fn parent(pid: u32) -> Option<u32> {
    parent_of(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// The fourth field of a process's `stat`; the second, its name, may hold anything.
fn parent_of(stat: &str) -> Option<u32> {
    let (_, behind) = stat.rsplit_once(')')?;
    behind.split_whitespace().nth(1)?.parse().ok()
}

/// The process `pid`'s command line, its zero bytes as spaces.
#[must_use]
pub fn command(pid: u32) -> Option<String> {
    let bytes = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    Some(String::from_utf8_lossy(&bytes).replace('\0', " "))
}

/// Memory of the process `root` and its children, in KiB; what several share is counted once.
/// `None` when one of them cannot be read: it takes the same user or root.
#[must_use]
pub fn family_kib(root: u32) -> Option<u64> {
    let listed = fs::read_dir("/proc").ok()?;
    let children = listed
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok())
        .filter(|pid| parent(*pid) == Some(root))
        .take(MACHINE_PROCESSES_MAX);
    let mut sum = 0_u64;
    for pid in children.chain([root]) {
        match fs::read_to_string(format!("/proc/{pid}/smaps_rollup")) {
            Ok(text) => sum = sum.saturating_add(kib(&text, "Pss:")?),
            // It ended meanwhile.
            Err(_) if parent(pid).is_none() => {}
            Err(_) => return None,
        }
    }
    Some(sum)
}

/// Reads anything as any of these files.
#[cfg(any(fuzzing, test))]
pub fn fuzz_machine(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let mut samples = Samples::new("A", "b");
    Load::write(Load::parse(&text, 3), &mut samples);
    Memory::write(Memory::parse(&text), &mut samples);
    let work = DiskWork::parse(&text, 8, 0);
    assert!(work.is_none_or(|work| work.read <= u64::MAX / SECTORS_PER_BLOCK));
    assert!(parent_of(&text).is_none() || text.contains(')'));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn load_is_by_processor() {
        let load = Load::parse("0.50 1.00 2.00 1/300 4242\n", 2);
        let expected = Load {
            one: 0.25,
            five: 0.5,
            fifteen: 1.0,
        };
        assert_eq!(load, Some(expected));
        for bad in ["", "0.5", "0.5 1 x", "a b c"] {
            assert_eq!(Load::parse(bad, 2), None, "{bad:?}");
        }
        assert!(Load::read().is_some());
    }

    #[test]
    fn memory_is_what_the_kernel_counts() {
        let meminfo = "MemTotal:       16167800 kB\nMemFree:        10693340 kB\n\
                       MemAvailable:   12000000 kB\nCached:           979072 kB\n";
        let mut samples = Samples::new("R", "r");
        Memory::write(Memory::parse(meminfo), &mut samples);
        assert_eq!(
            String::from_utf8(samples.into_line()).unwrap(),
            "source=R addon=r sample#memory-total=16167800kB sample#memory-free=10693340kB \
             sample#memory-percentage-used=0.33860 sample#memory-cached=979072kB"
        );
        for bad in ["", "MemTotal: 1 kB", "MemTotal: x kB\nMemFree: 1 kB"] {
            assert_eq!(Memory::parse(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn a_disk_is_found_by_its_number() {
        let diskstats = "   8       0 sda 10 0 640 5 20 0 3200 6 0 7 8\n\
                         \x20259       1 nvme0n1p1 1 2 64 4 5 6 96 8 9 10 11\n";
        let check = |major, minor, expected: Option<(u64, u64)>| {
            let work = DiskWork::parse(diskstats, major, minor);
            let expected = expected.map(|(read, written)| DiskWork { read, written });
            assert_eq!(work, expected);
        };
        check(8, 0, Some((20, 100)));
        check(259, 1, Some((2, 3)));
        check(8, 1, None);
    }

    #[test]
    fn a_process_may_be_called_anything() {
        assert_eq!(parent_of("42 (a) b) (c) S 7 1 1"), Some(7));
        assert_eq!(parent_of("42 (postgres) S 1"), Some(1));
        for bad in ["", "42", "42 (x)", "42 (x) S", "42 (x) S y"] {
            assert_eq!(parent_of(bad), None, "{bad:?}");
        }
        let own = std::process::id();
        assert!(parent(own).is_some());
        assert!(command(own).is_some_and(|words| !words.is_empty()));
        assert!(family_kib(own).is_some_and(|kib| 100 < kib));
    }

    #[test]
    fn room_is_there() {
        let room = Room::read(Path::new("/")).unwrap();
        assert!(room.used <= room.total && room.available <= room.total);
        assert_eq!(Room::read(Path::new("/there/is/none")), None);
    }
}
