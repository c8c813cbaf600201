//! Which files are to be followed. Blocks.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, Metadata};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crate::limits::SHIP_FILES_FOUND_MAX;
use crate::sources::ship::follow::file::key_of;
use crate::sources::ship::places::{FileKey, Places};

/// The files that match, each once, those written longest ago first (by the
/// clock of the file system, whose ticks are some milliseconds). With `places` also those in
/// the same folders that were followed before and were given another name since.
pub(crate) fn files(
    patterns: &[glob::Pattern],
    places: Option<&Places>,
) -> Vec<(FileKey, PathBuf)> {
    let mut found = Found::default();
    let mut folders = BTreeSet::new();
    for pattern in patterns {
        folders.extend(Path::new(pattern.as_str()).parent().map(Path::to_owned));
        let Ok(paths) = glob::glob(pattern.as_str()) else {
            continue;
        };
        for path in paths.flatten().take(SHIP_FILES_FOUND_MAX) {
            folders.extend(path.parent().map(Path::to_owned));
            found.add(path, |_| true);
        }
    }
    for folder in folders.iter().filter(|_| places.is_some()) {
        let folder = match folder.as_os_str().is_empty() {
            true => Path::new("."),
            false => folder,
        };
        // Of a pattern's folder that is itself a pattern there is none.
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            let is_known = |key| places.is_some_and(|places| places.of(key).is_some());
            found.add(entry.path(), is_known);
        }
    }
    let mut found: Vec<_> = found.0.into_iter().collect();
    found.sort_by_key(|(_, (modified, _))| *modified);
    found
        .into_iter()
        .map(|(key, (_, path))| (key, path))
        .collect()
}

#[derive(Default)]
struct Found(BTreeMap<FileKey, (SystemTime, PathBuf)>);

impl Found {
    fn add(&mut self, path: PathBuf, is_wanted: impl Fn(FileKey) -> bool) {
        let Some(metadata) = path.metadata().ok().filter(Metadata::is_file) else {
            return;
        };
        let key = key_of(&metadata);
        if is_wanted(key) {
            let modified = metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH);
            self.0.entry(key).or_insert((modified, path));
        }
    }
}

/// Why a pattern may find less than somebody expects: a folder that may not be read, or no file.
pub(crate) fn trouble(pattern: &glob::Pattern) -> Option<String> {
    let mut paths = match glob::glob(pattern.as_str()) {
        Ok(paths) => paths.peekable(),
        Err(error) => return Some(error.to_string()),
    };
    if paths.peek().is_none() {
        return Some("there is no such file yet".to_owned());
    }
    let failed = paths.take(SHIP_FILES_FOUND_MAX).find_map(Result::err);
    failed.map(|error| error.to_string())
}
