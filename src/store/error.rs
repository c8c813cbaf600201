//! What can go wrong with the store.

use std::io;
use std::path::{Path, PathBuf};

/// Why the store could not be opened, read or written.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Another process has the file open.
    #[error("{} is in use by another process; is a router running on this data directory?", file.display())]
    InUse {
        /// The store's file.
        file: PathBuf,
    },
    /// The file cannot be read as a store.
    #[error("{} is damaged or no store: {reason}", file.display())]
    Corrupt {
        /// The store's file.
        file: PathBuf,
        /// What was found.
        reason: String,
    },
    /// The store was written by a later version.
    #[error("{} has schema version {found}, this router reads up to {supported}; run a newer router", file.display())]
    Schema {
        /// The store's file.
        file: PathBuf,
        /// Its version.
        found: u64,
        /// The newest that can be read.
        supported: u64,
    },
    /// An entry cannot be read.
    #[error("{} holds an entry of table {table:?} that cannot be read: {source}", file.display())]
    Entry {
        /// The store's file.
        file: PathBuf,
        /// Where it stands.
        table: &'static str,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// An entry belongs to a channel that is not there.
    #[error("{} holds an entry of table {table:?} whose channel {channel:?} is missing", file.display())]
    Orphan {
        /// The store's file.
        file: PathBuf,
        /// Where it stands.
        table: &'static str,
        /// The channel it names.
        channel: String,
    },
    /// No room on the disk.
    #[error("the disk of {} is full", file.display())]
    DiskFull {
        /// The store's file.
        file: PathBuf,
    },
    /// Any other fault of the file system.
    #[error("{}: {source}", file.display())]
    Io {
        /// The store's file.
        file: PathBuf,
        /// The fault.
        source: io::Error,
    },
}

impl StoreError {
    /// The error for a fault of the file system.
    pub(crate) fn from_io(file: &Path, source: io::Error) -> Self {
        let file = file.to_owned();
        match source.kind() {
            io::ErrorKind::StorageFull
            | io::ErrorKind::QuotaExceeded
            | io::ErrorKind::FileTooLarge => Self::DiskFull { file },
            io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof => Self::Corrupt {
                file,
                reason: source.to_string(),
            },
            _ => Self::Io { file, source },
        }
    }

    /// The error for a fault that the database reports.
    pub(crate) fn from_redb(file: &Path, error: impl Into<redb::Error>) -> Self {
        match error.into() {
            redb::Error::DatabaseAlreadyOpen => Self::InUse {
                file: file.to_owned(),
            },
            redb::Error::Io(source) => Self::from_io(file, source),
            other => Self::Corrupt {
                file: file.to_owned(),
                reason: other.to_string(),
            },
        }
    }
}
