//! Several channels' events as one stream, in the order in which they came to the router.
//!
//! Each reader has its next event ready, and the oldest goes first. Of history nothing goes before
//! all readers have one or are over. A tail's reader may have none for hours: once it had none for
//! `PATIENCE`, the others do not wait for it any more.

use std::collections::VecDeque;
use std::future::Future;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::Context;
use std::task::Poll;
use std::time::Duration;

use serde::Deserialize;
use tokio::time::Instant;
use tokio::time::sleep_until;

use crate::cli::error::CliError;
use crate::cli::logs::reader::Reader;
use crate::cli::sse::Event;
use crate::clock;

/// What comes out.
pub(crate) enum Merged {
    /// An event of a channel.
    Event {
        /// The channel's id.
        channel: String,
        /// Its next event.
        event: Event,
    },
    /// A channel gives no more, though it should.
    Failed {
        /// The channel's id.
        channel: String,
        /// Why.
        error: CliError,
    },
}

type Work<'c> = Pin<Box<dyn Future<Output = (Reader<'c>, Result<Option<Event>, CliError>)> + 'c>>;

enum Slot<'c> {
    /// The next event is being read; others wait for it until then, or for as long as it takes.
    Reading {
        work: Work<'c>,
        awaited_until: Option<Instant>,
    },
    /// The reader's next event.
    Head(Box<Head<'c>>),
    Over,
}

struct Head<'c> {
    reader: Reader<'c>,
    event: Event,
    arrival: Option<String>,
}

impl Slot<'_> {
    fn arrival(&self) -> Option<&str> {
        match self {
            Self::Head(head) => head.arrival.as_deref(),
            _ => None,
        }
    }
}

/// The readers and what they have ready.
pub(crate) struct Merge<'c> {
    slots: Vec<Slot<'c>>,
    failed: VecDeque<(String, CliError)>,
    is_tail: bool,
    is_single: bool,
}

impl<'c> Merge<'c> {
    /// Reads all of `readers`; `is_tail`: they go on with what comes.
    pub(crate) fn new(readers: Vec<Reader<'c>>, is_tail: bool) -> Self {
        let is_single = readers.len() == 1;
        let awaited_until = is_tail.then(|| clock::now() + PATIENCE_AT_START);
        let slots = readers
            .into_iter()
            .map(|reader| Slot::Reading {
                work: work(reader),
                awaited_until,
            })
            .collect();
        Self {
            slots,
            failed: VecDeque::new(),
            is_tail,
            is_single,
        }
    }

    /// The next event or failure; `None` when all readers are over. Cancel safe: what was read stays.
    pub(crate) async fn next(&mut self) -> Option<Merged> {
        loop {
            poll_fn(|context| Poll::Ready(self.poll_readers(context))).await;
            if let Some((channel, error)) = self.failed.pop_front() {
                return Some(Merged::Failed { channel, error });
            }
            if let Some(event) = self.take_oldest() {
                return Some(event);
            }
            if self.slots.iter().all(|slot| matches!(slot, Slot::Over)) {
                return None;
            }
            let due = self.due();
            tokio::select! {
                () = poll_fn(|context| match self.poll_readers(context) {
                    true => Poll::Ready(()),
                    false => Poll::Pending,
                }) => {}
                () = until(due) => {}
            }
        }
    }

    /// Lets every reader go on; says whether one has got somewhere.
    fn poll_readers(&mut self, context: &mut Context<'_>) -> bool {
        let mut has_news = false;
        for slot in &mut self.slots {
            let Slot::Reading { work, .. } = slot else {
                continue;
            };
            let Poll::Ready((reader, read)) = work.as_mut().poll(context) else {
                continue;
            };
            has_news = true;
            *slot = match read {
                Ok(Some(event)) => Slot::Head(Box::new(Head {
                    arrival: (!self.is_single).then(|| arrival(&event)).flatten(),
                    reader,
                    event,
                })),
                Ok(None) => Slot::Over,
                Err(error) => {
                    self.failed.push_back((reader.channel().to_owned(), error));
                    Slot::Over
                }
            };
        }
        has_news
    }

    /// The oldest event that is ready, if no other reader is waited for.
    fn take_oldest(&mut self) -> Option<Merged> {
        let now = clock::now();
        let is_awaited = |slot: &Slot<'_>| match slot {
            Slot::Reading { awaited_until, .. } => awaited_until.is_none_or(|until| now < until),
            _ => false,
        };
        if self.slots.iter().any(is_awaited) {
            return None;
        }
        let heads = self
            .slots
            .iter_mut()
            .filter(|slot| matches!(slot, Slot::Head(_)));
        // What the router itself says has no arrival and goes at once; of equals, the first.
        let slot = heads.min_by(|left, right| left.arrival().cmp(&right.arrival()))?;
        let Slot::Head(head) = std::mem::replace(slot, Slot::Over) else {
            return None;
        };
        let Head { reader, event, .. } = *head;
        let channel = reader.channel().to_owned();
        *slot = Slot::Reading {
            work: work(reader),
            awaited_until: self.is_tail.then(|| now + PATIENCE),
        };
        Some(Merged::Event { channel, event })
    }

    /// When the last reader that is waited for is so no more.
    fn due(&self) -> Option<Instant> {
        if !self.slots.iter().any(|slot| matches!(slot, Slot::Head(_))) {
            return None;
        }
        let awaited = self.slots.iter().filter_map(|slot| match slot {
            Slot::Reading { awaited_until, .. } => Some(*awaited_until),
            _ => None,
        });
        // None of a history is ever given up, and is the least.
        awaited.collect::<Option<Vec<Instant>>>()?.into_iter().max()
    }
}

fn work(mut reader: Reader<'_>) -> Work<'_> {
    Box::pin(async move {
        let read = reader.next().await;
        (reader, read)
    })
}

/// When the event's message came to the router: a text of fixed width, so texts compare as times.
fn arrival(event: &Event) -> Option<String> {
    #[derive(Deserialize)]
    struct Arrival {
        arrival: Option<String>,
    }
    let found: Option<Arrival> = serde_json::from_slice(&event.data).ok();
    found?.arrival
}

async fn until(due: Option<Instant>) {
    match due {
        Some(due) => sleep_until(due).await,
        None => std::future::pending().await,
    }
}

/// For so long a tail's lines wait for older ones of channels that have had none: more than the
/// router and the network take, less than people notice.
const PATIENCE: Duration = Duration::from_millis(100);

/// For so long they wait for channels whose stream is not open yet.
const PATIENCE_AT_START: Duration = Duration::from_secs(1);
