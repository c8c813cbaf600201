//! Sends batches in order over one connection, each until the router has it or has refused it.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};
use tracing::{debug, info, warn};

use crate::clock;
use crate::limits::{
    SHIP_CONNECTION_AGE_MAX, SHIP_CONNECTION_IDLE_MAX, SHIP_RETRY_DELAY_MAX, SHIP_RETRY_DELAY_MIN,
};
use crate::net::backoff;
use crate::net::client::HttpClient;
use crate::net::connect::DenyRules;
use crate::net::link::Destination;
use crate::net::outcome::{Failure, LOGPLEX, Outcome};
use crate::net::trust::{Trust, Trusts};
use crate::sources::ship::ShipSettings;
use crate::sources::ship::batch::Batch;
use crate::sources::ship::book::Book;
use crate::sources::ship::outbox::Outbox;
use crate::sources::ship::request;

/// The task between outbox and router.
pub(crate) struct Sender {
    settings: Arc<ShipSettings>,
    outbox: Arc<Outbox>,
    book: Arc<Book>,
    /// When it has to be done; `None` while nobody asked it to end.
    deadline: watch::Receiver<Option<Instant>>,
    client: HttpClient,
    trusts: Trusts,
    /// Failures in a row, over all batches.
    failures: u64,
    /// With which status batches are refused at the moment.
    refused: Option<u16>,
}

impl Sender {
    /// A sender without a connection.
    pub(crate) fn new(
        settings: Arc<ShipSettings>,
        outbox: Arc<Outbox>,
        book: Arc<Book>,
        deadline: watch::Receiver<Option<Instant>>,
    ) -> Self {
        Self {
            settings,
            outbox,
            book,
            deadline,
            client: HttpClient::default(),
            trusts: Trusts::default(),
            failures: 0,
            refused: None,
        }
    }

    /// Runs until there is no batch and none follows; then tells what is still untold.
    pub(crate) async fn run(mut self) {
        let mut is_late = false;
        while let Some(batch) = self.next().await {
            match self.deliver(&batch).await {
                Fate::Delivered => self.book.deliver(batch.lines),
                Fate::Lost => self.book.lose(batch.lines, batch.told, clock::wall()),
                Fate::Late => {
                    self.outbox.give_up(batch).await;
                    is_late = true;
                    break;
                }
            }
            self.outbox.settle(&batch).await;
        }
        let words = Batch::new(&[], &self.settings, &self.book).await;
        let told = words.told;
        let has_words = !told.is_empty();
        let is_told = has_words && !is_late && self.deliver(&words).await == Fate::Delivered;
        let untold = (has_words && !is_told).then_some(words);
        // The next shipper tells it, if there is one.
        if !self.outbox.leave(untold).await && !is_told {
            self.book.lose(0, told, clock::wall());
        }
    }

    /// The next batch, with an eye on the idle connection; `None` when none follows.
    async fn next(&mut self) -> Option<Batch> {
        loop {
            let has_batch = tokio::select! {
                biased;
                has_batch = self.outbox.ready() => has_batch,
                () = self.client.expired(SHIP_CONNECTION_IDLE_MAX, SHIP_CONNECTION_AGE_MAX) => continue,
            };
            if !has_batch {
                return None;
            }
            // One that cannot be read is none.
            if let Some(batch) = self.outbox.take().await {
                return Some(batch);
            }
        }
    }

    /// Tries until the router has `batch`, has refused it, or time or tries are used up.
    async fn deliver(&mut self, batch: &Batch) -> Fate {
        let mut tries = 0;
        loop {
            let mut deadline = self.deadline.clone();
            let outcome = tokio::select! {
                biased;
                () = over(&mut deadline) => None,
                outcome = self.attempt(batch) => Some(outcome),
            };
            tries += 1;
            let (failure, retry_after) = match outcome {
                None => {
                    self.client.close();
                    return Fate::Late;
                }
                Some(Outcome::Confirmed { .. } | Outcome::Partly { .. }) => {
                    self.recover();
                    return Fate::Delivered;
                }
                Some(Outcome::Refused { status, said }) => {
                    let said = match (said.trim(), status) {
                        ("", 401 | 403) => "the token is not known there, or may not send",
                        ("", 404) => "nobody takes lines at this path",
                        (said, _) => said,
                    };
                    self.tell_refusal(status, said, batch.lines);
                    return Fate::Lost;
                }
                Some(Outcome::Stale) => (Failure::Closed, None),
                Some(Outcome::Retry {
                    failure,
                    retry_after,
                }) => (failure, retry_after),
            };
            self.client.close();
            self.failures += 1;
            let is_last = self.is_last(tries);
            self.tell_failure(&failure, is_last.then_some(batch.lines));
            if is_last {
                return Fate::Lost;
            }
            self.outbox.persist().await;
            if !self.back_off(retry_after).await {
                return Fate::Late;
            }
        }
    }

    fn is_last(&self, tries: u64) -> bool {
        let max = self.settings.attempts_max;
        self.settings.spool.is_none() && max.is_some_and(|max| max.get() <= tries)
    }

    /// One try; a kept connection that was dead already is replaced once.
    async fn attempt(&mut self, batch: &Batch) -> Outcome {
        if self.client.is_over(SHIP_CONNECTION_AGE_MAX) {
            self.client.close();
        }
        for _ in 0..2 {
            if !self.client.is_connected() {
                let to = destination(&self.settings);
                if let Err(failure) = self.client.connect(to, &self.trusts).await {
                    return failure.into();
                }
            }
            let request = match request::of(batch, &self.settings) {
                Ok(request) => request,
                Err(error) => return Failure::Request(error).into(),
            };
            let within = request::time(self.settings.timeout, batch.body.len());
            match self.client.send(request, within, LOGPLEX).await {
                Outcome::Stale => {}
                outcome => return outcome,
            }
        }
        Outcome::Stale
    }

    /// Waits before the next try; false when there is no time for one.
    async fn back_off(&mut self, retry_after: Option<Duration>) -> bool {
        let delay = backoff::delay(
            self.failures,
            SHIP_RETRY_DELAY_MIN,
            SHIP_RETRY_DELAY_MAX,
            // Without chance the longest wait is taken: only the spread is lost.
            getrandom::u64().unwrap_or(u64::MAX),
        )
        .max(retry_after.unwrap_or_default());
        let due = clock::now() + delay;
        tokio::select! {
            biased;
            () = over(&mut self.deadline) => false,
            () = sleep_until(due) => true,
        }
    }

    fn recover(&mut self) {
        if 0 < self.failures {
            info!("the router takes batches again");
            self.outbox.relax();
        }
        self.failures = 0;
        self.refused = None;
    }

    /// One line for a trouble, as below; the end says how many lines were lost in all.
    fn tell_refusal(&mut self, status: u16, said: &str, lost: u64) {
        let is_told = self.refused.replace(status) == Some(status);
        match lost {
            _ if is_told => debug!(status, said, lost, "refused again"),
            0 => warn!(status, said, "the router refused to be told of losses"),
            lost => warn!(status, said, lost, "the router refused a batch"),
        }
    }

    fn tell_failure(&self, failure: &Failure, lost: Option<u64>) {
        let url = self.settings.url.redacted();
        match lost {
            Some(0) => warn!(%url, error = %failure, "losses could not be told to the router"),
            Some(lost) => warn!(%url, error = %failure, lost, "a batch was given up"),
            // One line for a trouble, however long it lasts.
            None if self.failures == 1 => {
                warn!(%url, error = %failure, "the router did not take a batch, trying again");
            }
            None => {}
        }
    }
}

/// What became of a batch.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Fate {
    Delivered,
    Lost,
    /// It was not delivered before the deadline.
    Late,
}

/// Ends when the deadline has come; never, as long as there is none. Cancel safe.
async fn over(deadline: &mut watch::Receiver<Option<Instant>>) {
    loop {
        let due = *deadline.borrow_and_update();
        match due {
            // It can be moved up.
            Some(due) => tokio::select! {
                () = sleep_until(due) => return,
                moved = deadline.changed() => if moved.is_err() {
                    return sleep_until(due).await;
                },
            },
            // Without the shipment nobody can ask it to end.
            None if deadline.changed().await.is_err() => std::future::pending().await,
            None => {}
        }
    }
}

fn destination(settings: &ShipSettings) -> Destination<'_> {
    let trust = Trust {
        is_insecure: settings.is_insecure || settings.url.is_insecure(),
        ..Trust::default()
    };
    Destination {
        host: settings.url.host(),
        port: settings.url.port(),
        rules: DenyRules::default(),
        trust: settings.url.scheme().has_tls().then_some(trust),
        connect_timeout: settings.timeout,
        not_after: None,
    }
}
