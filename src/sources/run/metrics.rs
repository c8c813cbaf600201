//! The two lines of runtime metrics, in the platform's shape (`log-runtime-metrics`).

use std::collections::BTreeSet;
use std::path::Path;

use crate::sources::run::cgroup::Cgroup;
use crate::sources::run::cgroup::Counted;
use crate::sources::run::load::Load;
use crate::sources::run::process::Held;
use crate::sources::run::process::Pid;
use crate::sources::run::process::Processes;
use crate::sources::run::process::Stat;

/// Memory of a process and its descendants; what could not be read is missing.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Memory(Counted);

impl Memory {
    /// What the descendants of `ancestor` use: as their control group counts it where it is theirs
    /// alone, else as `/proc` shows each of them.
    pub(crate) fn of_descendants(root: &Path, ancestor: Pid) -> Self {
        let processes = Processes(root);
        if let Some(group) = Cgroup::of_self(root) {
            let before = group.members();
            let mut ours = pids(&processes.descendants(ancestor));
            let after = group.members();
            ours.insert(ancestor);
            if let (Some(before), Some(after)) = (before, after)
                && is_own(&before, &ours, &after)
            {
                return Self(group.counted());
            }
        }
        Self::of_held(processes.held(&processes.descendants(ancestor)))
    }

    fn of_held(held: Option<Held>) -> Self {
        Self(Counted {
            rss_bytes: held.map(|held| held.resident_bytes),
            swap_bytes: held.map(|held| held.swap_bytes),
            ..Counted::default()
        })
    }

    /// What is resident, cached and swapped out together, as far as it is known.
    fn total_bytes(&self) -> Option<u64> {
        [self.0.rss_bytes, self.0.cache_bytes, self.0.swap_bytes]
            .into_iter()
            .flatten()
            .reduce(u64::saturating_add)
    }
}

/// Whom the lines are about.
#[derive(Clone, Debug)]
pub(crate) struct Subject {
    /// `source=PROCID dyno=ID`
    head: String,
}

impl Subject {
    pub(crate) fn new(procid: &str, dyno: &str) -> Self {
        Self {
            head: format!("source={procid} dyno={dyno}"),
        }
    }

    /// The line about load.
    pub(crate) fn load_line(&self, load: &Load) -> String {
        let mut line = self.head.clone();
        for (name, value) in load.averages() {
            line.push_str(&format!(" sample#{name}={value:.2}"));
        }
        line
    }

    /// The line about memory; `None` when nothing is known.
    pub(crate) fn memory_line(&self, memory: &Memory) -> Option<String> {
        let counted = &memory.0;
        let sizes = |number: Option<u64>| number.map(|bytes| format!("{}MB", megabytes(bytes)));
        let pages = |number: Option<u64>| number.map(|count| format!("{count}pages"));
        let samples = [
            ("memory_total", sizes(memory.total_bytes())),
            ("memory_rss", sizes(counted.rss_bytes)),
            ("memory_cache", sizes(counted.cache_bytes)),
            ("memory_swap", sizes(counted.swap_bytes)),
            ("memory_pgpgin", pages(counted.pgpgin_pages)),
            ("memory_pgpgout", pages(counted.pgpgout_pages)),
            ("memory_quota", sizes(counted.quota_bytes)),
        ];
        memory.total_bytes()?;
        let mut line = self.head.clone();
        for (name, value) in samples {
            if let Some(value) = value {
                line.push_str(&format!(" sample#{name}={value}"));
            }
        }
        Some(line)
    }
}

fn pids(stats: &[Stat]) -> BTreeSet<Pid> {
    stats.iter().map(|stat| stat.pid).collect()
}

/// Whether a group with such members, before and after one looked who is `ours`, has no others but
/// process 1, the init of a container. Who is a member at one time only was born or ended meanwhile.
fn is_own(before: &BTreeSet<Pid>, ours: &BTreeSet<Pid>, after: &BTreeSet<Pid>) -> bool {
    let mut stayed = before.intersection(after);
    stayed.all(|pid| *pid == 1 || ours.contains(pid))
}

/// Megabytes of 1024² bytes, in hundredths.
fn megabytes(bytes: u64) -> String {
    let hundredths = (u128::from(bytes) * 100 + MEGABYTE / 2) / MEGABYTE;
    format!("{}.{:02}", hundredths / 100, hundredths % 100)
}

const MEGABYTE: u128 = 1024 * 1024;

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn lines_are_the_platforms() {
        let subject = Subject::new("web.1", "heroku.0.9f");
        let mut load = Load::default();
        for _ in 0..180 {
            load.sample(1, Duration::from_secs(5));
        }
        assert_eq!(
            subject.load_line(&load),
            "source=web.1 dyno=heroku.0.9f sample#load_avg_1m=1.00 sample#load_avg_5m=0.95 \
             sample#load_avg_15m=0.63"
        );
        let all = Memory(Counted {
            rss_bytes: Some(22_261_269),
            cache_bytes: Some(0),
            swap_bytes: Some(1024 * 1024),
            pgpgin_pages: Some(348_836),
            pgpgout_pages: Some(343_403),
            quota_bytes: Some(512 * 1024 * 1024),
        });
        assert_eq!(
            subject.memory_line(&all).unwrap(),
            "source=web.1 dyno=heroku.0.9f sample#memory_total=22.23MB sample#memory_rss=21.23MB \
             sample#memory_cache=0.00MB sample#memory_swap=1.00MB sample#memory_pgpgin=348836pages \
             sample#memory_pgpgout=343403pages sample#memory_quota=512.00MB"
        );
    }

    #[test]
    fn what_is_not_known_is_left_out() {
        let subject = Subject::new("run.1", "heroku.0.9f");
        let held = Held {
            resident_bytes: 5 * 1024 * 1024,
            swap_bytes: 0,
        };
        assert_eq!(
            subject.memory_line(&Memory::of_held(Some(held))).unwrap(),
            "source=run.1 dyno=heroku.0.9f sample#memory_total=5.00MB sample#memory_rss=5.00MB \
             sample#memory_swap=0.00MB"
        );
        assert_eq!(subject.memory_line(&Memory::of_held(None)), None);
    }

    #[test]
    fn a_group_with_others_is_not_ones_own() {
        let own = |before: &[Pid], ours: &[Pid], after: &[Pid]| {
            let set = |pids: &[Pid]| pids.iter().copied().collect::<BTreeSet<Pid>>();
            is_own(&set(before), &set(ours), &set(after))
        };
        assert!(own(&[40, 41], &[40, 41, 42], &[40, 41]));
        assert!(own(&[1, 40], &[40], &[1, 40]));
        // 41 ended and 42 was born while one looked.
        assert!(own(&[40, 41], &[40], &[40, 42]));
        assert!(!own(&[40, 99], &[40], &[40, 99]));
        assert!(!own(&[0, 40], &[40], &[0, 40]));
    }

    #[test]
    fn megabytes_are_rounded() {
        for (bytes, expected) in [
            (0, "0.00"),
            (5_242, "0.00"),
            (5_243, "0.01"),
            (1024 * 1024 - 1, "1.00"),
            (1024 * 1024, "1.00"),
            (u64::MAX, "17592186044416.00"),
        ] {
            assert_eq!(megabytes(bytes), expected);
        }
    }
}
