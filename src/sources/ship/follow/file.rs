//! One followed file: where it is read, and whether it is still the same.
//!
//! What blocks here is called on threads that may.

use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::Path;

use crate::limits::{SHIP_FILE_COMPARED_BYTES, SHIP_FILE_HEAD_BYTES, SHIP_READ_BYTES_MAX};
use crate::sources::ship::places::{FileKey, Head, Mark};

/// An open file and how far it was read.
pub(crate) struct Followed {
    file: File,
    pub(crate) key: FileKey,
    /// Bytes read.
    position: u64,
    /// The beginning, as far as it was read.
    head: Vec<u8>,
    /// Whether it had a name, any, at the last look.
    has_name: bool,
}

/// What a look at a file brought.
pub(crate) enum Read {
    /// What follows.
    Bytes(Vec<u8>),
    /// It was emptied, or written anew: it is read from its start.
    Restarted,
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
            self.position = mark.position;
        }
        Ok(is_same)
    }

    /// Goes on behind the last whole line.
    pub(crate) fn skip_to_end(&mut self) -> io::Result<()> {
        let bytes = self.bytes()?;
        let start = bytes.saturating_sub(SHIP_READ_BYTES_MAX as u64);
        let mut last = vec![0; SHIP_READ_BYTES_MAX];
        let count = read_at(&self.file, &mut last, start)?;
        let last = last.get(..count).unwrap_or_default();
        let line_end = memchr::memrchr(b'\n', last).map(|at| at as u64 + 1);
        self.position = match line_end {
            Some(at) => start + at,
            None if start == 0 => 0,
            None => bytes,
        };
        Ok(())
    }

    /// Whether this file is a copy of `other`, as far as that was read: made by a rotation that is
    /// about to empty it. Beginning and end are compared, some KiB that were read just now.
    pub(crate) fn is_copy_of(&self, other: &Self) -> io::Result<bool> {
        let is_likely = 0 < other.position
            && other.position <= self.bytes()?
            && self.begins_with(Head::of(&other.head));
        if !is_likely {
            return Ok(false);
        }
        let end = |file| {
            let mut end = vec![0; SHIP_FILE_COMPARED_BYTES];
            let at = other
                .position
                .saturating_sub(SHIP_FILE_COMPARED_BYTES as u64);
            let count = read_at(file, &mut end, at)?;
            end.truncate(count.min(usize::try_from(other.position - at).unwrap_or(count)));
            Ok::<_, io::Error>(end)
        };
        Ok(end(&self.file)? == end(&other.file)?)
    }

    /// Reads on.
    pub(crate) fn read(&mut self) -> io::Result<Read> {
        let metadata = self.file.metadata()?;
        self.has_name = 0 < metadata.nlink();
        let bytes = metadata.len();
        let is_emptied = bytes < self.position;
        // Emptied and written beyond the old place since the last look.
        let is_anew = self.position < bytes && !self.has_same_head()?;
        if is_emptied || is_anew {
            self.position = 0;
            self.head.clear();
            return Ok(Read::Restarted);
        }
        if bytes == self.position {
            return Ok(Read::Nothing);
        }
        let mut buffer = vec![0; SHIP_READ_BYTES_MAX];
        let count = read_at(&self.file, &mut buffer, self.position)?;
        if count == 0 {
            return Ok(Read::Nothing);
        }
        buffer.truncate(count);
        self.position += count as u64;
        self.read_head()?;
        Ok(Read::Bytes(buffer))
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
            Read::Restarted => "restarted".to_owned(),
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
        fs::copy(&path, &copy).unwrap();
        assert!(
            Followed::open(&copy)
                .unwrap()
                .is_copy_of(&followed)
                .unwrap()
        );
        fs::write(&copy, "one\ntwo\nother\n and more").unwrap();
        assert!(
            !Followed::open(&copy)
                .unwrap()
                .is_copy_of(&followed)
                .unwrap()
        );
        fs::write(&copy, "one\n").unwrap();
        assert!(
            !Followed::open(&copy)
                .unwrap()
                .is_copy_of(&followed)
                .unwrap()
        );

        let mut again = Followed::open(&path).unwrap();
        assert!(again.resume(mark).unwrap());
        assert_eq!(bytes_of(&mut again), "three\n");

        fs::write(&path, "new\n").unwrap();
        assert_eq!(bytes_of(&mut followed), "restarted");
        assert_eq!(bytes_of(&mut followed), "new\n");
        // Longer than before, but not the same.
        fs::write(&path, "other and longer\n").unwrap();
        assert_eq!(bytes_of(&mut followed), "restarted");
        assert_eq!(bytes_of(&mut followed), "other and longer\n");
        assert!(!Followed::open(&path).unwrap().resume(mark).unwrap());
    }
}
