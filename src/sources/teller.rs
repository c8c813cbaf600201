//! Tells what is wrong with a server once, and again when it has changed; says when it is right.

use std::fmt::Display;

use tracing::info;
use tracing::warn;

/// What was told last about one thing.
#[derive(Debug)]
pub(crate) struct Teller {
    what: &'static str,
    last: Option<String>,
}

impl Teller {
    /// About `what`, of which nothing is known yet.
    #[must_use]
    pub(crate) const fn new(what: &'static str) -> Self {
        Self { what, last: None }
    }

    /// A fault, and that it is tried again.
    pub(crate) fn fault(&mut self, fault: &dyn Display) {
        let fault = fault.to_string();
        if self.last.as_ref() != Some(&fault) {
            warn!(what = self.what, fault, "not working; it is tried again");
            self.last = Some(fault);
        }
    }

    /// It works.
    pub(crate) fn works(&mut self) {
        match self.last.take() {
            Some(text) if text.is_empty() => {}
            Some(_) => warn!(what = self.what, "working again"),
            None => info!(what = self.what, "working"),
        }
        // Empty: told that it works.
        self.last = Some(String::new());
    }
}
