//! Batches on the disk, in order, until the router has them: they survive the shipper's end, however
//! it comes, and an outage of the router. The next shipper sends them first, with the frame ids that
//! they have, so that one which the router had already is not delivered twice.
//!
//! Every batch is a file before it is sent. What is written is safe from the death of the process at
//! once. From the death of the machine it is safe when it lasts: files are synced (`fdatasync`, and
//! the folder) as soon as a try has failed, from then on as they are written, and at the end; not
//! while the router takes them as they come, when a file lives for some milliseconds.
//!
//! When the files are more than allowed, the oldest go, counted and told as lost; unless whoever
//! writes lines is to wait, then the collector does.

mod file;
mod folder;

use std::collections::VecDeque;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use tracing::warn;

use crate::clock;
use crate::sources::ship::batch::Batch;
use crate::sources::ship::book::{Book, Losses};
use crate::sources::ship::places;
use crate::sources::ship::places::Places;
use crate::sources::ship::reader::WhenFull;
use crate::sources::ship::spool::folder::Folder;

#[cfg(any(test, fuzzing))]
pub use file::fuzz_spool_file;
pub use folder::{SpoolError, make_spool};

/// Where batches wait on the disk, and how many.
#[derive(Clone, Debug)]
pub struct SpoolSettings {
    /// The folder.
    pub path: PathBuf,
    /// Bytes of all files together, but for what is queued at the end.
    pub bytes_max: u64,
    /// What happens when they are more.
    pub when_full: WhenFull,
    /// Whether what was left there by who sent under another name is sent under this one.
    pub is_adopted: bool,
}

/// The batches on the disk.
pub(crate) struct Spool {
    folder: Arc<Folder>,
    settings: SpoolSettings,
    state: Mutex<State>,
    filled: Notify,
    emptied: Notify,
    book: Arc<Book>,
    places: Option<Arc<Places>>,
}

#[derive(Default)]
struct State {
    entries: VecDeque<Entry>,
    bytes: u64,
    number_next: u64,
    /// Whether the first entry is being sent.
    is_taken: bool,
    /// Whether files are synced as they are written.
    is_synced: bool,
    is_closed: bool,
    /// Whether there is no time left to wait for room.
    is_leaving: bool,
    /// Whether it was said that files cannot be written, since one was for the last time.
    is_trouble_told: bool,
}

/// One batch.
struct Entry {
    number: u64,
    bytes: u64,
    lines: u64,
    told: Losses,
    /// Kept where reading it again would be waste, or where it could not be written.
    batch: Option<Batch>,
    is_on_disk: bool,
}

impl Spool {
    /// Opens the folder and finds what an earlier shipper left. Blocks.
    pub(crate) fn open(
        settings: SpoolSettings,
        sender: u32,
        book: Arc<Book>,
        places: Option<Arc<Places>>,
    ) -> Result<Self, SpoolError> {
        let folder = Folder::open(&settings.path)?;
        let is_foreign = folder.sender().is_some_and(|known| known != sender);
        let mut foreign_lines = 0;
        let fault = |error| SpoolError::Folder {
            path: settings.path.clone(),
            error,
        };
        let mut state = State::default();
        for number in folder.numbers().map_err(fault)? {
            state.number_next = number + 1;
            let bytes = folder.read(number).map_err(fault)?;
            match file::read(&bytes) {
                Ok(batch) => {
                    if let Some(places) = &places {
                        places.advance(&batch.marks);
                    }
                    // Others have their token with them.
                    foreign_lines += if batch.token.is_none() {
                        batch.lines
                    } else {
                        0
                    };
                    state.push(Entry {
                        number,
                        bytes: disk_bytes(folder.bytes(number).map_err(fault)?),
                        lines: batch.lines,
                        told: batch.told,
                        batch: None,
                        is_on_disk: true,
                    });
                }
                Err(torn) => {
                    tell_torn(number, torn.lines);
                    book.lose(torn.lines.unwrap_or(0), Losses::default(), clock::wall());
                    folder.remove(number).map_err(fault)?;
                }
            }
        }
        if is_foreign && 0 < foreign_lines && !settings.is_adopted {
            return Err(SpoolError::Foreign {
                path: settings.path,
                lines: foreign_lines,
            });
        }
        if folder.sender() != Some(sender)
            && let Err(error) = folder.set_sender(sender)
        {
            // A disk that is full gets room by what is sent.
            warn!(%error, "whose lines the spool holds cannot be kept");
        }
        Ok(Self {
            folder: Arc::new(folder),
            settings,
            state: Mutex::new(state),
            filled: Notify::new(),
            emptied: Notify::new(),
            book,
            places,
        })
    }

    /// Waits while a batch that could not be written is in memory, and for room on the disk if that
    /// is what the settings say. For one waiter. Cancel safe.
    pub(crate) async fn room(&self) {
        while !self.has_room() {
            self.emptied.notified().await;
        }
    }

    fn has_room(&self) -> bool {
        let state = self.lock();
        if state.is_leaving {
            return true;
        }
        let is_written = state.entries.iter().all(|entry| entry.is_on_disk);
        let has_bytes = match self.settings.when_full {
            WhenFull::Drop => true,
            WhenFull::Block => state.bytes < self.settings.bytes_max,
        };
        is_written && has_bytes
    }

    /// Writes `batch`; where that fails, keeps it in memory.
    pub(crate) async fn put(&self, batch: Batch) {
        let (number, is_synced) = {
            let mut state = self.lock();
            let number = state.number_next;
            state.number_next += 1;
            (number, state.is_synced)
        };
        let bytes = file::write(&batch);
        let bytes_count = disk_bytes(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
        self.make_room(bytes_count).await;
        let written = self
            .on_disk(move |folder| folder.write(number, &bytes, is_synced))
            .await;
        if let Err(error) = &written
            && !self.was_trouble_told(true)
        {
            warn!(%error, "a batch cannot be spooled, it is in memory only");
        }
        if written.is_ok() {
            self.was_trouble_told(false);
        }
        let is_on_disk = written.is_ok();
        if let (true, Some(places)) = (is_on_disk, &self.places) {
            // They are saved when the file goes; until then it is the file that knows them.
            places.advance(&batch.marks);
        }
        {
            let mut state = self.lock();
            let is_next = state.entries.is_empty();
            state.push(Entry {
                number,
                bytes: bytes_count,
                lines: batch.lines,
                told: batch.told,
                batch: (is_next || !is_on_disk).then_some(batch),
                is_on_disk,
            });
        }
        self.filled.notify_one();
    }

    /// Lets the oldest go until `bytes` more fit; the one on its way stays.
    async fn make_room(&self, bytes: u64) {
        if self.settings.when_full == WhenFull::Block {
            return;
        }
        let mut gone = Vec::new();
        {
            let mut state = self.lock();
            let first = usize::from(state.is_taken);
            while self.settings.bytes_max < state.bytes.saturating_add(bytes)
                && let Some(entry) = state.entries.remove(first)
            {
                state.bytes -= entry.bytes;
                gone.push(entry);
            }
        }
        for Entry {
            number,
            lines,
            told,
            ..
        } in gone
        {
            self.book.lose(lines, told, clock::wall());
            warn!(lost = lines, "the spool is full, its oldest batch is lost");
            self.remove(number).await;
        }
    }

    /// Lines of the batches that there are.
    pub(crate) fn lines(&self) -> u64 {
        self.lock().entries.iter().map(|entry| entry.lines).sum()
    }

    /// No batch follows.
    pub(crate) fn close(&self) {
        self.lock().is_closed = true;
        self.filled.notify_one();
    }

    /// Waits until there is a batch; false when there is none and none follows. For one waiter.
    /// Cancel safe.
    pub(crate) async fn ready(&self) -> bool {
        loop {
            match self.look() {
                (true, _) => return true,
                (false, true) => return false,
                (false, false) => self.filled.notified().await,
            }
        }
    }

    /// Whether there is a batch, and whether none follows.
    fn look(&self) -> (bool, bool) {
        let state = self.lock();
        (!state.entries.is_empty(), state.is_closed)
    }

    /// The oldest batch, which stays until it is settled.
    pub(crate) async fn take(&self) -> Option<Batch> {
        loop {
            let number = {
                let mut state = self.lock();
                let entry = state.entries.front_mut()?;
                let (number, batch) = (entry.number, entry.batch.clone());
                state.is_taken = true;
                if batch.is_some() {
                    return batch;
                }
                number
            };
            let read = self.on_disk(move |folder| folder.read(number)).await;
            let lines = match read.as_ref().map(file::read) {
                Ok(Ok(batch)) => return Some(batch),
                Ok(Err(torn)) => torn.lines,
                Err(_) => None,
            };
            tell_torn(number, lines);
            let entry = self.remove_first();
            if let Some(Entry { lines, told, .. }) = entry {
                self.book.lose(lines, told, clock::wall());
            }
            self.remove(number).await;
        }
    }

    /// `batch`, which was taken, is done with. How far it brings files is written before its own file
    /// goes: killed in between, the next shipper finds one or the other.
    pub(crate) async fn settle(&self, batch: &Batch) {
        let Some(entry) = self.remove_first() else {
            return;
        };
        if let Some(places) = self.places.clone()
            && !batch.marks.is_empty()
        {
            if !entry.is_on_disk {
                places.advance(&batch.marks);
            }
            places::on_disk(move || places.save()).await;
        }
        if entry.is_on_disk {
            self.remove(entry.number).await;
        }
    }

    /// What waits will wait for a while: it is to survive the machine's end, too.
    pub(crate) async fn persist(&self) {
        let numbers: Vec<u64> = {
            let mut state = self.lock();
            if std::mem::replace(&mut state.is_synced, true) {
                return;
            }
            state.entries.iter().map(|entry| entry.number).collect()
        };
        if numbers.is_empty() {
            return;
        }
        if let Err(error) = self.on_disk(move |folder| folder.sync(&numbers)).await {
            warn!(%error, "spooled batches may not survive the machine's end");
        }
    }

    /// Files live for moments again.
    pub(crate) fn relax(&self) {
        self.lock().is_synced = false;
    }

    /// From now on every batch finds room: what they come from has a bound, and ends.
    pub(crate) fn open_up(&self) {
        self.lock().is_leaving = true;
        self.emptied.notify_one();
    }

    /// Waits until no batch follows. For the one waiter.
    pub(crate) async fn give_up(&self) {
        self.open_up();
        while !self.lock().is_closed {
            self.filled.notified().await;
        }
    }

    /// Leaves what there is to the next shipper, and behind it `last`.
    pub(crate) async fn leave(&self, last: Option<Batch>) {
        if let Some(last) = last {
            self.put(last).await;
        }
        self.lock().is_synced = false;
        self.persist().await;
        let left = std::mem::take(&mut self.lock().entries);
        for entry in left {
            match entry.is_on_disk {
                true => self.book.spool(entry.lines),
                false => self.book.lose(entry.lines, entry.told, clock::wall()),
            }
        }
    }

    /// One line for a trouble, however long it lasts.
    fn was_trouble_told(&self, is_told: bool) -> bool {
        std::mem::replace(&mut self.lock().is_trouble_told, is_told)
    }

    fn remove_first(&self) -> Option<Entry> {
        let mut state = self.lock();
        state.is_taken = false;
        let entry = state.entries.pop_front()?;
        state.bytes -= entry.bytes;
        drop(state);
        self.emptied.notify_one();
        Some(entry)
    }

    async fn remove(&self, number: u64) {
        if let Err(error) = self.on_disk(move |folder| folder.remove(number)).await {
            warn!(%error, number, "a spooled batch cannot be removed, it will be sent again");
        }
    }

    /// Does `work` on a thread that may block.
    async fn on_disk<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Folder) -> io::Result<T> + Send + 'static,
    ) -> io::Result<T> {
        let folder = Arc::clone(&self.folder);
        tokio::task::spawn_blocking(move || work(&folder))
            .await
            .map_err(io::Error::other)?
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn push(&mut self, entry: Entry) {
        self.bytes = self.bytes.saturating_add(entry.bytes);
        self.entries.push_back(entry);
    }
}

/// What a file of `bytes` takes of the disk: whole blocks, and some of its name and its inode.
fn disk_bytes(bytes: u64) -> u64 {
    let blocks = bytes.div_ceil(BLOCK_BYTES) + 1;
    blocks.saturating_mul(BLOCK_BYTES)
}

/// A block of most file systems.
const BLOCK_BYTES: u64 = 4 * 1024;

fn tell_torn(number: u64, lines: Option<u64>) {
    match lines {
        Some(lost) => warn!(
            number,
            lost, "a spooled batch was not written whole, it is lost"
        ),
        None => warn!(
            number,
            "a spooled file was not written whole, nobody knows how many lines it held"
        ),
    }
}
