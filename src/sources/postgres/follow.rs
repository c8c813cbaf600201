//! The files of a log directory, one after the other, as the server's logging collector writes them:
//! it begins a new file now and then, or an old one anew. Blocking: for a thread that may.

use std::cmp::Ordering;
use std::fs;
use std::fs::File;
use std::io;
use std::io::Read;
use std::io::Seek;
use std::io::SeekFrom;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::path::PathBuf;

use serde::Deserialize;
use serde::Serialize;

use crate::limits::POSTGRES_LOG_FILES_MAX;
use crate::limits::POSTGRES_READ_BYTES_MAX;

/// A place in a file, of which everything in front was taken.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Place {
    /// The file's number in its file system: a name may be used again.
    pub inode: u64,
    /// How much of it was taken.
    pub offset: u64,
    /// When it had last been written to, in nanoseconds since 1970: what is newer was not taken.
    pub modified: i128,
}

/// What a look at the directory brought.
#[derive(Debug)]
pub enum Step {
    /// More bytes of the file that is read.
    Bytes(Vec<u8>),
    /// Nothing new.
    Quiet,
    /// Another file is read from now on, or the same from its start: what was kept of the one before
    /// gets no end.
    Moved(PathBuf),
}

/// Follows the files of a directory with one extension.
#[derive(Debug)]
pub struct Follower {
    directory: PathBuf,
    extension: &'static str,
    start: Start,
    current: Option<Current>,
}

/// Where to begin.
#[derive(Clone, Debug)]
pub enum Start {
    /// At the end of what is there.
    End,
    /// At the oldest file's start.
    Oldest,
    /// At the start of the oldest file that was written to then, in nanoseconds since 1970, or later;
    /// at the end of what is there if none was.
    Since(i128),
    /// Where an earlier run got to.
    At(Place),
}

#[derive(Debug)]
struct Current {
    file: File,
    found: Found,
    offset: u64,
}

/// A file of the directory.
#[derive(Clone, Debug, Eq, PartialEq)]
struct Found {
    path: PathBuf,
    inode: u64,
    bytes: u64,
    modified: i128,
}

impl Found {
    /// The order in which files are written: names tell those apart that a coarse clock does not.
    fn order(&self, other: &Self) -> Ordering {
        (self.modified, &self.path).cmp(&(other.modified, &other.path))
    }
}

impl Follower {
    /// Follows the files of `directory` whose names end in `.extension`.
    #[must_use]
    pub const fn new(directory: PathBuf, extension: &'static str, start: Start) -> Self {
        Self {
            directory,
            extension,
            start,
            current: None,
        }
    }

    /// The place behind all but the last `kept` bytes that were given out.
    #[must_use]
    pub fn place(&self, kept: usize) -> Option<Place> {
        let current = self.current.as_ref()?;
        Some(Place {
            inode: current.found.inode,
            offset: current.offset.saturating_sub(kept as u64),
            modified: current.found.modified,
        })
    }

    /// Reads on.
    ///
    /// # Errors
    /// The system's, with the path it is about. The next step tries again.
    pub fn step(&mut self) -> Result<Step, (PathBuf, io::Error)> {
        let Some(current) = &mut self.current else {
            return self.begin();
        };
        let failed = |current: &Current, error| (current.found.path.clone(), error);
        let bytes = current.read().map_err(|error| failed(current, error))?;
        if !bytes.is_empty() {
            return Ok(Step::Bytes(bytes));
        }
        let told = current.file.metadata();
        let told = told.map_err(|error| failed(current, error))?;
        current.found.modified = modified(&told);
        if told.len() < current.offset {
            // Begun anew under the same name.
            current.offset = 0;
            return Ok(Step::Moved(current.found.path.clone()));
        }
        let Some(next) = self.next()? else {
            return Ok(Step::Quiet);
        };
        // What was written between the read and the look at the directory.
        if let Some(current) = &mut self.current {
            let bytes = current.read().map_err(|error| failed(current, error))?;
            if !bytes.is_empty() {
                return Ok(Step::Bytes(bytes));
            }
        }
        self.open(next, 0)
    }

    fn begin(&mut self) -> Result<Step, (PathBuf, io::Error)> {
        let files = self.list()?;
        let last = files.last();
        let end = (last, last.map_or(0, |file| file.bytes));
        let (next, offset) = match &self.start {
            Start::Oldest => (files.first(), 0),
            Start::End => end,
            Start::Since(then) => {
                let newer = files.iter().find(|file| *then <= file.modified);
                newer.map_or(end, |file| (Some(file), 0))
            }
            Start::At(place) => at(&files, place),
        };
        let Some(next) = next.cloned() else {
            // Whatever comes is new.
            if matches!(self.start, Start::End) {
                self.start = Start::Oldest;
            }
            return Ok(Step::Quiet);
        };
        self.open(next, offset)
    }

    /// The file that comes after the current one.
    fn next(&self) -> Result<Option<Found>, (PathBuf, io::Error)> {
        let Some(current) = &self.current else {
            return Ok(None);
        };
        let files = self.list()?;
        let newer = files.into_iter().find(|file| {
            file.inode != current.found.inode && current.found.order(file) == Ordering::Less
        });
        Ok(newer)
    }

    fn open(&mut self, found: Found, offset: u64) -> Result<Step, (PathBuf, io::Error)> {
        let failed = |error| (found.path.clone(), error);
        let mut file = File::open(&found.path).map_err(failed)?;
        file.seek(SeekFrom::Start(offset)).map_err(failed)?;
        let path = found.path.clone();
        self.current = Some(Current {
            file,
            found,
            offset,
        });
        Ok(Step::Moved(path))
    }

    /// The files, in the order in which they were written.
    fn list(&self) -> Result<Vec<Found>, (PathBuf, io::Error)> {
        let failed = |error| (self.directory.clone(), error);
        let mut files = Vec::new();
        for entry in fs::read_dir(&self.directory).map_err(failed)? {
            let path = entry.map_err(failed)?.path();
            if path.extension().is_none_or(|found| found != self.extension) {
                continue;
            }
            // One that was removed meanwhile is as good as never there.
            if let Some(found) = found(&path) {
                files.push(found);
            }
            if POSTGRES_LOG_FILES_MAX < files.len() {
                return Err(failed(io::Error::other(format!(
                    "it holds more than {POSTGRES_LOG_FILES_MAX} log files"
                ))));
            }
        }
        files.sort_by(Found::order);
        Ok(files)
    }
}

impl Current {
    /// What there is more, at most a piece; empty at the end.
    fn read(&mut self) -> io::Result<Vec<u8>> {
        self.file.seek(SeekFrom::Start(self.offset))?;
        let mut bytes = Vec::new();
        let mut piece = (&self.file).take(POSTGRES_READ_BYTES_MAX);
        let read = piece.read_to_end(&mut bytes)?;
        self.offset += read as u64;
        Ok(bytes)
    }
}

fn found(path: &Path) -> Option<Found> {
    let told = fs::metadata(path).ok().filter(fs::Metadata::is_file)?;
    Some(Found {
        path: path.to_owned(),
        inode: told.ino(),
        bytes: told.len(),
        modified: modified(&told),
    })
}

fn modified(told: &fs::Metadata) -> i128 {
    i128::from(told.mtime()) * 1_000_000_000 + i128::from(told.mtime_nsec())
}

/// Where to go on. The file of the place may have been begun anew: it is shorter, or others were
/// written between the place and its end, and those come first. One that is gone was read, or lost:
/// the next is the oldest that is newer.
fn at<'f>(files: &'f [Found], place: &Place) -> (Option<&'f Found>, u64) {
    let is_newer = |file: &&Found| place.modified < file.modified;
    let newer = files.iter().find(is_newer);
    let same = files.iter().find(|file| file.inode == place.inode);
    let Some(same) = same else {
        return (newer, 0);
    };
    match newer.filter(|_| is_newer(&same)) {
        Some(newer) if newer.inode != same.inode => (Some(newer), 0),
        _ if same.bytes < place.offset => (Some(same), 0),
        _ => (Some(same), place.offset),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn append(path: &Path, text: &str) {
        let mut file = File::options()
            .append(true)
            .create(true)
            .open(path)
            .unwrap();
        file.write_all(text.as_bytes()).unwrap();
    }

    /// Everything that comes until it is quiet; `|` where another file begins.
    fn all(follower: &mut Follower) -> String {
        let mut seen = String::new();
        loop {
            match follower.step().unwrap() {
                Step::Bytes(bytes) => seen.push_str(str::from_utf8(&bytes).unwrap()),
                Step::Moved(_) => seen.push('|'),
                Step::Quiet => return seen,
            }
        }
    }

    /// Sets a file's time, as clocks of file systems are coarse.
    fn touch(path: &Path, seconds: u64) {
        let time = std::time::UNIX_EPOCH + std::time::Duration::from_secs(seconds);
        File::options()
            .append(true)
            .open(path)
            .unwrap()
            .set_modified(time)
            .unwrap();
    }

    #[test]
    fn files_are_read_in_their_order_and_to_their_ends() {
        let folder = tempfile::tempdir().unwrap();
        let [a, b, c] = ["z.log", "b.log", "c.log"].map(|name| folder.path().join(name));
        append(&folder.path().join("other.csv"), "other");
        let mut follower = Follower::new(folder.path().to_owned(), "log", Start::End);
        assert_eq!(all(&mut follower), "");
        append(&a, "1\n2");
        touch(&a, 10);
        assert_eq!(all(&mut follower), "|1\n2");
        append(&a, "\n3\n");
        append(&b, "4\n");
        touch(&a, 11);
        touch(&b, 12);
        append(&c, "5\n");
        touch(&c, 13);
        assert_eq!(all(&mut follower), "\n3\n|4\n|5\n");
        // A week later: the first one's name is used again.
        File::create(&a).unwrap();
        append(&a, "6\n");
        touch(&a, 14);
        assert_eq!(all(&mut follower), "|6\n");
        // Begun anew while it is read.
        File::create(&a).unwrap();
        touch(&a, 15);
        assert_eq!(all(&mut follower), "|");
        append(&a, "7\n");
        touch(&a, 16);
        assert_eq!(all(&mut follower), "7\n");
        fs::remove_file(&a).unwrap();
        append(&c, "8\n");
        touch(&c, 17);
        assert_eq!(
            all(&mut follower),
            "|5\n8\n",
            "its name was used again, for all it knows"
        );
    }

    #[test]
    fn a_later_run_goes_on_where_the_earlier_one_got_to() {
        let folder = tempfile::tempdir().unwrap();
        let [a, b] = ["a.log", "b.log"].map(|name| folder.path().join(name));
        let follow = |start| Follower::new(folder.path().to_owned(), "log", start);
        append(&a, "1\n2\n");
        touch(&a, 10);
        assert_eq!(all(&mut follow(Start::End)), "|");
        let mut first = follow(Start::Oldest);
        assert_eq!(all(&mut first), "|1\n2\n");
        let place = first.place(2).unwrap();
        append(&b, "3\n");
        touch(&b, 20);
        assert_eq!(all(&mut follow(Start::At(place.clone()))), "|2\n|3\n");
        fs::remove_file(&a).unwrap();
        assert_eq!(all(&mut follow(Start::At(place.clone()))), "|3\n");
        fs::remove_file(&b).unwrap();
        let mut empty = follow(Start::At(place));
        assert_eq!(all(&mut empty), "");
        append(&b, "4\n");
        assert_eq!(all(&mut empty), "|4\n");
    }

    #[test]
    fn files_since_then_are_read_and_older_ones_are_not() {
        let folder = tempfile::tempdir().unwrap();
        let [a, b, c] = ["a.log", "b.log", "c.log"].map(|name| folder.path().join(name));
        append(&a, "1\n");
        touch(&a, 10);
        let since = Start::Since(20_000_000_000);
        let follow = || Follower::new(folder.path().to_owned(), "log", since.clone());
        let mut older = follow();
        assert_eq!(all(&mut older), "|");
        append(&a, "more\n");
        touch(&a, 11);
        assert_eq!(all(&mut older), "more\n");
        append(&b, "2\n");
        touch(&b, 20);
        append(&c, "3\n");
        touch(&c, 30);
        assert_eq!(all(&mut follow()), "|2\n|3\n");
        assert_eq!(all(&mut older), "|2\n|3\n");
    }

    #[test]
    fn files_whose_names_came_round_are_read_in_their_order() {
        let folder = tempfile::tempdir().unwrap();
        let [monday, tuesday] = ["mon.log", "tue.log"].map(|name| folder.path().join(name));
        let follow = |start| Follower::new(folder.path().to_owned(), "log", start);
        append(&monday, "1\n");
        touch(&monday, 10);
        let mut first = follow(Start::Oldest);
        assert_eq!(all(&mut first), "|1\n");
        let place = first.place(0).unwrap();
        append(&tuesday, "2\n");
        touch(&tuesday, 20);
        // A week later: emptied, and longer than it was.
        File::create(&monday).unwrap();
        append(&monday, "3\n4\n");
        touch(&monday, 30);
        assert_eq!(all(&mut follow(Start::At(place))), "|2\n|3\n4\n");
    }

    #[test]
    fn a_file_that_has_become_shorter_is_read_from_its_start() {
        let file = |inode, bytes, modified| Found {
            path: PathBuf::from("x"),
            inode,
            bytes,
            modified,
        };
        let files = [file(1, 5, 10), file(2, 7, 20)];
        let check = |inode, offset, modified, expected: Option<(u64, u64)>| {
            let place = Place {
                inode,
                offset,
                modified,
            };
            let (found, offset) = at(&files, &place);
            assert_eq!(found.map(|file| (file.inode, offset)), expected);
        };
        check(1, 5, 10, Some((1, 5)));
        check(1, 6, 10, Some((1, 0)));
        check(3, 6, 10, Some((2, 0)));
        check(3, 6, 9, Some((1, 0)));
        check(3, 6, 20, None);
    }
}
