//! The folder of a spool: its lock and its files, one for each batch.
//!
//! Everything here blocks: it is called on threads that may.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use bytes::Bytes;

/// Why a spool cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SpoolError {
    /// The folder cannot be made or read.
    #[error("cannot use the spool folder {}: {error}", path.display())]
    Folder {
        /// The folder, or a file in it.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// What it holds was to be sent under another name.
    #[error(
        "the spool {} holds {lines} lines for another router or token; --adopt-spool sends them with \
         this one",
        path.display()
    )]
    Foreign {
        /// The folder.
        path: PathBuf,
        /// How many.
        lines: u64,
    },
    /// Another shipper has it.
    #[error(
        "another shipper uses the spool folder {}; give each shipper a folder of its own",
        path.display()
    )]
    Taken {
        /// The folder.
        path: PathBuf,
    },
}

/// Makes the folder, if it is not there. What it holds is for its owner's eyes: messages and tokens.
/// Blocks.
///
/// # Errors
/// `SpoolError`: it cannot be made.
pub fn make_spool(path: &Path) -> Result<(), SpoolError> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(|error| SpoolError::Folder {
            path: path.to_owned(),
            error,
        })
}

/// A folder that this process alone uses.
pub(crate) struct Folder {
    path: PathBuf,
    /// Holds the lock; the system frees it when the process ends, however it ends.
    _lock: File,
}

impl Folder {
    /// Makes the folder, if it is not there, and locks it.
    pub(crate) fn open(path: &Path) -> Result<Self, SpoolError> {
        let fault = |error| SpoolError::Folder {
            path: path.to_owned(),
            error,
        };
        make_spool(path)?;
        let lock = private_file().open(path.join("lock")).map_err(fault)?;
        match lock.try_lock() {
            Ok(()) => Ok(Self {
                path: path.to_owned(),
                _lock: lock,
            }),
            Err(TryLockError::WouldBlock) => Err(SpoolError::Taken {
                path: path.to_owned(),
            }),
            Err(TryLockError::Error(error)) => Err(fault(error)),
        }
    }

    /// Whose batches it holds; `None`: nobody has said.
    pub(crate) fn sender(&self) -> Option<u32> {
        let text = fs::read_to_string(self.path.join("sender")).ok()?;
        u32::from_str_radix(text.trim(), 16).ok()
    }

    /// From now on it holds those of `sender`.
    pub(crate) fn set_sender(&self, sender: u32) -> io::Result<()> {
        let mut file = private_file().open(self.path.join("sender"))?;
        file.write_all(format!("{sender:08x}\n").as_bytes())
    }

    /// The numbers of the batches in it, ascending. What was being written when a shipper was
    /// killed is removed.
    pub(crate) fn numbers(&self) -> io::Result<Vec<u64>> {
        let mut numbers = Vec::new();
        for entry in fs::read_dir(&self.path)? {
            let name = entry?.file_name();
            let Some((stem, kind)) = name.to_str().and_then(|name| name.rsplit_once('.')) else {
                continue;
            };
            match (stem.parse(), kind) {
                (Ok(number), "batch") => numbers.push(number),
                (Ok(_), "new") => fs::remove_file(self.path.join(&name))?,
                _ => {}
            }
        }
        numbers.sort_unstable();
        Ok(numbers)
    }

    /// Writes a batch so that it is there as a whole or not at all; with `is_synced` even when the
    /// machine stops right after.
    pub(crate) fn write(&self, number: u64, bytes: &[u8], is_synced: bool) -> io::Result<()> {
        let new = self.path.join(format!("{number:020}.new"));
        let mut file = private_file().open(&new)?;
        let written = file.write_all(bytes).and_then(|()| match is_synced {
            true => file.sync_data(),
            false => Ok(()),
        });
        if let Err(error) = written {
            // A disk that is full gets its room back.
            if fs::remove_file(&new).is_err() { /* the next start removes it */ }
            return Err(error);
        }
        fs::rename(&new, self.batch(number))?;
        if is_synced {
            self.sync_names()?;
        }
        Ok(())
    }

    /// What a batch's file holds.
    pub(crate) fn read(&self, number: u64) -> io::Result<Bytes> {
        fs::read(self.batch(number)).map(Bytes::from)
    }

    /// Bytes of a batch's file.
    pub(crate) fn bytes(&self, number: u64) -> io::Result<u64> {
        Ok(fs::metadata(self.batch(number))?.len())
    }

    /// Removes a batch.
    pub(crate) fn remove(&self, number: u64) -> io::Result<()> {
        fs::remove_file(self.batch(number))
    }

    /// Brings batches that were written without it to the disk.
    pub(crate) fn sync(&self, numbers: &[u64]) -> io::Result<()> {
        for &number in numbers {
            match File::open(self.batch(number)) {
                Ok(file) => file.sync_data()?,
                // It was let go meanwhile.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        self.sync_names()
    }

    /// The names of the files are kept by the folder.
    fn sync_names(&self) -> io::Result<()> {
        File::open(&self.path)?.sync_all()
    }

    fn batch(&self, number: u64) -> PathBuf {
        self.path.join(format!("{number:020}.batch"))
    }
}

fn private_file() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600);
    options
}
