//! What producers hand over.

use std::sync::Arc;

use bytes::Bytes;

use crate::clock::UnixMicros;
use crate::id::Token;
use crate::limits::SHIP_ITEM_BYTES_MAX;
use crate::sources::ship::places::Mark;
use crate::syslog::message::Pri;
use crate::syslog::split::whole_characters;

/// One line on its way to the router: what becomes a frame's PRI, TIMESTAMP, PROCID and MSG.
/// HOSTNAME and APP-NAME come from the settings. Holds a secret: no `Debug`.
#[derive(Clone)]
pub struct Line {
    /// PRI.
    pub pri: Pri,
    /// TIMESTAMP.
    pub time: UnixMicros,
    /// PROCID: `web.1`.
    pub procid: Arc<str>,
    /// A token other than the settings': then a request is made with it, and APP-NAME is this one.
    pub token: Option<Token>,
    /// MSG, with or without its line end; it may hold several lines.
    pub text: Bytes,
}

impl Line {
    /// The line, in several of at most `SHIP_ITEM_BYTES_MAX` bytes when it is longer than any batch
    /// should be.
    pub(crate) fn pieces(self) -> impl Iterator<Item = Self> {
        let mut rest = Some(self);
        std::iter::from_fn(move || {
            let mut line = rest.take()?;
            if SHIP_ITEM_BYTES_MAX < line.text.len() {
                let bytes = whole_characters(&line.text, SHIP_ITEM_BYTES_MAX);
                let text = line.text.split_off(bytes);
                rest = Some(Self {
                    text,
                    ..line.clone()
                });
            }
            Some(line)
        })
    }
}

/// What frames are made of.
pub(crate) enum Body {
    /// A line.
    Line(Line),
    /// A frame as it is to be sent, but for its count.
    Frame(Bytes),
}

/// What lies in the queue.
pub(crate) struct Item {
    pub(crate) body: Body,
    /// Where it ended in a followed file whose place is kept.
    pub(crate) mark: Option<Mark>,
}

impl Item {
    /// A line of no file.
    pub(crate) const fn of(line: Line) -> Self {
        Self {
            body: Body::Line(line),
            mark: None,
        }
    }

    /// Under whose name it is sent; `None`: the settings say.
    pub(crate) fn token(&self) -> Option<&Token> {
        match &self.body {
            Body::Line(line) => line.token.as_ref(),
            Body::Frame(_) => None,
        }
    }

    /// Bytes that it holds.
    pub(crate) fn bytes(&self) -> usize {
        let text = match &self.body {
            Body::Line(line) => &line.text,
            Body::Frame(frame) => frame,
        };
        size_of::<Self>() + text.len()
    }
}
