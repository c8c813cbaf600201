//! The shipper: lines in, `POST /logs` requests to a router out.
//!
//! ```text
//!   stdin, files, sockets ──line──► queue ──collector──► outbox ──sender──► router
//!                            full: dropped (L12)     batch       2xx: delivered
//!                                                                4xx: lost (L13)
//! ```
//! What log-shuttle does, in its words and headers, and what it lacks: a batch that was not taken is
//! sent again with the same `Logplex-Frame-Id`, so that the router delivers it once; with a spool it
//! waits on the disk.
//!
//! Order is kept by one connection with one request in flight. Requests pipelined on it could not be
//! repeated in order: when the first of two is answered 503, the second is there already. So the
//! next batch is collected and compressed while one is on its way, and that is all that overlaps.

mod batch;
mod book;
mod collector;
mod cut;
mod follow;
mod frame;
mod join;
mod line;
mod lines;
mod outbox;
mod places;
mod queue;
mod reader;
mod request;
mod sender;
mod slot;
mod spool;
mod unix;

use std::num::NonZeroU64;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{oneshot, watch};
use tokio::time::Instant;

use crate::clock;
use crate::id::Secret;
use crate::registry::DrainUrl;
use crate::shutdown::Shutdown;
use crate::sources::ship::book::Book;
use crate::sources::ship::collector::Collector;
use crate::sources::ship::outbox::Outbox;
use crate::sources::ship::queue::Queue;
use crate::sources::ship::sender::Sender;
use crate::sources::ship::slot::Slot;
use crate::sources::ship::spool::Spool;
use crate::syslog::split::Split;

pub use follow::{FollowSettings, follow};
pub use join::{Join, JoinRule};
pub use line::Line;
#[cfg(any(test, fuzzing))]
pub use lines::fuzz_lines;
pub(crate) use lines::{Fed, Lines};
pub use places::{Places, PlacesError};
pub use queue::Intake;
pub use reader::{Format, Reading, WhenFull, read_lines, read_lines_until};
pub(crate) use reader::{now, until};
#[cfg(any(test, fuzzing))]
pub use spool::fuzz_spool_file;
pub use spool::{SpoolError, SpoolSettings, make_spool};
pub use unix::{Connections, Datagrams, SocketError};

/// Where a shipper sends and how. Holds secrets: no `Debug`.
pub struct ShipSettings {
    /// The router's `POST /logs`; http or https. Its user and password, if it has them, are who
    /// sends.
    pub url: DrainUrl,
    /// Sent instead of the URL's user and password.
    pub bearer: Option<Secret>,
    /// APP-NAME of the frames; where nothing else says who sends, `token` and this do.
    pub app_name: String,
    /// HOSTNAME of the frames.
    pub hostname: String,
    /// What stands in the place of MSGID; log-shuttle's `- -` is a nil MSGID and nil structured data.
    pub msgid: String,
    /// VERSION of the frames.
    pub version: String,
    /// Whether bodies are compressed.
    pub is_gzip: bool,
    /// Whether the router's certificate is taken unseen.
    pub is_insecure: bool,
    /// Lines of a batch.
    pub batch_lines_max: usize,
    /// How long a batch waits for more lines after its first.
    pub wait: Duration,
    /// For connecting, and from sending a request to the head of its answer.
    pub timeout: Duration,
    /// Tries after which a batch is lost; `None`: none is, as long as the shipper runs. Of no
    /// meaning with a spool.
    pub attempts_max: Option<NonZeroU64>,
    /// Lines that wait to be put into a batch.
    pub queue_lines_max: usize,
    /// Longest text of a frame, in bytes.
    pub line_bytes_max: usize,
    /// How the parts of a longer one can be told.
    pub split: Split,
    /// Where batches are kept until the router has them; `None`: in memory.
    pub spool: Option<SpoolSettings>,
    /// Where the places of followed files are kept, if any are followed.
    pub places: Option<Arc<Places>>,
}

impl ShipSettings {
    /// A checksum of who sends to which router: by it a spool that was another's is noticed.
    fn sender(&self) -> u32 {
        let (user, password) = self.url.userinfo().unwrap_or_default();
        let bearer = self.bearer.as_ref().map_or("", Secret::expose);
        let mut crc = flate2::Crc::new();
        for part in [
            self.url.host().as_bytes(),
            &user,
            &password,
            bearer.as_bytes(),
        ] {
            crc.update(part);
            crc.update(b"\0");
        }
        if self.url.userinfo().is_none() && self.bearer.is_none() {
            crc.update(self.app_name.as_bytes());
        }
        crc.sum()
    }
}

/// What became of the lines. `delivered + dropped + lost + spooled` is how many there were, those
/// among them that an earlier shipper had left in the spool.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Report {
    /// The router has them.
    pub delivered: u64,
    /// The queue was full, or closed: they were never in a batch.
    pub dropped: u64,
    /// The router refused them, or did not take them in time.
    pub lost: u64,
    /// They are on the disk, in the spool or in a file that is followed, and the next shipper sends
    /// them.
    pub spooled: u64,
    /// Of the dropped ones, those that the router was not told of.
    pub untold_dropped: u64,
    /// Of the lost ones, those that the router was not told of.
    pub untold_lost: u64,
}

/// The running shipper.
pub struct Shipment {
    queue: Arc<Queue>,
    outbox: Arc<Outbox>,
    book: Arc<Book>,
    deadline: watch::Sender<Option<Instant>>,
    done: oneshot::Receiver<()>,
}

/// Moves up the end of a shipment that is being finished.
pub struct Hurry {
    deadline: watch::Sender<Option<Instant>>,
}

impl Hurry {
    /// There is no time left: what still waits is lost, or stays in the spool.
    pub fn end_now(&self) {
        self.deadline.send_replace(Some(clock::now()));
    }
}

impl Shipment {
    /// To hurry it while `finish` runs.
    #[must_use]
    pub fn hurry(&self) -> Hurry {
        Hurry {
            deadline: self.deadline.clone(),
        }
    }

    /// Takes no more lines, sends those that wait, at most for `grace`, and ends.
    pub async fn finish(self, grace: Duration) -> Report {
        self.deadline.send_replace(Some(clock::now() + grace));
        self.queue.close();
        // It ends without a word when its group was told to stop.
        if self.done.await.is_err() { /* see above */ }
        self.book.report()
    }

    /// The end is near: a spool takes what still comes, though it be more than it should hold, so
    /// that who waits for room can end.
    pub fn open_up(&self) {
        self.outbox.open_up();
    }

    /// Takes no more lines: who waits for room waits no longer.
    pub fn close(&self) {
        self.queue.close();
    }

    /// What became of the lines so far.
    #[must_use]
    pub fn report(&self) -> Report {
        self.book.report()
    }

    /// Lines that wait on the disk to be sent.
    #[must_use]
    pub fn spooled_count(&self) -> u64 {
        self.outbox.spooled_lines()
    }

    /// Lines that wait to be put into a batch.
    #[must_use]
    pub fn queued_count(&self) -> usize {
        self.queue.len()
    }
}

/// Starts the tasks that collect and send. Lines are put into the intake. Reads what a spool holds,
/// which blocks.
///
/// # Errors
/// `SpoolError`: the spool cannot be used.
pub fn start(
    settings: ShipSettings,
    shutdown: &Shutdown,
) -> Result<(Intake, Shipment), SpoolError> {
    let book = Arc::new(Book::default());
    let outbox = Arc::new(match settings.spool.clone() {
        None => Outbox::Memory(Slot::new(Arc::clone(&book), settings.places.clone())),
        Some(spool) => Outbox::Disk(Spool::open(
            spool,
            settings.sender(),
            Arc::clone(&book),
            settings.places.clone(),
        )?),
    });
    let settings = Arc::new(settings);
    let queue = Queue::new(settings.queue_lines_max, settings.batch_lines_max);
    let queue = Arc::new(queue);
    let (deadline, until) = watch::channel(None);
    let (ended, done) = oneshot::channel();
    let collector = Collector {
        settings: Arc::clone(&settings),
        queue: Arc::clone(&queue),
        book: Arc::clone(&book),
        outbox: Arc::clone(&outbox),
    };
    let sender = Sender::new(settings, Arc::clone(&outbox), Arc::clone(&book), until);
    let asked = shutdown.clone();
    shutdown.spawn(async move {
        tokio::select! {
            () = asked.requested() => {}
            () = collector.run() => {}
        }
    });
    let asked = shutdown.clone();
    shutdown.spawn(async move {
        tokio::select! {
            () = asked.requested() => {}
            () = Box::pin(sender.run()) => {}
        }
        // Nobody may be left who wants to know.
        if ended.send(()).is_err() { /* see above */ }
    });
    let intake = Intake::new(Arc::clone(&queue), Arc::clone(&book));
    let shipment = Shipment {
        queue,
        outbox,
        book,
        deadline,
        done,
    };
    Ok((intake, shipment))
}
