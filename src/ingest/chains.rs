//! Messages by channel, in three vectors: each channel's are a chain through them, so that a read
//! for a thousand channels makes no vectors for each.

use std::collections::HashMap;
use std::collections::hash_map::Entry::{Occupied, Vacant};
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::Arc;

use crate::channel::Channel;
use crate::id::Token;
use crate::limits::RECORD_OVERHEAD_BYTES_MAX;
use crate::route::Target;
use crate::route::limit::Demand;
use crate::syslog::message::Message;

/// A message with what belongs to it beside its fields.
#[derive(Clone, Copy)]
pub(in crate::ingest) struct Entry<'a> {
    /// Its token, if it has one, is in the APP-NAME and in no other field.
    message: Message<'a>,
    /// Its token's part; `NONE` when it is over a limit.
    pub(in crate::ingest) part: u32,
    /// Bytes of its frame.
    pub(in crate::ingest) bytes: u32,
    /// The next entry of the same run.
    pub(in crate::ingest) next: u32,
}

/// The messages of one token.
pub(crate) struct Part {
    /// Where they go.
    pub(crate) target: Arc<Target>,
    /// How much they are.
    pub(crate) demand: Demand,
    /// The next part of the same run.
    pub(in crate::ingest) next: u32,
}

/// The messages of one channel, in the order in which they came: chains in `Chains`.
#[derive(Clone, Copy)]
pub(in crate::ingest) struct Run {
    /// The channel's address. The parts keep the channel alive, so that no address is used again
    /// meanwhile.
    address: usize,
    pub(in crate::ingest) first_part: u32,
    pub(in crate::ingest) first_entry: u32,
    last_entry: u32,
}

/// Where the vectors of entries, parts and runs end a chain.
pub(in crate::ingest) const NONE: u32 = u32::MAX;

/// All runs in three vectors, however many there are.
#[derive(Default)]
pub(in crate::ingest) struct Chains<'a> {
    pub(in crate::ingest) entries: Vec<Entry<'a>>,
    pub(in crate::ingest) parts: Vec<Part>,
    pub(in crate::ingest) runs: Vec<Run>,
    /// Runs behind the first `SCANNED_RUNS`, by their channels' addresses.
    further: HashMap<usize, usize, BuildHasherDefault<AddressHasher>>,
}

impl<'a> Chains<'a> {
    fn entry(&self, index: u32) -> Option<&Entry<'a>> {
        self.entries.get(at(index))
    }

    pub(in crate::ingest) fn part(&self, index: u32) -> Option<&Part> {
        self.parts.get(at(index))
    }

    pub(in crate::ingest) fn channel(&self, run: &Run) -> Option<&Arc<Channel>> {
        Some(self.part(run.first_part)?.target.channel())
    }

    pub(in crate::ingest) fn parts_of(&self, run: &Run) -> impl Iterator<Item = (u32, &Part)> {
        let mut at = run.first_part;
        std::iter::from_fn(move || {
            let index = at;
            let part = self.part(index)?;
            at = part.next;
            Some((index, part))
        })
    }

    /// The messages of `run` as readers see them, without those over a limit.
    pub(in crate::ingest) fn messages(
        &self,
        run: &Run,
    ) -> impl Iterator<Item = Message<'_>> + Clone {
        self.messages_of(run, |_| true)
    }

    /// The same, of those targets only that `takes` names.
    #[inline]
    pub(in crate::ingest) fn messages_of(
        &self,
        run: &Run,
        takes: impl Fn(&Target) -> bool + Clone,
    ) -> impl Iterator<Item = Message<'_>> + Clone {
        let entries = Entries {
            chains: self,
            at: run.first_entry,
        };
        entries.filter_map(move |entry| {
            let part = self.part(entry.part)?;
            takes(&part.target).then(|| cooked(entry, &part.target))
        })
    }

    /// Bytes that the messages of `run` take in the channel's log.
    pub(in crate::ingest) fn bytes(&self, run: &Run) -> usize {
        let measured = self
            .messages(run)
            .map(|message| Channel::bytes_of(&message));
        measured.sum()
    }

    /// The same or more, without looking at the messages.
    pub(in crate::ingest) fn bytes_at_most(&self, run: &Run) -> usize {
        let demands = self.parts_of(run).map(|(_, part)| part.demand);
        let [bytes, messages] = demands.fold([0, 0], |[bytes, messages], demand| {
            [bytes + demand.bytes, messages + demand.messages]
        });
        let overhead = messages.saturating_mul(RECORD_OVERHEAD_BYTES_MAX as u64);
        usize::try_from(bytes.saturating_add(overhead)).unwrap_or(usize::MAX)
    }

    /// Adds an entry to the run and the part of these indices.
    #[inline(always)] // See `Gather::push`.
    pub(in crate::ingest) fn push(
        &mut self,
        run_index: usize,
        part_index: u32,
        message: Message<'a>,
        bytes: usize,
    ) {
        let Self {
            entries,
            parts,
            runs,
            ..
        } = self;
        let (Some(run), Some(part)) = (runs.get_mut(run_index), parts.get_mut(at(part_index)))
        else {
            return;
        };
        part.demand.messages += 1;
        part.demand.bytes += u64::try_from(bytes).unwrap_or(u64::MAX);
        let index = index_of_next(entries);
        match entries.get_mut(at(run.last_entry)) {
            Some(last) => last.next = index,
            None => run.first_entry = index,
        }
        run.last_entry = index;
        entries.push(Entry {
            message,
            part: part_index,
            bytes: u32::try_from(bytes).unwrap_or(u32::MAX),
            next: NONE,
        });
    }

    /// The run of `channel`, made if it is new. Most reads touch few channels, so a short scan beats
    /// a map; further runs stand in the map.
    pub(in crate::ingest) fn run_of(&mut self, channel: &Arc<Channel>) -> usize {
        let address = Arc::as_ptr(channel).addr();
        let Self { runs, further, .. } = self;
        let mut scanned = runs.iter().take(SCANNED_RUNS);
        if let Some(index) = scanned.position(|run| run.address == address) {
            return index;
        }
        let new_index = runs.len();
        if SCANNED_RUNS <= new_index {
            match further.entry(address) {
                Occupied(found) => return *found.get(),
                Vacant(free) => free.insert(new_index),
            };
        }
        runs.push(Run {
            address,
            first_part: NONE,
            first_entry: NONE,
            last_entry: NONE,
        });
        new_index
    }

    /// The part of `target` in the run of this index, made if it is new.
    pub(in crate::ingest) fn part_of(&mut self, run_index: usize, target: &Arc<Target>) -> u32 {
        let new_index = index_of_next(&self.parts);
        let Self { parts, runs, .. } = self;
        let Some(run) = runs.get_mut(run_index) else {
            return NONE;
        };
        let mut link = run.first_part;
        let mut last = None;
        while let Some(part) = parts.get(at(link)) {
            if Arc::ptr_eq(&part.target, target) {
                return link;
            }
            last = Some(link);
            link = part.next;
        }
        match last.and_then(|last| parts.get_mut(at(last))) {
            Some(last) => last.next = new_index,
            None => run.first_part = new_index,
        }
        parts.push(Part {
            target: Arc::clone(target),
            demand: Demand::default(),
            next: NONE,
        });
        new_index
    }

    pub(in crate::ingest) fn clear(&mut self) {
        self.entries.clear();
        self.parts.clear();
        self.runs.clear();
        if !self.further.is_empty() {
            self.further.clear();
        }
    }

    /// The same vectors, emptied, for messages that live elsewhere; those are let go that an
    /// unusual read has made great.
    pub(in crate::ingest) fn recycle<'b>(mut self) -> Chains<'b> {
        self.clear();
        if SPARE_ENTRIES_MAX < self.entries.capacity() {
            return Chains::default();
        }
        Chains {
            // Collecting an empty vector's iterator into its own type keeps the allocation.
            entries: self.entries.into_iter().map(without_entries).collect(),
            parts: self.parts,
            runs: self.runs,
            further: self.further,
        }
    }
}

/// Never called: the vector that is mapped with it is empty.
fn without_entries<'b>(_entry: Entry<'_>) -> Entry<'b> {
    unreachable!("the vector was cleared")
}

/// A chain of entries.
#[derive(Clone)]
struct Entries<'g, 'a> {
    chains: &'g Chains<'a>,
    at: u32,
}

impl<'g, 'a> Iterator for Entries<'g, 'a> {
    type Item = &'g Entry<'a>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        let entry = self.chains.entry(self.at)?;
        self.at = entry.next;
        Some(entry)
    }
}

/// An index of a vector; `NONE` is beyond any.
#[inline]
pub(in crate::ingest) fn at(index: u32) -> usize {
    usize::try_from(index).unwrap_or(usize::MAX)
}

/// The index that what is pushed next gets. A read never holds so much that it is none.
fn index_of_next<T>(vector: &[T]) -> u32 {
    u32::try_from(vector.len()).unwrap_or(NONE)
}

/// The entry's message as readers see it: a token in the APP-NAME gives way to its source.
#[inline]
fn cooked<'m>(entry: &'m Entry<'_>, target: &'m Target) -> Message<'m> {
    let is_token = Token::is_begun_by(entry.message.app_name);
    let source = target.source().as_str().as_bytes();
    Message {
        app_name: if is_token {
            source
        } else {
            entry.message.app_name
        },
        ..entry.message
    }
}

/// Spreads addresses, which differ in their middle bits. Nobody outside chooses them, so nothing
/// more is needed.
#[derive(Default)]
struct AddressHasher(u64);

impl Hasher for AddressHasher {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_usize(usize::from(*byte));
        }
    }

    fn write_usize(&mut self, address: usize) {
        // 2^64 by the golden ratio (Knuth, The Art of Computer Programming, 6.4).
        self.0 = (self.0 ^ address as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }

    fn finish(&self) -> u64 {
        self.0 ^ (self.0 >> 32)
    }
}

/// Runs that are found by looking at each.
const SCANNED_RUNS: usize = 8;

/// Room for messages that a thread keeps: some MiB, and less for their parts and runs.
const SPARE_ENTRIES_MAX: usize = 32 * 1024;
