//! One reader of a session: history, then (for a tail) what arrives, as lines or as events.
//!
//! The HTTP server pulls: a piece is made when the last one has gone out, so a slow client holds one
//! piece and is lapped, and told so (L11), instead of making the router buffer for it.

use std::convert::Infallible;
use std::future::Future;
use std::ops::ControlFlow;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Context;
use std::task::Poll;
use std::task::ready;
use std::time::Duration;

use bytes::Bytes;
use http_body::Body;
use http_body::Frame;

use crate::channel::Channel;
use crate::channel::Cursor;
use crate::channel::Record;
use crate::clock;
use crate::clock::UnixMicros;
use crate::egress::events;
use crate::egress::events::EventId;
use crate::egress::history;
use crate::egress::object;
use crate::filter::Filter;
use crate::id::Seq;
use crate::limits::TAIL_FRAME_BYTES_MAX;
use crate::limits::TAIL_SCAN_RECORDS_MAX;
use crate::registry::sessions::LineShape;
use crate::shutdown::Shutdown;
use crate::syslog::encode;
use crate::telemetry::Telemetry;

/// How the lines are wrapped.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum TailFormat {
    /// One line after the other.
    Lines,
    /// Server-sent events with ids.
    Events {
        /// A comment goes out when nothing else did for so long.
        keepalive: Duration,
    },
}

/// What a reader wants.
#[derive(Debug)]
pub struct TailRequest {
    /// Which messages; `None`: all.
    pub filter: Option<Filter>,
    /// How many of the last matching ones to begin with.
    pub lines: u64,
    /// Of what is kept, only what arrived then or later.
    pub since: Option<UnixMicros>,
    /// Whether to go on with what arrives.
    pub is_tail: bool,
    /// How to wrap the lines.
    pub format: TailFormat,
    /// How to write a message.
    pub shape: LineShape,
    /// The last event that the reader already has; `lines` counts only when it is of another node
    /// or another life of this one.
    pub last_event: Option<EventId>,
}

impl TailRequest {
    fn wants(&self, record: &Record<'_>) -> bool {
        self.filter
            .as_ref()
            .is_none_or(|filter| filter.matches(&record.message()))
    }
}

/// An open reader. `into_body` makes it a response's body.
pub struct Tail {
    channel: Arc<Channel>,
    telemetry: Telemetry,
    shutdown: Shutdown,
    request: TailRequest,
    node_started: UnixMicros,
    stage: Stage,
    /// The end of the channel when the reader came.
    end: Seq,
    /// Losses before this are none: the reader asked for what is kept, and it is no longer.
    excused_until: Seq,
    /// When the reader had last taken everything that it was given: the start of a loss.
    read_at: UnixMicros,
    line: Vec<u8>,
}

#[derive(Clone, Copy)]
enum Stage {
    /// Nothing was looked at yet.
    Opening,
    /// Reading on from here.
    Reading(Cursor),
    /// All was said.
    Ended,
}

/// What one step came to.
enum Step {
    /// There may be more at once.
    More(Cursor),
    /// Everything there is has been read.
    CaughtUp(Cursor),
}

impl Tail {
    /// A reader of `channel`, which `node_started` names for good (SSE ids).
    #[must_use]
    pub fn new(
        channel: Arc<Channel>,
        node_started: UnixMicros,
        request: TailRequest,
        telemetry: Telemetry,
        shutdown: Shutdown,
    ) -> Self {
        telemetry.tails.increment(1.0);
        let end = channel.end_seq();
        Self {
            channel,
            telemetry,
            shutdown,
            request,
            node_started,
            stage: Stage::Opening,
            end,
            excused_until: end,
            read_at: clock::wall(),
            line: Vec::new(),
        }
    }

    /// The reader as a response's body: chunks as they come, then a clean end.
    #[must_use]
    pub fn into_body(self) -> TailBody {
        TailBody::Idle(Box::new(self))
    }

    /// The next piece; `None` at the end. Not cancel safe: drop the reader with it.
    async fn next(&mut self) -> Option<Bytes> {
        let mut out = Vec::new();
        let mut stage = self.stage;
        loop {
            stage = match stage {
                Stage::Ended => break,
                _ if self.is_cut_short() => Stage::Ended,
                Stage::Opening => Stage::Reading(self.begin(&mut out).await),
                Stage::Reading(cursor) => match self.read(cursor, &mut out) {
                    Step::More(cursor) => Stage::Reading(cursor),
                    Step::CaughtUp(cursor) if self.is_complete(&cursor) => {
                        self.conclude(&cursor, &mut out);
                        Stage::Ended
                    }
                    Step::CaughtUp(cursor) => {
                        if out.is_empty() {
                            self.wait(&cursor, &mut out).await;
                        }
                        Stage::Reading(cursor)
                    }
                },
            };
            if !out.is_empty() {
                break;
            }
            // A filter may pass nothing for a long time: others want to run too.
            tokio::task::yield_now().await;
        }
        self.stage = stage;
        (!out.is_empty()).then(|| Bytes::from(out))
    }

    /// The channel was deleted or the router ends.
    fn is_cut_short(&self) -> bool {
        self.channel.is_closed() || self.shutdown.is_requested()
    }

    async fn begin(&mut self, out: &mut Vec<u8>) -> Cursor {
        if !self.request.is_tail && matches!(self.request.format, TailFormat::Events { .. }) {
            // Only here: a tail with so short a time would come back in a tight loop.
            events::retry_soon(out);
        }
        let last = self.request.last_event;
        if let Some(last) = last.filter(|last| last.node_started == self.node_started) {
            let next = last.seq.plus(1).min(self.end);
            self.excused_until = next;
            return self.channel.cursor_at(next);
        }
        if self.request.is_tail && last.is_some_and(|last| last.node_started < self.node_started) {
            // The router was started anew: all that is kept is newer than what was read.
            return self.channel.cursor_at(Seq::default());
        }
        let request = &self.request;
        let first = request
            .since
            .map_or(Seq::default(), |from| history::since(&self.channel, from));
        let start = history::start(
            &self.channel,
            request.filter.as_ref(),
            request.lines,
            first,
            self.end,
        )
        .await;
        self.channel.cursor_at(start)
    }

    /// Reads on until a piece is full, the end is met, or enough was looked at in one go.
    fn read(&mut self, mut cursor: Cursor, out: &mut Vec<u8>) -> Step {
        let before = cursor.seq();
        let end = (!self.is_live()).then_some(self.end);
        let mut scanned = 0;
        let mut written = 0;
        let outcome = self.channel.read(&mut cursor, |record| {
            let is_full = TAIL_FRAME_BYTES_MAX <= out.len() || scanned == TAIL_SCAN_RECORDS_MAX;
            if is_full || end.is_some_and(|end| end <= record.seq) {
                return ControlFlow::Break(());
            }
            scanned += 1;
            if self.request.wants(&record) {
                written += 1;
                self.line.clear();
                match self.request.shape {
                    LineShape::Text => encode::tail_line(&record, &mut self.line),
                    LineShape::Json => object::line(&record, &mut self.line),
                }
                let id = EventId {
                    node_started: self.node_started,
                    seq: record.seq,
                };
                write_line(self.request.format, id, &self.line, out);
            }
            ControlFlow::Continue(())
        });
        if 0 < outcome.lost {
            self.report_loss(before, &cursor, end, out);
            return Step::More(cursor);
        }
        self.telemetry.tail_delivered.increment(written);
        self.read_at = clock::wall();
        if outcome.read == 0 {
            Step::CaughtUp(cursor)
        } else {
            self.excused_until = Seq::default();
            Step::More(cursor)
        }
    }

    /// Says how many messages went by unread, counted exactly, whatever the filter wants.
    fn report_loss(&mut self, before: Seq, cursor: &Cursor, end: Option<Seq>, out: &mut Vec<u8>) {
        let upper = end.map_or(cursor.seq(), |end| end.min(cursor.seq()));
        let lost = upper.since(before.max(self.excused_until));
        if lost == 0 {
            return;
        }
        self.telemetry.tail_lost.increment(lost);
        let line = encode::l11_line(clock::wall(), lost, self.read_at);
        // Its id is the last lost one's: who comes back with it is not told twice.
        let id = EventId {
            node_started: self.node_started,
            seq: Seq::new(upper.value().saturating_sub(1)),
        };
        self.write_own(id, &line, out);
    }

    /// Writes a line that the router has to say itself.
    fn write_own(&self, id: EventId, line: &str, out: &mut Vec<u8>) {
        match self.request.shape {
            LineShape::Text => write_line(self.request.format, id, line.as_bytes(), out),
            LineShape::Json => {
                write_line(self.request.format, id, &object::own_line(line), out);
            }
        }
    }

    /// Whether the reader goes on after the end that it found.
    fn is_live(&self) -> bool {
        self.request.is_tail && !self.channel.flags().no_tail
    }

    fn is_complete(&self, cursor: &Cursor) -> bool {
        !self.is_live() && self.end <= cursor.seq()
    }

    fn conclude(&self, cursor: &Cursor, out: &mut Vec<u8>) {
        if self.request.is_tail {
            let id = EventId {
                node_started: self.node_started,
                seq: Seq::new(cursor.seq().value().saturating_sub(1)),
            };
            let line = encode::l20_line(clock::wall());
            self.write_own(id, &line, out);
        }
    }

    /// Waits until something can be read or the reader is to end; a comment goes out meanwhile.
    async fn wait(&self, cursor: &Cursor, out: &mut Vec<u8>) {
        tokio::select! {
            () = self.channel.readable(cursor) => {}
            () = self.channel.closed() => {}
            () = self.shutdown.requested() => {}
            () = quiet(self.request.format) => events::comment(out),
        }
    }
}

impl Drop for Tail {
    fn drop(&mut self) {
        self.telemetry.tails.decrement(1.0);
    }
}

/// Ends when a comment is due. Cancel safe.
async fn quiet(format: TailFormat) {
    match format {
        // Nothing can be put between plain lines that would not be taken for one.
        TailFormat::Lines => std::future::pending().await,
        TailFormat::Events { keepalive } => tokio::time::sleep(keepalive).await,
    }
}

fn write_line(format: TailFormat, id: EventId, line: &[u8], out: &mut Vec<u8>) {
    match format {
        TailFormat::Lines => out.extend_from_slice(line),
        TailFormat::Events { .. } => events::event(id, line, out),
    }
}

/// The making of a piece; gives the reader back.
type Work = Pin<Box<dyn Future<Output = (Box<Tail>, Option<Bytes>)> + Send>>;

/// A reader as a response's body.
pub enum TailBody {
    /// The last piece has been taken.
    Idle(Box<Tail>),
    /// The next piece is being made.
    Working(Work),
    /// The end was met.
    Ended,
}

impl Body for TailBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let body = &mut *self;
        if let Self::Idle(_) = body
            && let Self::Idle(mut tail) = std::mem::replace(body, Self::Ended)
        {
            *body = Self::Working(Box::pin(async move {
                let piece = tail.next().await;
                (tail, piece)
            }));
        }
        let Self::Working(work) = body else {
            return Poll::Ready(None);
        };
        let (tail, piece) = ready!(work.as_mut().poll(context));
        *body = Self::Idle(tail);
        match piece {
            Some(piece) => Poll::Ready(Some(Ok(Frame::data(piece)))),
            None => {
                *body = Self::Ended;
                Poll::Ready(None)
            }
        }
    }
}
