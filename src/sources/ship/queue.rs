//! Lines between those who produce them and the collector: bounded in lines and in bytes.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::timeout_at;

use crate::clock;
use crate::limits::{SHIP_BATCH_BYTES_MAX, SHIP_QUEUE_BYTES_MAX};
use crate::sources::ship::book::Book;
use crate::sources::ship::line::{Item, Line};

/// Where producers put lines; cheap to clone.
#[derive(Clone)]
pub struct Intake {
    queue: Arc<Queue>,
    book: Arc<Book>,
}

impl Intake {
    pub(crate) fn new(queue: Arc<Queue>, book: Arc<Book>) -> Self {
        Self { queue, book }
    }

    /// Never waits: a full queue drops the line and counts it (told as L12). A line of more than
    /// `SHIP_ITEM_BYTES_MAX` is several.
    pub fn offer(&self, line: Line) {
        for line in line.pieces() {
            self.offer_item(Item::of(line));
        }
    }

    /// Waits for room. Dropped before its end, it has dropped the line, and counted it.
    pub async fn push(&self, line: Line) {
        for line in line.pieces() {
            self.push_item(Item::of(line)).await;
        }
    }

    /// Counts lines that could not be read: they are told like those of a full queue.
    pub fn count_dropped(&self, lines: u64) {
        self.book.drop_lines(lines, clock::wall());
    }

    /// Where losses are counted.
    pub(crate) fn book(&self) -> &Book {
        &self.book
    }

    pub(crate) fn offer_item(&self, item: Item) {
        if self.queue.put(&mut Some(item)) != Put::Done {
            self.count_dropped(1);
        }
    }

    pub(crate) async fn push_item(&self, item: Item) {
        let mut waiting = Waiting {
            item: Some(item),
            book: &self.book,
        };
        loop {
            let mut room = std::pin::pin!(self.queue.emptied.notified());
            // Before the look: what is taken after it wakes this one.
            room.as_mut().enable();
            match self.queue.put(&mut waiting.item) {
                Put::Done | Put::Closed => return,
                Put::Full => room.await,
            }
        }
    }
}

/// An item that waits for room.
struct Waiting<'a> {
    item: Option<Item>,
    book: &'a Book,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        // With a mark it is read again.
        if self.item.as_ref().is_some_and(|item| item.mark.is_none()) {
            self.book.drop_lines(1, clock::wall());
        }
    }
}

/// The queue.
pub(crate) struct Queue {
    state: Mutex<State>,
    /// There is a first item, a batch's worth, or the end.
    filled: Notify,
    /// There is room, or the end.
    emptied: Notify,
    lines_max: usize,
    batch_lines_max: usize,
}

#[derive(Default)]
struct State {
    items: VecDeque<Item>,
    bytes: usize,
    is_closed: bool,
}

/// What became of an item.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Put {
    Done,
    Full,
    Closed,
}

/// What the collector finds in it.
enum Look {
    Empty,
    Some,
    /// A batch's worth, or the rest.
    Ripe,
    /// Nothing, and nothing comes.
    Over,
}

impl Queue {
    /// An empty queue for `lines_max` lines.
    pub(crate) fn new(lines_max: usize, batch_lines_max: usize) -> Self {
        Self {
            state: Mutex::default(),
            filled: Notify::new(),
            emptied: Notify::new(),
            lines_max,
            batch_lines_max,
        }
    }

    /// Takes nothing any more; what is there may be taken out.
    pub(crate) fn close(&self) {
        self.lock().is_closed = true;
        self.filled.notify_one();
        self.emptied.notify_waiters();
    }

    /// How many items wait.
    pub(crate) fn len(&self) -> usize {
        self.lock().items.len()
    }

    /// Takes the item, if there is room.
    fn put(&self, item: &mut Option<Item>) -> Put {
        let bytes = item.as_ref().map_or(0, Item::bytes);
        let mut state = self.lock();
        if state.is_closed {
            return Put::Closed;
        }
        let is_full = self.lines_max <= state.items.len()
            || SHIP_QUEUE_BYTES_MAX.saturating_sub(state.bytes) < bytes;
        if is_full {
            return Put::Full;
        }
        state.items.extend(item.take());
        state.bytes += bytes;
        let is_new = state.items.len() == 1 || self.is_ripe(&state);
        drop(state);
        if is_new {
            self.filled.notify_one();
        }
        Put::Done
    }

    /// Waits until there is a batch's worth, or for `wait` after there is anything; false when
    /// nothing is left and nothing comes. For one waiter. Cancel safe.
    pub(crate) async fn ripe(&self, wait: Duration) -> bool {
        while let Look::Empty = self.look() {
            self.filled.notified().await;
        }
        let deadline = clock::now() + wait;
        loop {
            match self.look() {
                Look::Over => return false,
                Look::Ripe => return true,
                Look::Some | Look::Empty => {}
            }
            if timeout_at(deadline, self.filled.notified()).await.is_err() {
                return true;
            }
        }
    }

    /// Takes what makes one batch: of one token, and no more than it may hold.
    pub(crate) fn take(&self) -> Vec<Item> {
        let mut state = self.lock();
        let mut taken: Vec<Item> = Vec::new();
        let mut bytes = 0;
        while let Some(item) = state.items.front() {
            let is_other = taken
                .first()
                .is_some_and(|first| !is_same(first, item) || SHIP_BATCH_BYTES_MAX <= bytes);
            if is_other || self.batch_lines_max <= taken.len() {
                break;
            }
            bytes += item.bytes();
            taken.extend(state.items.pop_front());
        }
        state.bytes -= bytes;
        drop(state);
        self.emptied.notify_waiters();
        taken
    }

    fn look(&self) -> Look {
        let state = self.lock();
        match (state.items.is_empty(), state.is_closed) {
            (true, true) => Look::Over,
            (true, false) => Look::Empty,
            (false, true) => Look::Ripe,
            (false, false) if self.is_ripe(&state) => Look::Ripe,
            (false, false) => Look::Some,
        }
    }

    fn is_ripe(&self, state: &State) -> bool {
        self.batch_lines_max <= state.items.len() || SHIP_BATCH_BYTES_MAX <= state.bytes
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether both are sent under one name.
fn is_same(first: &Item, second: &Item) -> bool {
    match (first.token(), second.token()) {
        (None, None) => true,
        (Some(first), Some(second)) => first == second,
        _ => false,
    }
}
