//! Copies that rotations make of followed files: each is read on where the file that it was made of
//! was left.

use std::collections::BTreeSet;
use std::path::Path;

use tracing::{info, warn};

use crate::sources::ship::follow::Follower;
use crate::sources::ship::follow::kin::{Kin, is_rotated_name};
use crate::sources::ship::follow::search::Search;
use crate::sources::ship::follow::source::Source;
use crate::sources::ship::places::{FileKey, Mark};
use crate::sources::ship::queue::Intake;

impl Follower {
    /// The file that is followed and of which `source` is a copy.
    pub(crate) fn original_of(&self, source: &mut Source) -> Option<FileKey> {
        let original = self.sources.iter().find(|other| {
            is_rotated_name(&other.path, &source.path)
                && other.waits_for.is_none()
                && source.kin_of(other, false) == Kin::Waits
        });
        original.map(|other| other.key)
    }

    /// The file at `path` was emptied while nobody followed it: goes on in its copy.
    pub(crate) async fn add_copy_with(&mut self, mark: Mark, path: &Path) {
        let Some(places) = &self.settings.places else {
            return;
        };
        let search = Search {
            path: path.to_owned(),
            known: self.known(),
            seen_at: places.saved_before(),
        };
        let found = tokio::task::spawn_blocking(move || search.copy_with(mark)).await;
        if let Ok(Some((path, copy))) = found {
            let copy = self.source(copy, &path);
            self.register(copy.mark());
            self.sources.push(copy);
        }
    }

    /// Files that are no new ones.
    fn known(&self) -> BTreeSet<FileKey> {
        let sources = self.sources.iter().map(|source| source.key);
        let places = self.settings.places.iter();
        let places = places.flat_map(|places| places.keys());
        sources
            .chain(self.left.keys().copied())
            .chain(places)
            .collect()
    }

    /// Decides about the copy at `index` whether it still waits.
    pub(crate) fn judge(&mut self, index: usize) {
        let Some(source) = self.sources.get(index) else {
            return;
        };
        let original = self
            .sources
            .iter()
            .position(|other| Some(other.key) == source.waits_for);
        let Some(original) = original else {
            return;
        };
        let Ok([original, copy]) = self.sources.get_disjoint_mut([original, index]) else {
            return;
        };
        let kin = copy.kin_of(original, false);
        release(copy, kin);
        self.register_released(index);
    }

    /// `ended` is emptied, or followed no more: its copy, if there is one, is read where it was left.
    pub(crate) fn release_copies(&mut self, ended: &Source) {
        for index in 0..self.sources.len() {
            let Some(copy) = self.sources.get_mut(index) else {
                continue;
            };
            if copy.waits_for == Some(ended.key) {
                let kin = copy.kin_of(ended, true);
                release(copy, kin);
                self.register_released(index);
            }
        }
    }

    fn register_released(&self, index: usize) {
        if let Some(copy) = self
            .sources
            .get(index)
            .filter(|copy| copy.waits_for.is_none())
        {
            self.register(copy.mark());
        }
    }

    /// The file at `index` was emptied. What was not read of it is in its copy, if there is one, which
    /// takes its place; it comes behind.
    pub(crate) async fn go_on_in_copy(&mut self, index: usize, intake: &Intake) {
        let copy = match self.take_waiting(index) {
            Some(copy) => Some(copy),
            None => self.find_copy(index).await,
        };
        let Some(source) = self.sources.get_mut(index) else {
            return;
        };
        let delivered = self
            .settings
            .places
            .as_ref()
            .and_then(|places| places.of(source.key));
        let Some(mut copy) = copy else {
            warn!(
                path = %source.path.display(),
                "a file was emptied, and no copy of it is there: what was not read yet is lost"
            );
            let rest = source.restart(None);
            self.give(rest, intake).await;
            return;
        };
        info!(path = %copy.path.display(), "going on in the copy of a file that was emptied");
        let rest = source.restart(Some(&mut copy));
        // Not farther than what the router or the spool has: the rest may still be on its way.
        let mark = copy.mark().map(|mark| match delivered {
            Some(delivered) if delivered.position < mark.position => Mark {
                position: delivered.position,
                ..mark
            },
            _ => mark,
        });
        self.register(mark);
        self.sources.insert(index, copy);
        self.give(rest, intake).await;
    }

    /// A copy that waits for the file at `index`, to be read on where that was left. Others are
    /// copies of it.
    fn take_waiting(&mut self, index: usize) -> Option<Source> {
        let key = self.sources.get(index)?.key;
        let is_waiting = |source: &Source| source.waits_for == Some(key);
        let first = self.sources.iter().position(is_waiting)?;
        let [original, copy] = self.sources.get_disjoint_mut([index, first]).ok()?;
        let kin = copy.kin_of(original, true);
        release(copy, kin);
        if kin == Kin::Unrelated {
            self.register_released(first);
            return self.take_waiting(index);
        }
        let copy = self.sources.remove(first);
        for other in self.sources.iter_mut().filter(|source| is_waiting(source)) {
            other.waits_for = Some(copy.key);
        }
        Some(copy)
    }

    /// Looks for a copy of the file at `index`.
    async fn find_copy(&mut self, index: usize) -> Option<Source> {
        let known = self.known();
        let source = self.sources.get_mut(index)?;
        let (path, copy) = source.copy(known).await?;
        Some(self.source(copy, &path))
    }
}

/// What was decided about a copy that waits.
fn release(copy: &mut Source, kin: Kin) {
    let position = match kin {
        Kin::Waits => return,
        Kin::Unrelated => 0,
        Kin::GoesOnAt(position) => position,
    };
    if let Err(error) = copy.release(position) {
        warn!(path = %copy.path.display(), %error, "a followed file cannot be read");
    }
}
