//! A followed file, the lines that are read out of it, and for how long it is looked for in vain.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::time::Instant;
use tracing::warn;

use crate::clock;
use crate::clock::UnixMicros;
use crate::limits::{SHIP_FILE_GONE_AFTER, SHIP_FILE_SCANS_MISSED_MIN};
use crate::sources::ship::follow::file::{Followed, Read};
use crate::sources::ship::follow::kin::Kin;
use crate::sources::ship::follow::search::Search;
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
    /// The file that this one is a copy of; as long as that is there, nothing is read here.
    pub(crate) waits_for: Option<FileKey>,
    /// When it was last read, or seen to have nothing more.
    read_at: UnixMicros,
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
    /// Whether the file was emptied, and is to be restarted.
    pub(crate) is_emptied: bool,
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
            waits_for: None,
            read_at: clock::wall(),
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
                self.read_at = clock::wall();
                Brought {
                    fed: self.lines.feed(&bytes, now()),
                    mark,
                    has_more: true,
                    is_emptied: false,
                }
            }
            Ok(Read::Emptied) => Brought {
                is_emptied: true,
                ..Brought::default()
            },
            Ok(Read::Nothing) => {
                self.read_at = clock::wall();
                Brought {
                    fed: self.due(),
                    mark,
                    ..Brought::default()
                }
            }
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
        Brought {
            fed: self.lines.end(now()),
            mark: self.mark(),
            ..Brought::default()
        }
    }

    /// The place up to which it is read, if places are kept.
    pub(crate) fn mark(&self) -> Option<Mark> {
        let followed = self.followed.as_ref().filter(|_| self.is_marked)?;
        Some(followed.mark(followed.position()))
    }

    /// Begins again with the emptied file; `copy` goes on where it was, if there is one. Gives what was
    /// left of it, when nothing can follow.
    pub(crate) fn restart(&mut self, copy: Option<&mut Self>) -> Brought {
        let position = |source: &Self| source.followed.as_ref().map(Followed::position);
        let copy = copy.filter(|copy| position(copy) == position(self));
        if let Some(followed) = &mut self.followed {
            followed.restart();
        }
        let mut old = std::mem::replace(&mut self.lines, Lines::new(self.reading.clone(), 0));
        if let Some(copy) = copy {
            // A line may begin in the one and end in the other.
            copy.lines = old;
            copy.reading = self.reading.clone();
            copy.group = self.group.clone();
            return Brought::default();
        }
        // The file holds it no more: there is no place to come back to.
        Brought {
            fed: old.end(now()),
            ..Brought::default()
        }
    }

    /// What it is to `other`, which was there first. What cannot be read is no copy.
    pub(crate) fn kin_of(&mut self, other: &Self, has_ended: bool) -> Kin {
        match (&mut self.followed, &other.followed) {
            (Some(copy), Some(original)) => {
                copy.kin_of(original, has_ended).unwrap_or(Kin::Unrelated)
            }
            _ => Kin::Unrelated,
        }
    }

    /// Waits no longer, and is read from `position` on.
    pub(crate) fn release(&mut self, position: u64) -> io::Result<()> {
        self.waits_for = None;
        if let Some(followed) = &mut self.followed {
            followed.go_to(position)?;
        }
        self.lines = Lines::new(self.reading.clone(), position);
        Ok(())
    }

    /// Looks for the copy that was made of it before it was emptied; `known` files are something else.
    pub(crate) async fn copy(&mut self, known: BTreeSet<FileKey>) -> Option<(PathBuf, Followed)> {
        let search = Search {
            path: self.path.clone(),
            known,
            seen_at: self.read_at,
        };
        let emptied = self.followed.take()?;
        let found = tokio::task::spawn_blocking(move || {
            let copy = search.copy_of(&emptied);
            (emptied, copy)
        });
        let (emptied, copy) = found.await.ok()?;
        self.followed = Some(emptied);
        copy
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
