//! Whether a file is a copy that a rotation made of another, and what of it is still to be read. Pure.
//!
//! Such a rotation (`copytruncate`) copies a file and empties it then. Who looks in between sees two
//! files with the same lines, and who looks after it finds what it had not read in the copy only.

use std::path::Path;

/// A file that was there first.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Original {
    /// Bytes that were read of it.
    pub(crate) read: u64,
    /// Bytes that it has; `None`: it was emptied, or is followed no more.
    pub(crate) bytes: Option<u64>,
}

/// What a file is to another.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Kin {
    /// A file of its own: it is read from its start.
    Unrelated,
    /// A copy; all that it has is read in the original, as long as that is there.
    Waits,
    /// A copy; what the original does not have stands behind this place.
    GoesOnAt(u64),
}

/// What a file of `bytes` is to `original`, when both hold the same as far as the one was read and
/// the other goes, or do not.
pub(crate) fn kin(original: Original, bytes: u64, is_equal: bool) -> Kin {
    match original.bytes {
        _ if !is_equal => Kin::Unrelated,
        None => Kin::GoesOnAt(original.read.min(bytes)),
        // Emptied just now: the next read of it says so.
        Some(left) if left < original.read => Kin::Waits,
        // It grows by itself.
        Some(left) if left < bytes => Kin::GoesOnAt(original.read),
        Some(_) => Kin::Waits,
    }
}

/// Whether `path` is what rotations call a copy of `original`: beside it, with its name and `.1`,
/// `-20261125`, `.old` or the like behind it.
pub(crate) fn is_rotated_name(original: &Path, path: &Path) -> bool {
    let name = |path: &Path| {
        path.file_name()
            .map(|name| name.to_string_lossy().into_owned())
    };
    let (Some(first), Some(second)) = (name(original), name(path)) else {
        return false;
    };
    let Some(more) = second.strip_prefix(&first) else {
        return false;
    };
    let is_set_off = more.starts_with(['.', '-', '_', '~']);
    let is_number = more.contains(|c: char| c.is_ascii_digit());
    let is_word = [".old", ".bak", ".prev", ".save", "~"].contains(&more);
    original.parent() == path.parent() && is_set_off && (is_number || is_word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_is_told_from_another_file() {
        for (read, left, bytes, is_equal, expected) in [
            // The same lines, and both are there.
            (100, Some(100), 100, true, Kin::Waits),
            (100, Some(130), 100, true, Kin::Waits),
            (100, Some(130), 120, true, Kin::Waits),
            // The copy is being written, or nothing was read yet.
            (100, Some(100), 0, true, Kin::Waits),
            (0, Some(100), 100, true, Kin::Waits),
            (0, Some(0), 0, true, Kin::Waits),
            // Emptied, but not known as that.
            (100, Some(0), 120, true, Kin::Waits),
            // Emptied: what was read is not read again, the rest is.
            (100, None, 120, true, Kin::GoesOnAt(100)),
            (100, None, 100, true, Kin::GoesOnAt(100)),
            (100, None, 80, true, Kin::GoesOnAt(80)),
            // It only began as the other.
            (100, Some(100), 101, true, Kin::GoesOnAt(100)),
            (0, Some(0), 9, true, Kin::GoesOnAt(0)),
            (100, Some(100), 120, false, Kin::Unrelated),
            (100, None, 120, false, Kin::Unrelated),
        ] {
            let original = Original { read, bytes: left };
            let found = kin(original, bytes, is_equal);
            assert_eq!(found, expected, "{original:?}, {bytes}, {is_equal}");
        }
    }

    #[test]
    fn rotations_put_something_behind_a_name() {
        for (original, path, expected) in [
            ("d/a.log", "d/a.log.1", true),
            ("d/a.log", "d/a.log-20261125", true),
            ("d/a.log", "d/a.log.2026-11-25.bak", true),
            ("syslog", "syslog.1", true),
            ("a.log", "a.log.old", true),
            ("a.log", "a.log~", true),
            ("worker.1.log", "worker.2.log", false),
            ("web.1.log", "web.11.log", false),
            ("a.log", "a.log", false),
            ("a.log.1", "a.log", false),
            ("a.log", "a.log.err", false),
            ("a", "a1", false),
            ("d/a.log", "e/a.log.1", false),
        ] {
            let found = is_rotated_name(Path::new(original), Path::new(path));
            assert_eq!(found, expected, "{original}, {path}");
        }
    }
}
