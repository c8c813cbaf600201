//! What producers hand over.

use std::sync::Arc;

use bytes::Bytes;

use crate::clock::UnixMicros;
use crate::id::Token;
use crate::sources::ship::places::Mark;
use crate::syslog::message::Pri;

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
