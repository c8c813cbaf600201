//! How far followed files are with the router, or on the disk: what is behind a place is not read
//! again.
//!
//! A file is known by its device and inode, since its name changes when it is rotated; and by its
//! beginning, since inodes are used again.

use std::collections::BTreeMap;
use std::fs::{self, File, TryLockError};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use flate2::Crc;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;
use tracing::warn;

use crate::clock;
use crate::clock::UnixMicros;
use crate::limits::{SHIP_PLACES_MAX, SHIP_PLACES_SAVE_INTERVAL};

/// What names a file, whatever it is called.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
pub(crate) struct FileKey {
    pub(crate) device: u64,
    pub(crate) inode: u64,
}

/// The beginning of a file: so many bytes, and their checksum.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub(crate) struct Head {
    pub(crate) bytes: usize,
    pub(crate) checksum: u32,
}

impl Head {
    /// The beginning that `bytes` are.
    pub(crate) fn of(bytes: &[u8]) -> Self {
        let mut crc = Crc::new();
        crc.update(bytes);
        Self {
            bytes: bytes.len(),
            checksum: crc.sum(),
        }
    }
}

/// A place in a file: where a line ended.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(crate) struct Mark {
    pub(crate) key: FileKey,
    pub(crate) position: u64,
    pub(crate) head: Head,
}

/// The places of all files, and the file that keeps them.
pub struct Places {
    path: PathBuf,
    /// Holds the lock; the system frees it when the process ends. `None`: there is no room for it.
    _lock: Option<File>,
    /// Which files are followed.
    patterns: Vec<glob::Pattern>,
    is_new: bool,
    /// When an earlier shipper wrote it for the last time.
    saved_before: UnixMicros,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Each with the number of the change that it is of.
    marks: BTreeMap<FileKey, (u64, Mark)>,
    changes: u64,
    saved_changes: u64,
    saved_at: Option<Instant>,
    /// Whether it was said that they cannot be saved, since they were for the last time.
    is_trouble_told: bool,
}

/// Why places cannot be kept.
#[derive(Debug, thiserror::Error)]
pub enum PlacesError {
    /// The file cannot be read or written.
    #[error("cannot keep positions in {}: {error}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// Another shipper has it.
    #[error("another shipper keeps positions in {}; give each a file of its own", path.display())]
    Taken {
        /// The file.
        path: PathBuf,
    },
    /// The file is something else.
    #[error(
        "{} holds no positions ({reason}); name another file, or remove this one",
        path.display()
    )]
    Unknown {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
}

impl Places {
    /// The places of files that match `patterns`, which the file at `path` keeps; none when it is not
    /// there. Blocks.
    ///
    /// # Errors
    /// `PlacesError`: it cannot be read or written, or keeps something else.
    pub fn open(path: &Path, patterns: Vec<glob::Pattern>) -> Result<Self, PlacesError> {
        let fault = |error| PlacesError::File {
            path: path.to_owned(),
            error,
        };
        let mut lock = path.as_os_str().to_owned();
        lock.push(".lock");
        let lock = match File::create(lock) {
            Ok(lock) => Some(lock),
            Err(error) if error.kind() == io::ErrorKind::StorageFull => None,
            Err(error) => return Err(fault(error)),
        };
        match lock.as_ref().map(File::try_lock) {
            None | Some(Ok(())) => {}
            Some(Err(TryLockError::WouldBlock)) => {
                return Err(PlacesError::Taken {
                    path: path.to_owned(),
                });
            }
            Some(Err(TryLockError::Error(error))) => return Err(fault(error)),
        }
        let mut is_new = false;
        let saved_before = modified(path);
        let marks: Vec<Mark> = match fs::read(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                is_new = true;
                Vec::new()
            }
            Err(error) => return Err(fault(error)),
            Ok(bytes) => serde_json::from_slice(&bytes).map_err(|error| PlacesError::Unknown {
                path: path.to_owned(),
                reason: error.to_string(),
            })?,
        };
        let places = Self {
            path: path.to_owned(),
            _lock: lock,
            patterns,
            is_new,
            saved_before,
            state: Mutex::default(),
        };
        places.advance(&marks);
        // Now, since it cannot be said later to anybody who could mend it.
        match places.write(&places.marks().1) {
            // What gives the disk room again is a shipper that delivers what it holds.
            Err(error) if error.kind() == io::ErrorKind::StorageFull => {
                warn!(path = %path.display(), %error, "positions of files cannot be kept");
            }
            written => written.map_err(fault)?,
        }
        Ok(places)
    }

    /// Whether there was no file: nobody followed anything before.
    pub(crate) const fn is_new(&self) -> bool {
        self.is_new
    }

    /// Names of the files that are followed.
    pub(crate) fn patterns(&self) -> &[glob::Pattern] {
        &self.patterns
    }

    /// When an earlier shipper wrote places for the last time.
    pub(crate) const fn saved_before(&self) -> UnixMicros {
        self.saved_before
    }

    /// The files of which places are known.
    pub(crate) fn keys(&self) -> Vec<FileKey> {
        self.lock().marks.keys().copied().collect()
    }

    /// Where to go on in a file.
    pub(crate) fn of(&self, key: FileKey) -> Option<Mark> {
        self.lock().marks.get(&key).map(|(_, mark)| *mark)
    }

    /// What is before these is delivered, or on the disk.
    pub(crate) fn advance(&self, marks: &[Mark]) {
        let mut state = self.lock();
        for &mark in marks {
            state.changes += 1;
            let change = state.changes;
            state.marks.insert(mark.key, (change, mark));
        }
        while SHIP_PLACES_MAX < state.marks.len() {
            let oldest = state.marks.values().min_by_key(|(change, _)| *change);
            let Some(key) = oldest.map(|(_, mark)| mark.key) else {
                break;
            };
            state.marks.remove(&key);
        }
    }

    /// Writes the places if there are new ones, unless that was done just now. Blocks.
    pub(crate) fn save_in_time(&self) {
        let is_early = self
            .lock()
            .saved_at
            .is_some_and(|at| clock::now() < at + SHIP_PLACES_SAVE_INTERVAL);
        if !is_early {
            self.save();
        }
    }

    /// Writes the places if there are new ones. Blocks.
    pub(crate) fn save(&self) {
        let (changes, marks) = self.marks();
        if changes == self.lock().saved_changes {
            return;
        }
        match self.write(&marks) {
            Ok(()) => {
                let mut state = self.lock();
                state.saved_changes = changes;
                state.saved_at = Some(clock::now());
                state.is_trouble_told = false;
            }
            Err(error) => {
                if std::mem::replace(&mut self.lock().is_trouble_told, true) {
                    return;
                }
                warn!(path = %self.path.display(), %error, "positions of files cannot be kept");
            }
        }
    }

    fn marks(&self) -> (u64, Vec<Mark>) {
        let state = self.lock();
        let marks = state.marks.values().map(|(_, mark)| *mark).collect();
        (state.changes, marks)
    }

    /// Replaces the file as a whole. Not synced: after the machine's end lines may come again.
    fn write(&self, marks: &[Mark]) -> io::Result<()> {
        let new = self.path.with_extension("new");
        let mut file = File::create(&new)?;
        serde_json::to_writer(&mut file, marks)?;
        file.write_all(b"\n")?;
        fs::rename(&new, &self.path)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Lines of one file that stand behind each other.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Run {
    /// That of the last.
    pub(crate) mark: Mark,
    pub(crate) lines: u64,
}

/// The lines of each file; where places go back, it was emptied in between.
pub(crate) fn runs(marks: impl Iterator<Item = Mark>) -> Vec<Run> {
    let mut runs: Vec<Run> = Vec::new();
    for mark in marks {
        let last = runs.iter_mut().rev().find(|run| run.mark.key == mark.key);
        match last.filter(|run| run.mark.position <= mark.position) {
            Some(run) => {
                run.mark = mark;
                run.lines += 1;
            }
            None => runs.push(Run { mark, lines: 1 }),
        }
    }
    runs
}

/// When the file was written; 0 when nobody knows.
fn modified(path: &Path) -> UnixMicros {
    let modified = path.metadata().and_then(|metadata| metadata.modified());
    let since = modified
        .ok()
        .and_then(|at| at.duration_since(SystemTime::UNIX_EPOCH).ok())
        .unwrap_or_default();
    UnixMicros::new(u64::try_from(since.as_micros()).unwrap_or(u64::MAX))
}

/// Does what blocks on a thread that may.
pub(crate) async fn on_disk(work: impl FnOnce() + Send + 'static) {
    // It cannot panic, and nobody stops it.
    if tokio::task::spawn_blocking(work).await.is_err() { /* see above */ }
}

/// The last mark of each file.
pub(crate) fn last_marks(marks: impl Iterator<Item = Mark>) -> Vec<Mark> {
    let mut last: Vec<Mark> = Vec::new();
    for mark in marks {
        match last.iter_mut().find(|known| known.key == mark.key) {
            Some(known) => *known = mark,
            None => last.push(mark),
        }
    }
    last
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mark(inode: u64, position: u64) -> Mark {
        Mark {
            key: FileKey { device: 1, inode },
            position,
            head: Head::of(b"head"),
        }
    }

    #[test]
    fn runs_end_where_a_file_was_emptied() {
        let marks = [mark(1, 5), mark(2, 3), mark(1, 9), mark(1, 2), mark(2, 7)];
        let run = |mark, lines| Run { mark, lines };
        let expected = [run(mark(1, 9), 2), run(mark(2, 7), 2), run(mark(1, 2), 1)];
        assert_eq!(runs(marks.into_iter()), expected);
    }

    #[test]
    fn places_are_kept_and_the_oldest_go() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("positions");
        let places = Places::open(&path, Vec::new()).unwrap();
        let many: Vec<Mark> = (0..SHIP_PLACES_MAX as u64 + 1)
            .map(|n| mark(n, n))
            .collect();
        places.advance(&many);
        places.advance(&[mark(7, 100), mark(7, 9)]);
        places.save();
        assert!(matches!(
            Places::open(&path, Vec::new()),
            Err(PlacesError::Taken { .. })
        ));
        drop(places);
        let again = Places::open(&path, Vec::new()).unwrap();
        assert_eq!(again.of(mark(0, 0).key), None);
        assert_eq!(
            again.of(mark(7, 0).key),
            Some(mark(7, 9)),
            "back after a truncation"
        );
        assert_eq!(again.of(mark(8, 0).key), Some(mark(8, 8)));
        drop(again);
        fs::write(&path, "something else").unwrap();
        assert!(matches!(
            Places::open(&path, Vec::new()),
            Err(PlacesError::Unknown { .. })
        ));
        let missing = folder.path().join("none/positions");
        assert!(matches!(
            Places::open(&missing, Vec::new()),
            Err(PlacesError::File { .. })
        ));
    }
}
