//! Which lines stand in files where the next shipper finds them. Blocks.

use std::path::PathBuf;

use crate::sources::ship::follow::file::Followed;
use crate::sources::ship::follow::scan;
use crate::sources::ship::places::{FileKey, Places, Run};

/// How many of the lines, none of which is delivered, the next shipper reads.
pub(crate) fn held_lines(places: &Places, runs: &[Run]) -> u64 {
    let files = scan::files(places.patterns(), Some(places));
    let held = runs.iter().filter(|run| is_held(places, run, &files));
    held.map(|run| run.lines).sum()
}

/// In its own file only: of a copy it is not known here whose it is.
fn is_held(places: &Places, run: &Run, files: &[(FileKey, PathBuf)]) -> bool {
    let file = files.iter().find(|(key, _)| *key == run.mark.key);
    let is_known = places.of(run.mark.key).is_some();
    is_known
        && file
            .and_then(|(_, path)| Followed::open(path).ok()?.resume(run.mark).ok())
            .unwrap_or(false)
}
