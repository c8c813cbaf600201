//! One followed file: where it is read, and whether it is still the same.
//!
//! What blocks here is called on threads that may.

use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::Path;
use std::time::SystemTime;

use crate::limits::{SHIP_FILE_COMPARED_BYTES, SHIP_FILE_HEAD_BYTES, SHIP_READ_BYTES_MAX};
use crate::sources::ship::follow::kin::{Kin, Original, kin};
use crate::sources::ship::places::{FileKey, Head, Mark};

/// An open file and how far it was read.
pub(crate) struct Followed {
    file: File,
    pub(crate) key: FileKey,
    /// Bytes read.
    position: u64,
    /// The beginning, as far as it was read.
    head: Vec<u8>,
    /// What was read last, in front of `position`: what may stand in it no more.
    tail: Vec<u8>,
    /// When it was written, at the last look that found nothing more.
    modified: Option<SystemTime>,
    /// Whether it had a name, any, at the last look.
    has_name: bool,
}

/// What a look at a file brought.
pub(crate) enum Read {
    /// What follows.
    Bytes(Vec<u8>),
    /// It was emptied, or written anew, and is to be restarted.
    Emptied,
    /// Nothing for now.
    Nothing,
}

impl Followed {
    /// Opens `path` and begins at `position`, which is not beyond its end.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        let key = key_of(&file.metadata()?);
        let mut followed = Self {
            file,
            key,
            position: 0,
            head: Vec::new(),
            tail: Vec::new(),
            modified: None,
            has_name: true,
        };
        followed.read_head()?;
        Ok(followed)
    }

    /// Where the next byte is read.
    pub(crate) const fn position(&self) -> u64 {
        self.position
    }

    /// Whether it can be found under any name.
    pub(crate) const fn has_name(&self) -> bool {
        self.has_name
    }

    /// How long the file is.
    pub(crate) fn bytes(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    /// Goes on where `mark` is, if this is the file that it was made in.
    pub(crate) fn resume(&mut self, mark: Mark) -> io::Result<bool> {
        let is_same = self.begins_with(mark.head) && mark.position <= self.bytes()?;
        if is_same {
            self.go_to(mark.position)?;
        }
        Ok(is_same)
    }

    /// Goes on at `position`, which is not beyond its end.
    pub(crate) fn go_to(&mut self, position: u64) -> io::Result<()> {
        self.tail = end_at(&self.file, position)?;
        self.position = position;
        Ok(())
    }

    /// Begins again.
    pub(crate) fn restart(&mut self) {
        self.position = 0;
        self.head.clear();
        self.tail.clear();
    }

    /// Goes on behind the last whole line.
    pub(crate) fn skip_to_end(&mut self) -> io::Result<()> {
        let bytes = self.bytes()?;
        let start = bytes.saturating_sub(SHIP_READ_BYTES_MAX as u64);
        let mut last = vec![0; SHIP_READ_BYTES_MAX];
        let count = read_at(&self.file, &mut last, start)?;
        let last = last.get(..count).unwrap_or_default();
        let line_end = memchr::memrchr(b'\n', last).map(|at| at as u64 + 1);
        self.go_to(match line_end {
            Some(at) => start + at,
            None if start == 0 => 0,
            None => bytes,
        })
    }

    /// What this file is to `other`, which was there first; `has_ended`: that was emptied, or is
    /// followed no more.
    pub(crate) fn kin_of(&mut self, other: &Self, has_ended: bool) -> io::Result<Kin> {
        let metadata = self.file.metadata()?;
        self.has_name = 0 < metadata.nlink();
        let original = Original {
            read: other.position,
            bytes: match has_ended {
                true => None,
                false if other.is_whole()? => Some(other.bytes()?),
                false => Some(0),
            },
        };
        let bytes = metadata.len();
        let is_equal = self.is_equal(other, bytes.min(other.position))?;
        Ok(kin(original, bytes, is_equal))
    }

    /// Whether both hold the same up to `position`, which is not beyond what was read of `other`:
    /// beginning and end are compared. What `other` holds no more is remembered, some KiB of it.
    fn is_equal(&self, other: &Self, position: u64) -> io::Result<bool> {
        let begin = usize::try_from(position).unwrap_or(usize::MAX);
        let begin = other.head.get(..begin).unwrap_or(&other.head);
        let mut found = vec![0; begin.len()];
        if read_at(&self.file, &mut found, 0)? < found.len() || found != begin {
            return Ok(false);
        }
        let behind = usize::try_from(other.position - position).unwrap_or(usize::MAX);
        match other
            .tail
            .len()
            .checked_sub(behind)
            .filter(|&bytes| 0 < bytes)
        {
            Some(bytes) => {
                let tail = other.tail.get(..bytes).unwrap_or_default();
                let mut found = vec![0; bytes];
                let count = read_at(&self.file, &mut found, position - bytes as u64)?;
                Ok(count == bytes && found == tail)
            }
            None => Ok(end_at(&self.file, position)? == end_at(&other.file, position)?),
        }
    }

    /// Reads on.
    pub(crate) fn read(&mut self) -> io::Result<Read> {
        let metadata = self.file.metadata()?;
        self.has_name = 0 < metadata.nlink();
        let bytes = metadata.len();
        if bytes < self.position || !self.has_same_head()? {
            return Ok(Read::Emptied);
        }
        if bytes == self.position {
            return self.read_nothing(metadata.modified().ok());
        }
        // With one read, so that what follows does follow.
        let known = self.tail.len();
        let mut buffer = vec![0; known + SHIP_READ_BYTES_MAX];
        let count = read_at(&self.file, &mut buffer, self.position - known as u64)?;
        buffer.truncate(count);
        if !buffer.starts_with(&self.tail) {
            return Ok(Read::Emptied);
        }
        let bytes = buffer.split_off(known);
        if bytes.is_empty() {
            return Ok(Read::Nothing);
        }
        self.position += bytes.len() as u64;
        buffer.extend_from_slice(&bytes);
        self.tail = buffer.split_off(buffer.len().saturating_sub(SHIP_FILE_COMPARED_BYTES));
        self.read_head()?;
        Ok(Read::Bytes(bytes))
    }

    /// Nothing follows; but it may have been emptied, and be as long as before.
    fn read_nothing(&mut self, modified: Option<SystemTime>) -> io::Result<Read> {
        if modified.is_some() && modified == self.modified {
            return Ok(Read::Nothing);
        }
        if end_at(&self.file, self.position)? != self.tail {
            return Ok(Read::Emptied);
        }
        self.modified = modified;
        Ok(Read::Nothing)
    }

    /// Whether it still holds what was read.
    fn is_whole(&self) -> io::Result<bool> {
        let is_long = self.position <= self.bytes()?;
        Ok(is_long && self.has_same_head()? && end_at(&self.file, self.position)? == self.tail)
    }

    /// The mark of a line that ended at `position`.
    pub(crate) fn mark(&self, position: u64) -> Mark {
        Mark {
            key: self.key,
            position,
            head: Head::of(&self.head),
        }
    }

    fn begins_with(&self, head: Head) -> bool {
        self.head
            .get(..head.bytes)
            .is_some_and(|begin| Head::of(begin) == head)
    }

    fn has_same_head(&self) -> io::Result<bool> {
        let mut found = vec![0; self.head.len()];
        let count = read_at(&self.file, &mut found, 0)?;
        Ok(count == found.len() && found == self.head)
    }

    /// Reads the beginning as far as it is there, once.
    fn read_head(&mut self) -> io::Result<()> {
        let known = self.head.len();
        if known < SHIP_FILE_HEAD_BYTES {
            self.head.resize(SHIP_FILE_HEAD_BYTES, 0);
            let rest = self.head.get_mut(known..).unwrap_or_default();
            let count = read_at(&self.file, rest, known as u64);
            self.head.truncate(known + *count.as_ref().unwrap_or(&0));
            count?;
        }
        Ok(())
    }
}

/// What names the file.
pub(crate) fn key_of(metadata: &Metadata) -> FileKey {
    FileKey {
        device: metadata.dev(),
        inode: metadata.ino(),
    }
}

/// Some KiB of the file in front of `position`.
fn end_at(file: &File, position: u64) -> io::Result<Vec<u8>> {
    let start = position.saturating_sub(SHIP_FILE_COMPARED_BYTES as u64);
    let bytes = usize::try_from(position - start).unwrap_or_default();
    let mut end = vec![0; bytes];
    let count = read_at(file, &mut end, start)?;
    end.truncate(count);
    Ok(end)
}

/// Reads until `buffer` is full or the file ends.
fn read_at(file: &File, buffer: &mut [u8], at: u64) -> io::Result<usize> {
    let mut count = 0;
    while let Some(rest) = buffer.get_mut(count..).filter(|rest| !rest.is_empty()) {
        match file.read_at(rest, at + count as u64) {
            Ok(0) => break,
            Ok(read) => count += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(count)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn bytes_of(followed: &mut Followed) -> String {
        match followed.read().unwrap() {
            Read::Bytes(bytes) => String::from_utf8(bytes).unwrap(),
            Read::Emptied => {
                followed.restart();
                "emptied".to_owned()
            }
            Read::Nothing => String::new(),
        }
    }

    #[test]
    fn what_happens_to_a_file_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.log");
        fs::write(&path, "one\ntwo").unwrap();
        let mut followed = Followed::open(&path).unwrap();
        followed.skip_to_end().unwrap();
        assert_eq!(bytes_of(&mut followed), "two");
        assert_eq!(bytes_of(&mut followed), "");
        fs::write(&path, "one\ntwo\nthree\n").unwrap();
        assert_eq!(bytes_of(&mut followed), "\nthree\n");
        let mark = followed.mark(8);

        let copy = folder.path().join("copy");
        let kin = |text: &str, has_ended| {
            fs::write(&copy, text).unwrap();
            let mut copy = Followed::open(&copy).unwrap();
            copy.kin_of(&followed, has_ended).unwrap()
        };
        let whole = "one\ntwo\nthree\n";
        assert_eq!(kin(whole, false), Kin::Waits);
        assert_eq!(kin(whole, true), Kin::GoesOnAt(14));
        assert_eq!(kin("one\ntwo\n", true), Kin::GoesOnAt(8));
        assert_eq!(kin("one\ntwo\nthree\nfour\n", true), Kin::GoesOnAt(14));
        assert_eq!(kin("one\ntwo\nother\n and more", true), Kin::Unrelated);
        // What it held is remembered.
        fs::write(&path, "").unwrap();
        assert_eq!(kin(whole, false), Kin::Waits);
        assert_eq!(kin(whole, true), Kin::GoesOnAt(14));
        assert_eq!(kin("one\ntwo\nthree-\n", true), Kin::Unrelated);
        fs::write(&path, whole).unwrap();

        let mut again = Followed::open(&path).unwrap();
        assert!(again.resume(mark).unwrap());
        assert_eq!(bytes_of(&mut again), "three\n");

        fs::write(&path, "new\n").unwrap();
        assert_eq!(bytes_of(&mut followed), "emptied");
        assert_eq!(bytes_of(&mut followed), "new\n");
        // Longer than before, but not the same.
        fs::write(&path, "other and longer\n").unwrap();
        assert_eq!(bytes_of(&mut followed), "emptied");
        assert_eq!(bytes_of(&mut followed), "other and longer\n");
        assert!(!Followed::open(&path).unwrap().resume(mark).unwrap());
        // As before at its beginning, for longer than that is known.
        let banner = "=".repeat(SHIP_FILE_HEAD_BYTES);
        fs::write(&path, format!("{banner}\nfirst\n")).unwrap();
        assert_eq!(bytes_of(&mut followed), "emptied");
        assert!(bytes_of(&mut followed).ends_with("first\n"));
        assert_eq!(bytes_of(&mut followed), "");
        // As long as before.
        fs::write(&path, format!("{banner}\nFIRST\n")).unwrap();
        assert_eq!(bytes_of(&mut followed), "emptied");
        assert!(bytes_of(&mut followed).ends_with("FIRST\n"));
        fs::write(&path, format!("{banner}\nother\nand more\n")).unwrap();
        assert_eq!(bytes_of(&mut followed), "emptied");
    }
}
