//! A followed file, the lines that are read out of it, and for how long it is looked for in vain.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::time::Instant;
use tracing::warn;

use crate::clock;
use crate::limits::{SHIP_FILE_GONE_AFTER, SHIP_FILE_SCANS_MISSED_MIN};
use crate::sources::ship::follow::file::{Followed, Read};
use crate::sources::ship::lines::{Fed, Lines};
use crate::sources::ship::places::{FileKey, Mark};
use crate::sources::ship::queue::Intake;
use crate::sources::ship::reader::{Reading, WhenFull, now};

/// A file and what is read out of it.
pub(crate) struct Source {
    pub(crate) key: FileKey,
    /// Its name when it was last found.
    pub(crate) path: PathBuf,
    /// What a file and those that it was rotated to have in common.
    pub(crate) group: String,
    /// Taken while it is read on another thread.
    followed: Option<Followed>,
    /// Whether the places of its lines are kept.
    is_marked: bool,
    reading: Reading,
    lines: Lines,
    is_trouble_told: bool,
    missed: Missed,
}

/// What a look at a file brought.
#[derive(Default)]
pub(crate) struct Brought {
    fed: Fed,
    /// What marks of its lines have in common; `None`: they have none.
    mark: Option<Mark>,
    /// Whether there may be more.
    pub(crate) has_more: bool,
}

impl Source {
    /// `followed`, found at `path`, read from where it is. An empty PROCID is made out of the name.
    pub(crate) fn new(
        followed: Followed,
        path: &Path,
        mut reading: Reading,
        is_marked: bool,
    ) -> Self {
        let group = procid_of(path);
        if reading.procid.is_empty() {
            reading.procid = Arc::from(&*group);
        }
        Self {
            key: followed.key,
            path: path.to_owned(),
            group,
            is_marked,
            lines: Lines::new(reading.clone(), followed.position()),
            reading,
            is_trouble_told: false,
            missed: Missed::default(),
            followed: Some(followed),
        }
    }

    /// The file; `None` when a read of it panicked.
    pub(crate) const fn followed(&self) -> Option<&Followed> {
        self.followed.as_ref()
    }

    /// A look for files found it, under this name.
    pub(crate) fn find(&mut self, path: PathBuf) {
        self.path = path;
        self.missed = Missed::default();
    }

    /// A look for files did not find it.
    pub(crate) fn miss(&mut self, now: Instant) {
        self.missed.add(now);
    }

    /// Since when it is not found, if that is for long, and nothing came meanwhile.
    pub(crate) fn missed_since(&self, now: Instant) -> Option<Instant> {
        self.missed.since_long(now)
    }

    /// Whether nobody writes it any more, nor can find it: it has no name, and nothing came for long.
    pub(crate) fn is_gone(&self, now: Instant) -> bool {
        let has_name = self.followed.as_ref().is_some_and(Followed::has_name);
        !has_name && self.missed.since_long(now).is_some()
    }

    /// Reads a piece.
    pub(crate) async fn read(&mut self) -> Brought {
        let Some(mut followed) = self.followed.take() else {
            return Brought::default();
        };
        let read = tokio::task::spawn_blocking(move || {
            let read = followed.read();
            (followed, read)
        });
        let Ok((followed, read)) = read.await else {
            return Brought::default();
        };
        let mark = self.is_marked.then(|| followed.mark(0));
        self.followed = Some(followed);
        match read {
            Ok(Read::Bytes(bytes)) => {
                self.missed = Missed::default();
                Brought {
                    fed: self.lines.feed(&bytes, now()),
                    mark,
                    has_more: true,
                }
            }
            Ok(Read::Restarted) => {
                let rest = self.lines.end(now());
                self.lines = Lines::new(self.reading.clone(), 0);
                Brought {
                    fed: rest,
                    // The file holds it no more: there is no place to come back to.
                    mark: None,
                    has_more: true,
                }
            }
            Ok(Read::Nothing) => Brought {
                fed: self.due(),
                mark,
                has_more: false,
            },
            Err(error) => {
                if !std::mem::replace(&mut self.is_trouble_told, true) {
                    warn!(%error, process = self.group, "a followed file cannot be read");
                }
                Brought::default()
            }
        }
    }

    /// What is left when nobody reads it any more.
    pub(crate) fn end(&mut self) -> Brought {
        let mark = match &self.followed {
            Some(followed) if self.is_marked => Some(followed.mark(0)),
            _ => None,
        };
        Brought {
            fed: self.lines.end(now()),
            mark,
            has_more: false,
        }
    }

    fn due(&mut self) -> Fed {
        match self.lines.due() {
            Some(due) if due <= clock::now() => self.lines.take_due(),
            _ => Fed::default(),
        }
    }
}

impl Brought {
    /// Puts the lines into `intake`, waiting for room.
    pub(crate) async fn give(self, intake: &Intake) {
        let mark = |position| {
            let mark = self.mark?;
            Some(Mark { position, ..mark })
        };
        self.fed.give(mark, WhenFull::Block, intake).await;
    }
}

/// Looks in vain, one after the other. Time alone says nothing: nobody looks while the machine sleeps.
#[derive(Clone, Copy, Debug, Default)]
struct Missed {
    scans: u32,
    /// Of no meaning without any.
    since: Option<Instant>,
}

impl Missed {
    fn add(&mut self, now: Instant) {
        self.scans = self.scans.saturating_add(1);
        self.since.get_or_insert(now);
    }

    /// Since when, if that is for long.
    fn since_long(&self, now: Instant) -> Option<Instant> {
        self.since.filter(|&since| {
            SHIP_FILE_SCANS_MISSED_MIN <= self.scans && since + SHIP_FILE_GONE_AFTER <= now
        })
    }
}

/// `web.1` of `log/web.1.log`, and of `log/web.1.log.2`.
fn procid_of(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    match name.find(".log") {
        Some(at) if 0 < at => name.get(..at).unwrap_or(&name).to_owned(),
        _ => name.into_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_process_is_called_as_its_file() {
        for (path, expected) in [
            ("log/web.1.log", "web.1"),
            ("/var/log/app.log.2", "app"),
            ("app.log-20261125", "app"),
            ("syslog", "syslog"),
            (".log", ".log"),
            ("worker.out", "worker.out"),
        ] {
            assert_eq!(procid_of(Path::new(path)), expected, "{path}");
        }
    }

    #[test]
    fn a_file_is_missed_for_long_by_looks_and_by_time() {
        let start = clock::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        for (looks, then, expected) in [
            (&[][..], 100, None),
            (&[0, 1, 2], 29, None),
            (&[0, 1, 2], 30, Some(0)),
            (&[0, 40], 40, None),
            (&[5, 40, 41], 41, Some(5)),
        ] {
            let mut missed = Missed::default();
            for &second in looks {
                missed.add(at(second));
            }
            let found = missed.since_long(at(then));
            assert_eq!(found, expected.map(at), "{looks:?}, {then}");
        }
    }
}
