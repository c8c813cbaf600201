//! Followed files: lines out of files that grow, are rotated, emptied and removed.
//!
//! Files are looked at four times a second, and looked for once a second: that works on every file
//! system, and a rotation in between costs nothing, since a file is known by its inode and read to
//! its end under whatever name. (Who rotates more often than once a second names the rotated files,
//! too.) What was rotated while no shipper ran is found by its inode. What nobody can read is what
//! was written between the copy and the emptying of a rotation that does so (`copytruncate`), and
//! what was not read yet when it came.
//!
//! The reader waits for room in the queue: the files keep what there is none for, and nobody who
//! writes them is held up.

mod file;
mod scan;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::time::{Instant, sleep_until};
use tracing::{info, warn};

use crate::clock;
use crate::limits::{
    SHIP_FILE_GONE_AFTER, SHIP_FILE_READS_MAX, SHIP_FILES_MAX, SHIP_POLL_INTERVAL,
    SHIP_SCAN_INTERVAL,
};
use crate::shutdown::Shutdown;
use crate::sources::ship::follow::file::{Followed, Read};
use crate::sources::ship::lines::{Fed, Lines};
use crate::sources::ship::places::{FileKey, Mark, Places};
use crate::sources::ship::queue::Intake;
use crate::sources::ship::reader::{Reading, WhenFull, now};

/// Which files are followed, and how.
pub struct FollowSettings {
    /// Names with `*`, `?`, `[…]` and `**`.
    pub patterns: Vec<glob::Pattern>,
    /// Whether files that are there when nobody followed any before are read from their start.
    pub is_from_start: bool,
    /// How lines are read. An empty PROCID is made out of the file's name.
    pub reading: Reading,
    /// Where places are kept; `None`: they are not.
    pub places: Option<Arc<Places>>,
}

/// Reads files until `stop` is asked for. It may wait for room in the queue, until that is closed.
pub async fn follow(settings: FollowSettings, intake: &Intake, stop: &Shutdown) {
    let mut follower = Follower {
        settings,
        sources: Vec::new(),
        scan_at: clock::now(),
        is_first: true,
        is_full_told: false,
        refused: BTreeSet::new(),
    };
    while !stop.is_requested() {
        let poll_at = clock::now() + SHIP_POLL_INTERVAL;
        follower.look().await;
        if follower.read(intake, stop).await {
            continue;
        }
        tokio::select! {
            () = stop.requested() => {}
            () = sleep_until(poll_at) => {}
        }
    }
    if follower.settings.places.is_none() {
        // Nobody will read it again.
        for source in &mut follower.sources {
            let fed = source.lines.end(now());
            source.give(fed, intake).await;
        }
    }
}

struct Follower {
    settings: FollowSettings,
    /// In the order in which they came: of a rotated file the older part is read first.
    sources: Vec<Source>,
    scan_at: Instant,
    is_first: bool,
    is_full_told: bool,
    /// Files that could not be opened, of which that was told.
    refused: BTreeSet<FileKey>,
}

/// A file and what is read out of it.
struct Source {
    key: FileKey,
    /// Taken while it is read on another thread.
    followed: Option<Followed>,
    /// What marks of its lines have in common, where places are kept.
    mark: Option<Mark>,
    reading: Reading,
    lines: Lines,
    /// What a file and those that it was rotated to have in common.
    group: String,
    is_trouble_told: bool,
    /// When it was last found by its name, or had something to read.
    seen_at: Instant,
}

impl Follower {
    /// Looks for files that have come.
    async fn look(&mut self) {
        let now = clock::now();
        if now < self.scan_at {
            return;
        }
        self.scan_at = now + SHIP_SCAN_INTERVAL;
        let is_first = self.is_first;
        self.is_first = false;
        for (key, path) in self.unknown(now, is_first).await {
            if SHIP_FILES_MAX <= self.sources.len() {
                if !std::mem::replace(&mut self.is_full_told, true) {
                    warn!(path = %path.display(), "too many files, this one is not followed");
                }
                continue;
            }
            match self.open(key, &path, is_first).await {
                Ok(true) => {}
                Ok(false) => {
                    // Renamed just now: the next look finds it, and then those behind it, too.
                    self.scan_at = now;
                    self.is_first = is_first;
                    return;
                }
                Err(error) => {
                    if SHIP_FILES_MAX <= self.refused.len() {
                        self.refused.clear();
                    }
                    if self.refused.insert(key) {
                        warn!(path = %path.display(), %error, "a file cannot be followed");
                    }
                }
            }
        }
    }

    /// The files that are not followed yet; those that are have been seen.
    async fn unknown(&mut self, now: Instant, is_first: bool) -> Vec<(FileKey, PathBuf)> {
        let found = self.scan(is_first).await;
        let mut known: BTreeMap<FileKey, &mut Source> = self
            .sources
            .iter_mut()
            .map(|source| (source.key, source))
            .collect();
        let mut unknown = Vec::new();
        for (key, path) in found {
            match known.get_mut(&key) {
                Some(source) => source.seen_at = now,
                None => unknown.push((key, path)),
            }
        }
        unknown
    }

    /// The files there are. A file renamed while the folder is read may be missed, and the one that
    /// took its name found: so when there is a new one, it is read until nothing changes.
    async fn scan(&self, is_first: bool) -> Vec<(FileKey, PathBuf)> {
        let mut found = Vec::new();
        for _ in 0..SCANS_MAX {
            let patterns = self.settings.patterns.clone();
            let places = self.settings.places.clone().filter(|_| is_first);
            let scan =
                tokio::task::spawn_blocking(move || scan::files(&patterns, places.as_deref()));
            let again = scan.await.unwrap_or_default();
            let is_known = |(key, _): &(FileKey, PathBuf)| {
                self.sources.iter().any(|source| source.key == *key)
            };
            if again == found || again.iter().all(is_known) {
                return again;
            }
            found = again;
        }
        found
    }

    /// Begins to follow a file: where it was left, at its end, or at its start. False when its name is
    /// another's now, or nobody's.
    async fn open(&mut self, key: FileKey, path: &Path, is_first: bool) -> io::Result<bool> {
        let name = path.to_owned();
        let mut followed = match on_disk(move || Followed::open(&name)).await {
            Ok(followed) if followed.key == key => followed,
            Ok(_) => return Ok(false),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(error),
        };
        let places = self.settings.places.as_ref();
        let is_resumed = match places.and_then(|places| places.of(followed.key)) {
            Some(mark) => followed.resume(mark)?,
            None => false,
        };
        let is_first_ever = is_first && places.is_none_or(|places| places.is_new());
        let is_old = is_first_ever && !self.settings.is_from_start;
        if !is_resumed && (is_old || self.has_original_of(&followed)?) {
            followed = on_disk(move || {
                followed.skip_to_end()?;
                Ok(followed)
            })
            .await?;
        }
        if let Some(places) = places {
            // So that it is known at the next start.
            places.advance(&[followed.mark(followed.position())]);
        }
        info!(path = %path.display(), position = followed.position(), "following a file");
        let mut reading = self.settings.reading.clone();
        let group = procid_of(path);
        if reading.procid.is_empty() {
            reading.procid = Arc::from(&*group);
        }
        self.sources.push(Source {
            key: followed.key,
            mark: places.map(|_| followed.mark(followed.position())),
            lines: Lines::new(reading.clone(), followed.position()),
            reading,
            group,
            is_trouble_told: false,
            seen_at: clock::now(),
            followed: Some(followed),
        });
        Ok(true)
    }

    /// Whether `followed` is a copy of a file that is followed.
    fn has_original_of(&self, followed: &Followed) -> io::Result<bool> {
        for other in self.sources.iter().filter_map(|s| s.followed.as_ref()) {
            if followed.is_copy_of(other)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Reads some of every file; says whether there may be more. One that is written faster than
    /// it is read holds up nobody but what it was rotated to.
    async fn read(&mut self, intake: &Intake, stop: &Shutdown) -> bool {
        let mut unread: BTreeSet<String> = BTreeSet::new();
        for source in &mut self.sources {
            if unread.contains(&source.group) {
                continue;
            }
            let mut reads = 0;
            while !stop.is_requested() && source.read(intake).await {
                reads += 1;
                if SHIP_FILE_READS_MAX <= reads {
                    unread.insert(source.group.clone());
                    break;
                }
            }
            if source.is_gone() {
                let fed = source.lines.end(now());
                source.give(fed, intake).await;
            }
        }
        self.sources.retain(|source| !source.is_gone());
        !unread.is_empty()
    }
}

impl Source {
    /// Whether nobody writes it any more, as far as can be known.
    fn is_gone(&self) -> bool {
        self.seen_at + SHIP_FILE_GONE_AFTER < clock::now()
    }

    /// Reads a piece; says whether there may be more.
    async fn read(&mut self, intake: &Intake) -> bool {
        let Some(mut followed) = self.followed.take() else {
            return false;
        };
        let read = tokio::task::spawn_blocking(move || {
            let read = followed.read();
            (followed, read)
        });
        let Ok((followed, read)) = read.await else {
            return false;
        };
        let (fed, has_more) = match read {
            Ok(Read::Bytes(bytes)) => {
                self.seen_at = clock::now();
                (self.lines.feed(&bytes, now()), true)
            }
            Ok(Read::Restarted) => {
                // The file holds it no more: there is no place to come back to.
                let rest = self.lines.end(now());
                rest.give(|_| None, WhenFull::Block, intake).await;
                self.lines = Lines::new(self.reading.clone(), 0);
                (Fed::default(), true)
            }
            Ok(Read::Nothing) => {
                let is_due = self.lines.due().is_some_and(|due| due <= clock::now());
                let fed = match is_due {
                    true => self.lines.take_due(),
                    false => Fed::default(),
                };
                (fed, false)
            }
            Err(error) => {
                if !std::mem::replace(&mut self.is_trouble_told, true) {
                    warn!(%error, process = self.group, "a followed file cannot be read");
                }
                (Fed::default(), false)
            }
        };
        self.mark = self.mark.map(|_| followed.mark(0));
        self.followed = Some(followed);
        self.give(fed, intake).await;
        has_more
    }

    async fn give(&self, fed: Fed, intake: &Intake) {
        let mark = |position| {
            let mark = self.mark?;
            Some(Mark { position, ..mark })
        };
        fed.give(mark, WhenFull::Block, intake).await;
    }
}

/// How often files are looked for again, when there is always another.
const SCANS_MAX: usize = 5;

/// Does `work` on a thread that may block.
async fn on_disk<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(io::Error::other)?
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
}
