//! The thread behind the door: check, commit, apply, follow, answer.

use std::collections::HashSet;
use std::mem;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};

use tokio::sync::{oneshot, watch};

use crate::channel::WhenFull;
use crate::control::effects;
use crate::control::effects::Effects;
use crate::control::error::ControlError;
use crate::control::rules::Rules;
use crate::id::{ChannelId, CredentialId};
use crate::limits::{CHANGES_PER_COMMIT_MAX, STORE_RETRY};
use crate::registry::{Change, Directory};
use crate::store::{Landing, Store, StoreError};

/// What a request looks at and changes. Requests of one batch have different subjects, so the
/// directory, which does not know the batch yet, is right for each of them.
#[derive(Clone, Eq, Hash, PartialEq)]
pub(crate) enum Subject {
    /// A channel with its tokens and drains.
    Channel(ChannelId),
    /// A credential.
    Credential(CredentialId),
    /// The channel that gets the next free number: which id it is shows only when the rules have
    /// chosen it. It must not be one that an earlier request of its batch is about, so it comes
    /// first in a batch or after its like, whose numbers differ.
    NextNumber,
}

/// Checks a request and says what it changes.
pub(crate) type Plan = Box<dyn FnOnce(&mut Rules, &Directory) -> Planned + Send>;

/// What waits for the thread.
pub(crate) enum Request {
    /// One change.
    Change {
        /// What it is about.
        subject: Subject,
        /// Its check.
        plan: Plan,
    },
    /// A new default of what happens in full channels.
    SetWhenFull {
        /// The default.
        when_full: WhenFull,
        /// Told when it holds.
        done: oneshot::Sender<()>,
    },
}

/// A checked request that waits for the store.
pub(crate) struct Planned {
    /// `None`: it was refused, or is true already; it has been answered.
    pending: Option<Pending>,
}

struct Pending {
    change: Change,
    answer: Box<dyn FnOnce(Result<(), ControlError>) + Send>,
}

impl Planned {
    /// Answers at once what needs no store.
    pub(crate) fn new<T: Send + 'static>(
        checked: Result<(Option<Change>, T), ControlError>,
        done: oneshot::Sender<Result<T, ControlError>>,
    ) -> Self {
        let answer = |done: oneshot::Sender<_>, result| {
            if done.send(result).is_err() { /* the one who asked has left; the change stands */ }
        };
        let pending = match checked {
            Ok((Some(change), value)) => Some(Pending {
                change,
                answer: Box::new(move |stored| answer(done, stored.map(|()| value))),
            }),
            Ok((None, value)) => {
                answer(done, Ok(value));
                None
            }
            Err(error) => {
                answer(done, Err(error));
                None
            }
        };
        Self { pending }
    }
}

/// Owner of the store, and the only one who changes the directory.
pub(crate) struct Actor<E> {
    store: Store,
    directory: Arc<Directory>,
    effects: E,
    rules: Rules,
    when_full: WhenFull,
    /// Changes of a failed commit, until the file tells whether they are in it.
    unsure: Vec<Change>,
    /// Told whether the store is broken.
    breaking: watch::Sender<bool>,
}

impl<E: Effects> Actor<E> {
    pub(crate) const fn new(
        store: Store,
        directory: Arc<Directory>,
        effects: E,
        rules: Rules,
        when_full: WhenFull,
        breaking: watch::Sender<bool>,
    ) -> Self {
        Self {
            store,
            directory,
            effects,
            rules,
            when_full,
            unsure: Vec::new(),
            breaking,
        }
    }

    /// Serves requests until nobody can send any more and all are answered.
    pub(crate) fn run(mut self, requests: &Receiver<Request>) {
        let mut held = None;
        while let Some(request) = held.take().or_else(|| self.next(requests)) {
            match request {
                Request::Change { subject, plan } => {
                    held = self.serve_batch((subject, plan), requests);
                }
                Request::SetWhenFull { when_full, done } => {
                    self.when_full = when_full;
                    effects::set_when_full(&self.directory, &self.effects, when_full);
                    if done.send(()).is_err() { /* nobody waits for it */ }
                }
            }
        }
    }

    /// Waits for a request; `None` when nobody can send any more. Mends a broken store meanwhile:
    /// who asks for the router's health sends no change to a router that is ill.
    fn next(&mut self, requests: &Receiver<Request>) -> Option<Request> {
        while self.store.is_closed() {
            match requests.recv_timeout(STORE_RETRY) {
                Ok(request) => return Some(request),
                Err(RecvTimeoutError::Disconnected) => return None,
                Err(RecvTimeoutError::Timeout) => self.mend(),
            }
        }
        requests.recv().ok()
    }

    /// Opens a broken store again. That it opens does not say that it can be written, so an empty
    /// commit is tried.
    fn mend(&mut self) {
        if let Err(error) = self.settle().and_then(|()| self.store.commit(&[])) {
            tracing::debug!(%error, "the store is still broken");
        }
        self.tell_store();
    }

    fn tell_store(&self) {
        let is_broken = self.store.is_closed();
        let was_broken = self.breaking.send_replace(is_broken);
        if was_broken && !is_broken {
            tracing::info!("the store works again");
        }
    }

    /// Serves `first` and what waits behind it, up to a full batch or a request that has to see
    /// this batch done; that one is handed back.
    fn serve_batch(
        &mut self,
        first: (Subject, Plan),
        requests: &Receiver<Request>,
    ) -> Option<Request> {
        let settled = self.settle();
        self.rules.begin_batch();
        let mut subjects = Subjects::default();
        let mut batch: Vec<Pending> = Vec::new();
        let mut next = Some(Request::Change {
            subject: first.0,
            plan: first.1,
        });
        let mut held = None;
        let mut served = 0;
        while let Some(request) = next.take() {
            match request {
                Request::Change { subject, plan } if subjects.add(&subject) => {
                    batch.extend(plan(&mut self.rules, &self.directory).pending);
                    if let Some(id) = self.rules.take_numbered() {
                        subjects.add_numbered(id);
                    }
                }
                other => {
                    held = Some(other);
                    break;
                }
            }
            // Refused ones count too: they must not keep the others waiting for their commit.
            served += 1;
            if served == CHANGES_PER_COMMIT_MAX {
                break;
            }
            next = requests.try_recv().ok();
        }
        match settled {
            Ok(()) => self.finish(batch),
            Err(error) => refuse(batch, error),
        }
        self.tell_store();
        held
    }

    /// Commits a batch, makes it visible, and answers.
    fn finish(&mut self, batch: Vec<Pending>) {
        if batch.is_empty() {
            return;
        }
        let (changes, answers): (Vec<_>, Vec<_>) = batch
            .into_iter()
            .map(|pending| (pending.change, pending.answer))
            .unzip();
        let stored = self.store.commit(&changes).map_err(|error| {
            tracing::error!(%error, changes = changes.len(), "changes could not be stored");
            ControlError::Store(Arc::new(error))
        });
        // Before the answers: who was refused may ask for the health next.
        self.tell_store();
        if stored.is_ok() {
            self.follow(&changes);
        } else {
            self.unsure = changes;
        }
        for answer in answers {
            answer(stored.clone());
        }
    }

    /// After a failed commit: opens the file again and follows what it holds.
    fn settle(&mut self) -> Result<(), StoreError> {
        if !self.store.is_closed() {
            return Ok(());
        }
        let landing = self.store.reopen()?;
        let changes = mem::take(&mut self.unsure);
        match landing {
            Landing::Landed => self.follow(&changes),
            Landing::Lost => {}
        }
        tracing::info!(
            ?landing,
            changes = changes.len(),
            "the store was opened again"
        );
        Ok(())
    }

    fn follow(&self, changes: &[Change]) {
        for change in changes {
            self.directory.apply(change);
            effects::follow(change, &self.effects, self.when_full);
        }
    }
}

/// The subjects of one batch.
#[derive(Default)]
struct Subjects {
    all: HashSet<Subject>,
    has_named: bool,
}

impl Subjects {
    /// Whether a request about `subject` may join the batch; if so it has.
    fn add(&mut self, subject: &Subject) -> bool {
        if *subject == Subject::NextNumber {
            return !self.has_named;
        }
        self.has_named = true;
        self.all.insert(subject.clone())
    }

    /// A request of the batch made this channel.
    fn add_numbered(&mut self, id: ChannelId) {
        self.all.insert(Subject::Channel(id));
    }
}

fn refuse(batch: Vec<Pending>, error: StoreError) {
    tracing::error!(%error, changes = batch.len(), "the store is still broken");
    let error = ControlError::Store(Arc::new(error));
    for pending in batch {
        (pending.answer)(Err(error.clone()));
    }
}
