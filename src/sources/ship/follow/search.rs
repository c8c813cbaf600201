//! Looks for the copy of a file that was emptied. Blocks.

use std::collections::BTreeSet;
use std::fs::{self, Metadata};
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crate::clock::UnixMicros;
use crate::limits::{SHIP_COPY_AGE_MAX, SHIP_FILE_COMPARED_BYTES, SHIP_PLACES_MAX};
use crate::sources::ship::follow::file::{Followed, key_of};
use crate::sources::ship::follow::kin::{Kin, is_rotated_name};
use crate::sources::ship::places::{FileKey, Mark};

/// Where to look for it.
pub(crate) struct Search {
    /// The file that was emptied.
    pub(crate) path: PathBuf,
    /// Files that are something else.
    pub(crate) known: BTreeSet<FileKey>,
    /// When the file was seen whole for the last time: the copy was made after that, or not long before.
    pub(crate) seen_at: UnixMicros,
}

impl Search {
    /// The copy of `emptied`, to be read on behind what was read of that. Under any name, if there
    /// is much to tell it by.
    pub(crate) fn copy_of(&self, emptied: &Followed) -> Option<(PathBuf, Followed)> {
        let is_long = SHIP_FILE_COMPARED_BYTES as u64 <= emptied.position();
        self.find(|path, copy| {
            let is_named = is_rotated_name(&self.path, path);
            if !is_named && !is_long {
                return Ok(false);
            }
            match copy.kin_of(emptied, true)? {
                Kin::GoesOnAt(position) if 0 < position => {
                    copy.go_to(position)?;
                    Ok(is_named || position == emptied.position())
                }
                _ => Ok(false),
            }
        })
    }

    /// The copy of the file in which `mark` was made.
    pub(crate) fn copy_with(&self, mark: Mark) -> Option<(PathBuf, Followed)> {
        self.find(|path, copy| Ok(is_rotated_name(&self.path, path) && copy.resume(mark)?))
    }

    fn find(
        &self,
        is_copy: impl Fn(&Path, &mut Followed) -> io::Result<bool>,
    ) -> Option<(PathBuf, Followed)> {
        let folder = match self.path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        };
        let entries = fs::read_dir(folder).ok()?.flatten().take(SHIP_PLACES_MAX);
        for entry in entries {
            let path = match folder == Path::new(".") {
                true => PathBuf::from(entry.file_name()),
                false => entry.path(),
            };
            let Some(metadata) = path.metadata().ok().filter(Metadata::is_file) else {
                continue;
            };
            if self.known.contains(&key_of(&metadata)) || !self.is_young(&metadata) {
                continue;
            }
            if let Ok(mut copy) = Followed::open(&path)
                && is_copy(&path, &mut copy).unwrap_or(false)
            {
                return Some((path, copy));
            }
        }
        None
    }

    /// Whether the file was made late enough. Where file systems do not know, it was written then.
    fn is_young(&self, metadata: &Metadata) -> bool {
        let Ok(made) = metadata.created().or_else(|_| metadata.modified()) else {
            return false;
        };
        let since = made
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default();
        let made = u64::try_from(since.as_micros()).unwrap_or(u64::MAX);
        self.seen_at.minus(SHIP_COPY_AGE_MAX).value() <= made
    }
}
