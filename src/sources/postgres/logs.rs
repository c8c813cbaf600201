//! Follows a server's log files: bytes to events, and events to the shipper.

use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;
use serde::Serialize;
use tokio::sync::watch;
use tracing::debug;
use tracing::warn;

use crate::clock;
use crate::clock::UnixMicros;
use crate::limits::POSTGRES_EVENT_BYTES_MAX;
use crate::shutdown::Shutdown;
use crate::sources::outlet::Outlet;
use crate::sources::postgres::event::Namer;
use crate::sources::postgres::follow::Follower;
use crate::sources::postgres::follow::Place;
use crate::sources::postgres::follow::Start;
use crate::sources::postgres::follow::Step;
use crate::sources::postgres::overlap::Overlap;
use crate::sources::postgres::overlap::Sent;
use crate::sources::postgres::prefix::HEROKU;
use crate::sources::postgres::reader::Found;
use crate::sources::postgres::reader::Reader;
use crate::sources::teller::Teller;

/// Where a server writes its log, and how.
#[derive(Clone, Debug)]
pub struct LogFiles {
    /// The folder.
    pub directory: PathBuf,
    /// The format.
    pub reader: Reader,
    /// The settings that all this comes from: the same ones mean the same files.
    pub settings: String,
    /// Whether the server could not be asked at first: what it wrote meanwhile is new.
    pub is_late: bool,
}

impl LogFiles {
    /// Whether the others are the same files, though they may be read in another way.
    fn are_where(&self, others: &Self) -> bool {
        self.directory == others.directory && self.reader.extension() == others.reader.extension()
    }
}

/// How far a folder's files were read.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Position {
    /// The folder.
    pub directory: PathBuf,
    /// The place in it.
    pub place: Place,
}

/// Where to begin.
#[derive(Clone, Debug)]
pub struct Begin {
    /// How far an earlier run got, if that is known.
    pub position: Option<Position>,
    /// Where nothing is known of the folder.
    pub otherwise: Start,
}

impl Begin {
    /// In files that are known only now, since `started`.
    fn at(&self, files: &LogFiles, started: UnixMicros) -> Start {
        match (&self.position, &self.otherwise) {
            (Some(Position { directory, place }), _) if *directory == files.directory => {
                Start::At(place.clone())
            }
            (Some(position), _) => Start::Since(position.place.modified),
            (None, Start::End) if files.is_late => Start::Since(nanos(started)),
            (None, otherwise) => otherwise.clone(),
        }
    }
}

/// Follows the files that `files` names, now and later, until the group is asked to stop.
pub async fn follow(
    mut files: watch::Receiver<Option<LogFiles>>,
    begin: Begin,
    name: String,
    outlet: Outlet<Position>,
    shutdown: Shutdown,
) {
    let started = clock::wall();
    let mut namer = Namer::new(name);
    let mut sent = Sent::default();
    let mut last: Option<(LogFiles, Place)> = None;
    loop {
        let Some(now) = files.borrow_and_update().clone() else {
            tokio::select! {
                () = shutdown.requested() => return,
                changed = files.changed() => match changed {
                    Ok(()) => continue,
                    // Nobody is left who could say where the files are.
                    Err(_) => return,
                },
            }
        };
        if let Reader::Stderr(prefix) = &now.reader
            && !prefix.has_state()
        {
            warn_of_prefix();
        }
        let start = match &last {
            Some((files, place)) if files.are_where(&now) => Start::At(place.clone()),
            Some((_, place)) => Start::Since(place.modified),
            None => begin.at(&now, started),
        };
        let overlap = match start {
            Start::Since(nanos) => Overlap::new(&sent, micros(nanos)),
            _ => Overlap::default(),
        };
        let mut following = Following {
            follower: Follower::new(now.directory.clone(), now.reader.extension(), start),
            files: now,
            namer: &mut namer,
            sent: &mut sent,
            overlap,
            outlet: &outlet,
            teller: Teller::new("log files"),
            buffer: Vec::new(),
            skipping: Skipping::No,
            quiet_count: 0,
        };
        following.run(&files, &shutdown).await;
        if shutdown.is_requested() {
            return;
        }
        let place = following.follower.place(following.buffer.len());
        last = place.map(|place| (following.files, place)).or(last);
    }
}

/// Tells that messages will lack what readers of Heroku's look for.
pub(crate) fn warn_of_prefix() {
    warn!(
        wanted = HEROKU,
        "messages are not as Heroku's: log_line_prefix lacks %e; set it as wanted, or \
         log_destination = jsonlog"
    );
}

const fn nanos(time: UnixMicros) -> i128 {
    time.value() as i128 * 1_000
}

fn micros(nanos: i128) -> UnixMicros {
    UnixMicros::new(u64::try_from(nanos / 1_000).unwrap_or_default())
}

struct Following<'a> {
    files: LogFiles,
    follower: Follower,
    namer: &'a mut Namer,
    sent: &'a mut Sent,
    overlap: Overlap,
    outlet: &'a Outlet<Position>,
    teller: Teller,
    /// Read, but no event yet.
    buffer: Vec<u8>,
    skipping: Skipping,
    /// Looks in a row that brought nothing.
    quiet_count: u32,
}

/// What is skipped of something too long.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Skipping {
    /// Nothing.
    No,
    /// The rest of a line, and what comes behind it.
    Line,
    /// Lines, up to one that an event begins with.
    Event,
}

impl Following<'_> {
    /// Until the group is asked to stop, or other files are to be followed. These are read to their
    /// end first; the same ones are not, since what comes is to be read in another way.
    async fn run(&mut self, files: &watch::Receiver<Option<LogFiles>>, shutdown: &Shutdown) {
        let mut is_last = false;
        while !shutdown.is_requested() {
            if files.has_changed().unwrap_or(false) {
                let next = files.borrow().clone();
                is_last = next.is_some_and(|next| !next.are_where(&self.files));
                if !is_last {
                    break;
                }
            }
            let Some(step) = self.step().await else {
                return;
            };
            match step {
                Ok(Step::Bytes(bytes)) => {
                    self.quiet_count = 0;
                    self.take(&bytes);
                    self.send_events(false).await;
                }
                Ok(Step::Moved(path)) => {
                    self.teller.works();
                    debug!(path = %path.display(), "reading another file");
                    self.end_file().await;
                    // Also of a file of which nothing is delivered yet: the next run begins here.
                    if let Some(position) = self.position(0) {
                        self.outlet.mark(position).await;
                    }
                }
                Ok(Step::Quiet) | Err(_) if is_last => break,
                Ok(Step::Quiet) => {
                    self.quiet().await;
                    wait(POLL, shutdown).await;
                }
                Err((path, error)) => {
                    self.teller.fault(&format_args!(
                        "cannot read {}: {error}; this must run on the server's machine, as a user \
                         that may read its log: the server's own (postgres), or one of its group \
                         where log_directory is a folder that the group may enter",
                        path.display()
                    ));
                    wait(RETRY, shutdown).await;
                }
            }
        }
        if is_last {
            self.end_file().await;
        } else {
            self.send_events(true).await;
        }
    }

    /// A look has brought nothing.
    async fn quiet(&mut self) {
        self.quiet_count += 1;
        if self.follower.place(0).is_none() {
            self.teller.fault(&format_args!(
                "no file named *.{} in {} yet",
                self.files.reader.extension(),
                self.files.directory.display()
            ));
        }
        // The first may come in the middle of an event: it is written line by line.
        self.send_events(2 <= self.quiet_count).await;
    }

    /// One step, on a thread that may block; none if the thread is no more.
    async fn step(&mut self) -> Option<Result<Step, (PathBuf, std::io::Error)>> {
        let idle = Follower::new(PathBuf::new(), "", Start::End);
        let mut follower = std::mem::replace(&mut self.follower, idle);
        let stepped = tokio::task::spawn_blocking(move || {
            let step = follower.step();
            (follower, step)
        });
        let (follower, step) = stepped.await.ok()?;
        self.follower = follower;
        Some(step)
    }

    fn take(&mut self, mut bytes: &[u8]) {
        if self.skipping == Skipping::Line {
            let Some(newline) = memchr::memchr(b'\n', bytes) else {
                return;
            };
            self.skipping = Skipping::Event;
            bytes = bytes.get(newline + 1..).unwrap_or_default();
        }
        self.buffer.extend_from_slice(bytes);
        if self.skipping == Skipping::Event {
            self.skip();
        }
    }

    /// Skips what goes on with an event that was too long, as far as it has come.
    fn skip(&mut self) {
        let mut used = 0;
        loop {
            let rest = self.buffer.get(used..).unwrap_or_default();
            let Some(newline) = memchr::memchr(b'\n', rest) else {
                break;
            };
            let line = rest.get(..=newline).unwrap_or_default();
            if self.files.reader.begins(line) {
                self.skipping = Skipping::No;
                break;
            }
            used += line.len();
        }
        self.buffer.drain(..used);
        if self.skipping == Skipping::Event && POSTGRES_EVENT_BYTES_MAX < self.buffer.len() {
            self.buffer.clear();
            self.skipping = Skipping::Line;
        }
    }

    async fn send_events(&mut self, is_quiet: bool) {
        if self.skipping != Skipping::No {
            return;
        }
        let mut used = 0;
        loop {
            let rest = self.buffer.get(used..).unwrap_or_default();
            let Some((found, bytes)) = self.files.reader.next(rest, is_quiet) else {
                break;
            };
            used += bytes;
            let event = match found {
                Found::Event(entry) if self.overlap.is_old(&entry) => continue,
                Found::Event(entry) => {
                    self.sent.add(&entry);
                    self.namer.event(&entry, clock::wall())
                }
                Found::Foreign(line) if line.is_empty() || self.overlap.goes_on() => continue,
                Found::Foreign(line) => self.namer.foreign(&line, clock::wall()),
                Found::Unreadable => {
                    warn!(
                        bytes,
                        "skipped what is no event of the log's format; where messages are not in \
                         English, set lc_messages = C there, or log_destination = jsonlog"
                    );
                    self.outlet.drop_lines(1);
                    continue;
                }
            };
            let position = self.position(self.buffer.len() - used);
            self.outlet.send(event, position).await;
        }
        self.buffer.drain(..used);
        if POSTGRES_EVENT_BYTES_MAX < self.buffer.len() {
            warn!(
                bytes = self.buffer.len(),
                "skipped an event that is too long"
            );
            self.outlet.drop_lines(1);
            // It begins here: its first line must not be taken for another's.
            let bytes = std::mem::take(&mut self.buffer);
            self.skipping = Skipping::Line;
            self.take(&bytes);
        }
    }

    /// What was kept gets no end any more.
    async fn end_file(&mut self) {
        self.send_events(true).await;
        if !self.buffer.is_empty() && self.skipping == Skipping::No {
            warn!(
                bytes = self.buffer.len(),
                "skipped a torn event at a file's end"
            );
            self.outlet.drop_lines(1);
        }
        self.buffer.clear();
        self.skipping = Skipping::No;
        self.quiet_count = 0;
    }

    fn position(&self, kept: usize) -> Option<Position> {
        Some(Position {
            directory: self.files.directory.clone(),
            place: self.follower.place(kept)?,
        })
    }
}

/// Waits, but not for longer than the group runs.
async fn wait(time: Duration, shutdown: &Shutdown) {
    tokio::select! {
        () = shutdown.requested() => {}
        () = tokio::time::sleep(time) => {}
    }
}

/// How often a file that rests is looked at.
const POLL: Duration = Duration::from_millis(250);

/// How often what cannot be read is tried again.
const RETRY: Duration = Duration::from_secs(2);
