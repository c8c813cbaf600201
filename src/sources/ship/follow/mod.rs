//! Followed files: lines out of files that grow, are rotated, emptied and removed.
//!
//! Files are looked at four times a second, and looked for once a second: that works on every file
//! system, and a rotation in between costs nothing, since a file is known by its inode and read to
//! its end under whatever name. (Who rotates more often than once a second names the rotated files,
//! too.) What was rotated while no shipper ran is found by its inode. Who rotates by copying
//! and emptying (`copytruncate`) leaves a copy, which is read on where the emptied file was left, if it
//! is in the same folder. What nobody can read is what was written between the copy and the emptying;
//! and when there is no copy, what was not read yet, of which is warned.
//!
//! The reader waits for room in the queue: the files keep what there is none for, and nobody who
//! writes them is held up. Files are looked for while it waits, too, so that one which is rotated
//! twice meanwhile is open by then. A file stays open as long as it has a name anywhere, since its
//! writer may have it open as well.

mod copies;
mod file;
mod held;
mod kin;
mod scan;
mod search;
mod source;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::Arc;

use tokio::time::{Instant, sleep_until};
use tracing::{info, warn};

use crate::clock;
use crate::limits::{
    SHIP_FILE_READS_MAX, SHIP_FILES_MAX, SHIP_PLACES_MAX, SHIP_POLL_INTERVAL, SHIP_SCAN_INTERVAL,
};
use crate::shutdown::Shutdown;
use crate::sources::ship::follow::file::Followed;
use crate::sources::ship::follow::source::{Brought, Source};
use crate::sources::ship::places::{FileKey, Mark, Places};
use crate::sources::ship::queue::Intake;
use crate::sources::ship::reader::Reading;

pub(crate) use held::held_lines;

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
        left: BTreeMap::new(),
        scan_at: clock::now(),
        is_first: true,
        is_full_told: false,
        refused: BTreeSet::new(),
    };
    tell_troubles(&follower.settings.patterns).await;
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
            source.end().give(intake).await;
        }
    }
}

struct Follower {
    settings: FollowSettings,
    /// In the order in which they came: of a rotated file the older part is read first.
    sources: Vec<Source>,
    /// How far files were read that had to make room for others.
    left: BTreeMap<FileKey, Mark>,
    scan_at: Instant,
    is_first: bool,
    is_full_told: bool,
    /// Files that could not be opened, of which that was told.
    refused: BTreeSet<FileKey>,
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
            if self.sources.iter().any(|source| source.key == key) {
                // It came as the copy of another.
                continue;
            }
            if !self.make_room(now) {
                if !std::mem::replace(&mut self.is_full_told, true) {
                    warn!(path = %path.display(), "too many files, this one is not followed");
                }
                continue;
            }
            match self.open(key, &path, is_first).await {
                Ok(true) => {}
                Ok(false) => {
                    // Renamed just now: the next look finds it, and then those behind it, too.
                    self.scan_at = now + SHIP_POLL_INTERVAL;
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
        let mut files = self.scan(is_first).await;
        let mut found: BTreeMap<FileKey, PathBuf> = files.iter().cloned().collect();
        for source in &mut self.sources {
            match found.remove(&source.key) {
                Some(path) => source.find(path),
                None => source.miss(now),
            }
        }
        files.retain(|(key, _)| found.contains_key(key));
        // A copy comes behind what it was made of.
        let places = self.settings.places.as_ref();
        files.sort_by_key(|(key, _)| places.is_some_and(|places| places.of(*key).is_none()));
        files
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
        let known = self.left.remove(&key).or_else(|| places?.of(key));
        let is_resumed = match known {
            Some(mark) => followed.resume(mark)?,
            None => false,
        };
        let is_first_ever = is_first && places.is_none_or(|places| places.is_new());
        let is_old = is_first_ever && !self.settings.is_from_start;
        if !is_resumed && is_old {
            followed = on_disk(move || {
                followed.skip_to_end()?;
                Ok(followed)
            })
            .await?;
        }
        if let Some(mark) = known.filter(|_| !is_resumed) {
            self.add_copy_with(mark, path).await;
        }
        let mut source = self.source(followed, path);
        source.waits_for = match is_resumed || is_old {
            true => None,
            false => self.original_of(&mut source),
        };
        if source.waits_for.is_none() {
            self.register(source.mark());
        }
        self.sources.push(source);
        Ok(true)
    }

    fn source(&self, followed: Followed, path: &Path) -> Source {
        info!(path = %path.display(), position = followed.position(), "following a file");
        let reading = self.settings.reading.clone();
        Source::new(followed, path, reading, self.settings.places.is_some())
    }

    /// So that a file is known at the next start.
    fn register(&self, mark: Option<Mark>) {
        if let (Some(places), Some(mark)) = (&self.settings.places, mark) {
            places.advance(&[mark]);
        }
    }

    /// Whether one more can be followed: of those that are not found any more, the one that was not for
    /// the longest time goes.
    fn make_room(&mut self, now: Instant) -> bool {
        if self.sources.len() < SHIP_FILES_MAX {
            return true;
        }
        let since = |source: &Source| source.missed_since(now);
        let missed = self.sources.iter().enumerate();
        let oldest = missed
            .filter_map(|(index, source)| Some((since(source)?, index)))
            .min();
        let Some((_, index)) = oldest else {
            return false;
        };
        let source = self.sources.remove(index);
        self.release_copies(&source);
        warn!(path = %source.path.display(), "too many files, this one is not followed any more");
        if SHIP_PLACES_MAX <= self.left.len() {
            self.left.pop_first();
        }
        let mark = source.followed().map(|file| file.mark(file.position()));
        self.left.extend(mark.map(|mark| (source.key, mark)));
        true
    }

    /// Reads some of every file; says whether there may be more. One that is written faster than
    /// it is read holds up nobody but what it was rotated to.
    async fn read(&mut self, intake: &Intake, stop: &Shutdown) -> bool {
        let mut unread: BTreeSet<String> = BTreeSet::new();
        // New ones come to the end.
        let mut index = 0;
        while let Some(source) = self.sources.get(index) {
            let group = source.group.clone();
            if !unread.contains(&group) && self.read_some(index, intake, stop).await {
                unread.insert(group);
            }
            index += 1;
        }
        self.let_go(intake).await;
        !unread.is_empty()
    }

    /// Reads some of one file; says whether there may be more.
    async fn read_some(&mut self, index: usize, intake: &Intake, stop: &Shutdown) -> bool {
        for _ in 0..SHIP_FILE_READS_MAX {
            self.judge(index);
            let is_read = |source: &&mut Source| source.waits_for.is_none() && !stop.is_requested();
            let Some(source) = self.sources.get_mut(index).filter(is_read) else {
                return false;
            };
            let brought = source.read().await;
            if brought.is_emptied {
                self.go_on_in_copy(index, intake).await;
                continue;
            }
            let has_more = brought.has_more;
            self.give(brought, intake).await;
            if !has_more {
                return false;
            }
        }
        true
    }

    /// Waits for room, and looks for files meanwhile.
    async fn give(&mut self, brought: Brought, intake: &Intake) {
        let mut giving = pin!(brought.give(intake));
        loop {
            tokio::select! {
                biased;
                () = &mut giving => return,
                () = sleep_until(self.scan_at) => self.look().await,
            }
        }
    }

    /// Ends what can neither be written nor found any more.
    async fn let_go(&mut self, intake: &Intake) {
        let now = clock::now();
        let is_gone = |source: &mut Source| source.is_gone(now);
        let gone: Vec<Source> = self.sources.extract_if(.., is_gone).collect();
        for mut source in gone {
            self.release_copies(&source);
            source.end().give(intake).await;
        }
    }
}

/// Says once what the names may have got wrong.
async fn tell_troubles(patterns: &[glob::Pattern]) {
    for pattern in patterns {
        let asked = pattern.clone();
        let trouble = tokio::task::spawn_blocking(move || scan::trouble(&asked)).await;
        if let Ok(Some(reason)) = trouble {
            warn!(%pattern, reason, "not every file of this name can be followed");
        }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sources::ship::book::Book;
    use crate::sources::ship::line::Body;
    use crate::sources::ship::queue::Queue;
    use crate::sources::ship::reader::{Format, WhenFull};
    use crate::syslog::message::Pri;
    use crate::syslog::split::{Split, Splitter};
    use std::fs::{self, OpenOptions};
    use std::io::Write as _;
    use std::time::Duration;
    use tokio::time::{sleep, timeout};

    /// A follower of the files that match a pattern below a folder of its own, and a queue for some
    /// lines, which nobody empties but the test.
    struct Following {
        folder: tempfile::TempDir,
        queue: Arc<Queue>,
        stop: Shutdown,
    }

    impl Following {
        /// `files` are there when it starts.
        async fn start(pattern: &str, files: &[(&str, &str)]) -> Self {
            let folder = tempfile::tempdir().unwrap();
            let queue = Arc::new(Queue::new(20, 10));
            let intake = Intake::new(Arc::clone(&queue), Arc::new(Book::default()));
            let stop = Shutdown::new();
            let pattern = folder.path().join(pattern);
            let settings = FollowSettings {
                patterns: vec![glob::Pattern::new(pattern.to_str().unwrap()).unwrap()],
                is_from_start: false,
                reading: Reading {
                    pri: Pri::DEFAULT,
                    procid: Arc::from(""),
                    when_full: WhenFull::Block,
                    splitter: Splitter::new(1_000, Split::Plain),
                    format: Format::Raw,
                    join: None,
                },
                places: None,
            };
            let following = Self {
                folder,
                queue,
                stop: stop.clone(),
            };
            for (name, text) in files {
                following.append(name, text);
            }
            let asked = stop.clone();
            stop.spawn(async move { follow(settings, &intake, &asked).await });
            sleep(Duration::from_secs(2)).await;
            following
        }

        fn append(&self, name: &str, text: &str) {
            let path = self.folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            let mut options = OpenOptions::new();
            let mut file = options.create(true).append(true).open(path).unwrap();
            file.write_all(text.as_bytes()).unwrap();
        }

        fn rename(&self, name: &str, to: &str) {
            let path = |name| self.folder.path().join(name);
            fs::rename(path(name), path(to)).unwrap();
        }

        /// All that comes, until nothing does.
        async fn text(&self) -> String {
            let mut found = String::new();
            let ripe = || timeout(Duration::from_secs(5), self.queue.ripe(Duration::ZERO));
            while ripe().await.is_ok() {
                for item in self.queue.take() {
                    let Body::Line(line) = item.body else {
                        panic!("a whole frame")
                    };
                    found += std::str::from_utf8(&line.text).unwrap();
                }
            }
            found
        }
    }

    impl Drop for Following {
        fn drop(&mut self) {
            self.stop.request();
            self.queue.close();
        }
    }

    fn numbered(name: &str, count: usize) -> String {
        (0..count).map(|n| format!("{name} {n}\n")).collect()
    }

    /// Longer than a file is waited for that is not found.
    const LONG: Duration = Duration::from_secs(40);

    #[tokio::test(start_paused = true)]
    async fn while_there_is_no_room_no_file_is_forgotten() {
        let old = numbered("old", 50);
        let files = [("quiet.log", old.as_str()), ("busy.log", "")];
        let following = Following::start("*.log", &files).await;
        let busy = numbered("busy", 100);
        following.append("busy.log", &busy);
        sleep(LONG).await;
        assert_eq!(following.text().await, busy);
    }

    #[tokio::test(start_paused = true)]
    async fn while_there_is_no_room_files_are_looked_for() {
        let following = Following::start("a.log", &[("a.log", "")]).await;
        let mut expected = String::new();
        for name in ["first", "second", "third"] {
            let lines = numbered(name, 30);
            following.append("a.log", &lines);
            expected += &lines;
            sleep(LONG).await;
            // So that nobody finds it by a name.
            following.rename("a.log", &format!("old.{name}"));
        }
        assert_eq!(following.text().await, expected);
    }

    #[tokio::test(start_paused = true)]
    async fn a_file_that_was_away_is_not_new() {
        let old = numbered("old", 50);
        let following = Following::start("d/*.log", &[("d/a.log", old.as_str())]).await;
        following.rename("d", "elsewhere");
        sleep(LONG).await;
        // Its writer does not know.
        following.append("elsewhere/a.log", "meanwhile\n");
        assert_eq!(following.text().await, "meanwhile\n");
        following.rename("elsewhere", "d");
        following.append("d/a.log", "again\n");
        assert_eq!(following.text().await, "again\n");
    }

    #[tokio::test(start_paused = true)]
    async fn of_a_rotation_by_copying_and_emptying_every_line_comes_once() {
        for (pattern, copy) in [
            ("a.log*", "a.log.1"),
            ("a.log", "a.log.1"),
            ("a.log", "old/of/another.name"),
            ("a.log", "of another name"),
        ] {
            let is_found = !copy.starts_with("old/");
            let following = Following::start(pattern, &[("a.log", "")]).await;
            let first = numbered("a line that is rotated", 300);
            following.append("a.log", &first);
            following.append("a.log", "begun");
            assert_eq!(following.text().await, first);
            // All at once: nobody sees the copy before the file is empty.
            following.append("a.log", " and ended\nunread\n");
            let path = |name: &str| following.folder.path().join(name);
            fs::create_dir_all(path(copy).parent().unwrap()).unwrap();
            fs::copy(path("a.log"), path(copy)).unwrap();
            fs::write(path("a.log"), "new\n").unwrap();
            let expected = match is_found {
                true => "begun and ended\nunread\nnew\n",
                false => "begunnew\n",
            };
            assert_eq!(following.text().await, expected, "{pattern} {copy}");
            // It is not read again, nor is it in the way.
            following.rename(copy, "a.log.2");
            following.append("a.log", &first);
            assert_eq!(following.text().await, first, "{pattern} {copy}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_copy_that_is_there_before_the_file_is_emptied_waits() {
        let following = Following::start("a.log*", &[("a.log", "")]).await;
        let path = |name: &str| following.folder.path().join(name);
        following.append("a.log", "1\n2\n");
        assert_eq!(following.text().await, "1\n2\n");
        fs::copy(path("a.log"), path("a.log.1")).unwrap();
        assert_eq!(following.text().await, "");
        // What stands in both is read in the first.
        following.append("a.log", "3\n");
        following.append("a.log.1", "3\n");
        assert_eq!(following.text().await, "3\n");
        fs::write(path("a.log"), "4\n").unwrap();
        assert_eq!(following.text().await, "4\n");
        following.append("a.log.1", "5\n");
        assert_eq!(following.text().await, "5\n");
    }

    #[tokio::test(start_paused = true)]
    async fn what_begins_as_another_file_is_none_the_less_new() {
        let following = Following::start("*.log*", &[]).await;
        let mut expected = String::from("booting\n");
        following.append("worker.1.log", "booting\n");
        assert_eq!(following.text().await, "booting\n");
        for (name, text) in [
            ("worker.2.log", "booting\nhello\n"),
            ("worker.1.log.err", "booting\n"),
        ] {
            following.append(name, text);
            assert_eq!(following.text().await, text, "{name}");
        }
        // Named as if it were rotated, and with a life of its own.
        following.append("worker.1.log.2", "booting\n");
        assert_eq!(following.text().await, "");
        following.append("worker.1.log.2", "hello\n");
        expected.push_str("hello\n");
        assert_eq!(following.text().await, "hello\n");
        // Rotated by its name: the new one is none of the old one's copies.
        following.rename("worker.1.log", "worker.1.log.3");
        following.append("worker.1.log", &expected);
        assert_eq!(following.text().await, expected);
    }

    #[tokio::test(start_paused = true)]
    async fn a_file_without_a_name_is_let_go_and_its_last_line_sent() {
        let following = Following::start("*.log", &[("a.log", "")]).await;
        let path = following.folder.path().join("a.log");
        let mut writer = OpenOptions::new().append(true).open(&path).unwrap();
        fs::remove_file(&path).unwrap();
        writer.write_all(b"one\ntwo").unwrap();
        assert_eq!(following.text().await, "one\n");
        sleep(LONG).await;
        assert_eq!(following.text().await, "two");
    }
}
