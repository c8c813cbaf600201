//! The store's file: opened by one process, written by one transaction at a time.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use redb::{Builder, Database, ReadableDatabase};

use crate::limits::STORE_CACHE_BYTES;
use crate::registry::{Change, Entries};
use crate::store::error::StoreError;
use crate::store::tables::{
    CHANNELS, CREDENTIALS, DRAINS, META, REVISION, RowError, SCHEMA, TOKENS, number, read, write,
};

/// The open store.
pub struct Store {
    file: PathBuf,
    /// `None` after a write failed: what the file holds is then to be read anew.
    database: Option<Database>,
    /// How many commits the file holds, as far as is known.
    revision: u64,
    /// The next commit fails, and this becomes of it.
    #[cfg(test)]
    pub(crate) fault: Option<Landing>,
}

/// What became of the last failed commit.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Landing {
    /// The file holds it after all.
    Landed,
    /// The file is as it was before.
    Lost,
}

impl Store {
    /// Opens the store in the directory `dir`; makes both when missing (modes 0700 and 0600).
    ///
    /// # Errors
    /// `StoreError` when it is in use, damaged, of a later version or cannot be made.
    pub fn open(dir: &Path) -> Result<Self, StoreError> {
        let file = dir.join(FILE_NAME);
        let is_new = !file.exists();
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(dir)
            .map_err(|error| StoreError::from_io(dir, error))?;
        let database = open_database(&file)?;
        prepare(&database).map_err(|error| name(&file, error))?;
        if is_new {
            // Else a crash of the machine could take the file's name away, with all it holds.
            File::open(dir)
                .and_then(|dir| dir.sync_all())
                .map_err(|error| StoreError::from_io(dir, error))?;
        }
        let revision = check_schema(&file, &database)?;
        Ok(Self {
            file,
            database: Some(database),
            revision,
            #[cfg(test)]
            fault: None,
        })
    }

    /// Reads all entries.
    ///
    /// # Errors
    /// `StoreError` when the file or an entry in it cannot be read.
    pub fn load(&self) -> Result<Entries, StoreError> {
        let database = self.database.as_ref().ok_or_else(|| self.closed())?;
        database
            .begin_read()
            .map_err(RowError::from)
            .and_then(|transaction| read(&transaction))
            .map_err(|error| name(&self.file, error))
    }

    /// Writes `changes` as one transaction; they are durable when this returns.
    ///
    /// # Errors
    /// `StoreError`. Whether the changes are in the file is then unknown, and every further commit
    /// fails, until `reopen` has found out.
    pub fn commit(&mut self, changes: &[Change]) -> Result<(), StoreError> {
        #[cfg(test)]
        if let Some(landing) = self.fault.take() {
            if landing == Landing::Landed {
                let database = self.database.as_ref().expect("open");
                drop(commit_to(database, changes, self.revision + 1));
            }
            self.database = None;
            return Err(self.closed());
        }
        let database = self.database.as_ref().ok_or_else(|| self.closed())?;
        match commit_to(database, changes, self.revision + 1) {
            Ok(()) => {
                self.revision += 1;
                Ok(())
            }
            Err(error) => {
                self.database = None;
                Err(name(&self.file, error))
            }
        }
    }

    /// Whether a commit failed and `reopen` is due.
    #[must_use]
    pub const fn is_closed(&self) -> bool {
        self.database.is_none()
    }

    /// Opens the file again after a failed commit and tells whether that commit is in it.
    ///
    /// # Errors
    /// `StoreError` when the file still cannot be used; may be tried again.
    pub fn reopen(&mut self) -> Result<Landing, StoreError> {
        let database = open_database(&self.file)?;
        let revision = check_schema(&self.file, &database)?;
        let landing = if revision == self.revision {
            Landing::Lost
        } else {
            Landing::Landed
        };
        self.database = Some(database);
        self.revision = revision;
        Ok(landing)
    }

    /// The store's file, for messages.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.file
    }

    fn closed(&self) -> StoreError {
        StoreError::from_io(
            &self.file,
            io::Error::other("closed after an earlier write failed"),
        )
    }
}

fn open_database(file: &Path) -> Result<Database, StoreError> {
    let opened = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(file)
        .map_err(|error| StoreError::from_io(file, error))?;
    Builder::new()
        .set_cache_size(STORE_CACHE_BYTES)
        .create_file(opened)
        .map_err(|error| StoreError::from_redb(file, error))
}

/// Makes what is missing in a new file: the tables and the schema version.
fn prepare(database: &Database) -> Result<(), RowError> {
    let transaction = database.begin_read()?;
    let is_ready = transaction.list_tables()?.next().is_some();
    drop(transaction);
    if is_ready {
        return Ok(());
    }
    let transaction = database.begin_write()?;
    transaction.open_table(CHANNELS)?;
    transaction.open_table(TOKENS)?;
    transaction.open_table(DRAINS)?;
    transaction.open_table(CREDENTIALS)?;
    transaction
        .open_table(META)?
        .insert(SCHEMA, SCHEMA_VERSION)?;
    transaction.commit()?;
    Ok(())
}

/// Refuses a store of a later version; says how many commits it holds.
fn check_schema(file: &Path, database: &Database) -> Result<u64, StoreError> {
    let numbers = || {
        let meta = database.begin_read()?.open_table(META)?;
        Ok::<_, RowError>((number(&meta, SCHEMA)?, number(&meta, REVISION)?))
    };
    let (found, revision) = numbers().map_err(|error| name(file, error))?;
    if found == 0 || SCHEMA_VERSION < found {
        return Err(StoreError::Schema {
            file: file.to_owned(),
            found,
            supported: SCHEMA_VERSION,
        });
    }
    Ok(revision)
}

fn commit_to(database: &Database, changes: &[Change], revision: u64) -> Result<(), RowError> {
    let transaction = database.begin_write()?;
    for change in changes {
        write(&transaction, change)?;
    }
    transaction.open_table(META)?.insert(REVISION, revision)?;
    transaction.commit()?;
    Ok(())
}

fn name(file: &Path, error: RowError) -> StoreError {
    match error {
        RowError::Redb(error) => StoreError::from_redb(file, error),
        RowError::Entry(table, source) => StoreError::Entry {
            file: file.to_owned(),
            table,
            source,
        },
        RowError::Orphan(table, channel) => StoreError::Orphan {
            file: file.to_owned(),
            table,
            channel,
        },
    }
}

const FILE_NAME: &str = "logboom.redb";

/// Raised when this version's entries cannot be read by the one before.
const SCHEMA_VERSION: u64 = 1;

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::clock::UnixMicros;
    use crate::id::{ChannelId, Source, Token};
    use crate::registry::{ChannelEntry, TokenEntry};

    fn put(id: &str, tokens: &[&str]) -> Change {
        let channel = ChannelId::new(id).unwrap();
        let token = |(index, text): (u64, &&str)| TokenEntry {
            token: Token::new(text).unwrap(),
            source: Source::new("app").unwrap(),
            channel: channel.clone(),
            created: UnixMicros::new(index),
        };
        Change::PutChannel {
            channel: ChannelEntry::new(channel.clone(), UnixMicros::new(1)),
            number: None,
            tokens: (0..).zip(tokens).map(token).collect(),
            tokens_removed: Vec::new(),
        }
    }

    fn tokens_of(entries: &Entries, id: &str) -> Vec<String> {
        let id = ChannelId::new(id).unwrap();
        let text = |entry: TokenEntry| entry.token.expose().to_owned();
        entries.tokens_of(&id).map(text).collect()
    }

    #[test]
    fn what_was_committed_is_loaded_in_its_order() {
        let dir = tempfile::tempdir().unwrap();
        let inner = dir.path().join("a/b");
        let mut store = Store::open(&inner).unwrap();
        store
            .commit(&[put("a", &["t.2", "t.3", "t.1"]), put("b", &[])])
            .unwrap();
        drop(store);
        let store = Store::open(&inner).unwrap();
        let entries = store.load().unwrap();
        assert_eq!(entries.counts().channels, 2);
        assert_eq!(tokens_of(&entries, "a"), ["t.2", "t.3", "t.1"]);
        let mode = std::fs::metadata(store.path())
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn a_store_in_use_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let _store = Store::open(dir.path()).unwrap();
        let error = Store::open(dir.path()).err().unwrap();
        assert!(matches!(error, StoreError::InUse { .. }), "{error}");
        assert!(error.to_string().contains("logboom.redb"), "{error}");
    }

    #[test]
    fn what_is_no_store_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(
            dir.path().join(FILE_NAME),
            "not a store at all ".repeat(1000),
        )
        .unwrap();
        let error = Store::open(dir.path()).err().unwrap();
        assert!(matches!(error, StoreError::Corrupt { .. }), "{error}");
        let error = Store::open(&dir.path().join(FILE_NAME)).err().unwrap();
        assert!(matches!(error, StoreError::Io { .. }), "{error}");
    }

    #[test]
    fn a_later_schema_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let mut store = Store::open(dir.path()).unwrap();
        let database = store.database.take().unwrap();
        let transaction = database.begin_write().unwrap();
        transaction
            .open_table(META)
            .unwrap()
            .insert(SCHEMA, 2)
            .unwrap();
        transaction.commit().unwrap();
        drop(database);
        let error = Store::open(dir.path()).err().unwrap();
        assert!(
            matches!(error, StoreError::Schema { found: 2, .. }),
            "{error}"
        );
    }

    #[test]
    fn after_a_failed_commit_the_file_tells_whether_it_landed() {
        let dir = tempfile::tempdir().unwrap();
        let mut store = Store::open(dir.path()).unwrap();
        store.commit(&[put("a", &[])]).unwrap();
        store.database = None;
        assert!(store.is_closed());
        assert!(store.commit(&[put("b", &[])]).is_err());
        assert_eq!(store.reopen().unwrap(), Landing::Lost);
        store.commit(&[put("c", &[])]).unwrap();
        // As if the answer to the last commit had been an error.
        store.revision -= 1;
        store.database = None;
        assert_eq!(store.reopen().unwrap(), Landing::Landed);
        store.commit(&[put("d", &[])]).unwrap();
        assert_eq!(store.load().unwrap().counts().channels, 3);
    }

    #[test]
    fn an_entry_that_cannot_be_read_is_named_by_its_table() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let transaction = store.database.as_ref().unwrap().begin_write().unwrap();
        let json = br#"{"token":"t.1","source":"app","channel":"gone","created":1}"#;
        let mut tokens = transaction.open_table(TOKENS).unwrap();
        tokens.insert("t.1", json.as_slice()).unwrap();
        drop(tokens);
        transaction.commit().unwrap();
        let error = store.load().err().unwrap();
        assert!(
            matches!(
                error,
                StoreError::Orphan {
                    table: "tokens",
                    ..
                }
            ),
            "{error}"
        );
    }
}
