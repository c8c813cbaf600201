//! The one door for changes to entries.
//!
//! ```text
//!   API, app ──▶ Control ──bounded queue──▶ thread: check ▶ commit ▶ apply ▶ effects ──▶ answer
//!   (any task)                                      rules   Store    Directory  Node, routes, drains
//! ```
//!
//! One thread does all of it in order, and the disk's waiting happens there alone. Requests that
//! wait together share a transaction as long as they concern different channels or credentials:
//! then none can invalidate another one's check. Reads go to the [`Directory`] directly.
//!
//! [`Directory`]: crate::registry::Directory

mod actor;
mod effects;
mod error;
mod rules;

use std::path::Path;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use tokio::runtime::Handle;
use tokio::sync::{oneshot, watch};

use crate::channel::{Node, WhenFull};
use crate::control::actor::{Actor, Planned, Request, Subject};
use crate::control::effects::Live;
use crate::control::rules::Rules;
use crate::egress::drain::Drains;
use crate::id::{ChannelId, CredentialId, DrainId, Secret, Source, Token};
use crate::limits::{CHANGES_WAITING_MAX, DRAINS_PER_CHANNEL_MAX};
use crate::registry::{
    Change, ChannelEntry, CredentialEntry, Directory, DrainEntry, DrainOptions, DrainUrl,
    Permission, TokenEntry, WhenFullSetting,
};
use crate::route::RouteTable;
use crate::store::{Store, StoreError};

pub use effects::Effects;
pub use error::ControlError;

/// What the door lets through.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Mode {
    /// Everything.
    Normal,
    /// No change; entries can be read.
    ReadOnly,
    /// No change; the API answers nothing either.
    Disabled,
}

/// What may change of a channel; `None` leaves it.
#[derive(Clone, Debug, Default)]
pub struct ChannelPatch {
    /// Live tails are refused.
    pub no_tail: Option<bool>,
    /// Sessions carry the warning.
    pub no_redis: Option<bool>,
    /// What happens when its budget is full.
    pub when_full: Option<WhenFullSetting>,
    /// Its name for people.
    pub name: Option<String>,
}

/// How the door is set up.
#[derive(Clone, Copy, Debug)]
pub struct ControlSettings {
    /// Drains of one channel, reserved ones included.
    pub drains_per_channel_max: usize,
    /// What happens in channels that say nothing of their own when their budget is full.
    pub when_full: WhenFull,
    /// Mode to start in.
    pub mode: Mode,
}

impl Default for ControlSettings {
    fn default() -> Self {
        Self {
            drains_per_channel_max: DRAINS_PER_CHANNEL_MAX,
            when_full: WhenFull::Lose,
            mode: Mode::Normal,
        }
    }
}

/// The door. Clones are the same one.
#[derive(Clone)]
pub struct Control {
    shared: Arc<Shared>,
}

struct Shared {
    directory: Arc<Directory>,
    mode: AtomicU8,
    /// `None` once stopping: the thread ends when it has done what was accepted before.
    queue: Mutex<Option<SyncSender<Request>>>,
    ended: watch::Receiver<bool>,
    store_broken: watch::Receiver<bool>,
}

impl Control {
    /// Loads the entries of `store` and brings the node to what they ask for: opens channels,
    /// inserts routes, starts drains. Blocks while it reads the file. Effects run in the Tokio
    /// runtime this is called in.
    ///
    /// # Errors
    /// `StoreError` when the entries cannot be read or the thread cannot be started.
    pub fn start(
        store: Store,
        node: Arc<Node>,
        routes: Arc<RouteTable>,
        drains: Arc<Drains>,
        settings: ControlSettings,
    ) -> Result<Self, StoreError> {
        Self::start_with(store, Live::new(node, routes, drains), settings)
    }

    /// As `start`, with anything that follows the entries in place of the node.
    ///
    /// # Errors
    /// As `start`.
    pub fn start_with<E: Effects>(
        store: Store,
        effects: E,
        settings: ControlSettings,
    ) -> Result<Self, StoreError> {
        let entries = store.load()?;
        effects::start(&entries, &effects, settings.when_full);
        let rules = Rules::new(entries.counters(), settings.drains_per_channel_max);
        let directory = Arc::new(Directory::new(entries));
        let (queue, requests) = sync_channel(CHANGES_WAITING_MAX);
        let (ending, ended) = watch::channel(false);
        let (breaking, store_broken) = watch::channel(false);
        let file = store.path().to_owned();
        let actor = Actor::new(
            store,
            Arc::clone(&directory),
            effects,
            rules,
            settings.when_full,
            breaking,
        );
        let runtime = Handle::try_current().ok();
        let run = move || {
            // Effects start tasks.
            let _entered = runtime.as_ref().map(Handle::enter);
            actor.run(&requests);
            ending.send_replace(true);
        };
        spawn(&file, run)?;
        Ok(Self {
            shared: Arc::new(Shared {
                directory,
                mode: AtomicU8::new(settings.mode.code()),
                queue: Mutex::new(Some(queue)),
                ended,
                store_broken,
            }),
        })
    }

    /// The entries, for reading.
    #[must_use]
    pub fn directory(&self) -> &Arc<Directory> {
        &self.shared.directory
    }

    /// What the door lets through now.
    #[must_use]
    pub fn mode(&self) -> Mode {
        Mode::from_code(self.shared.mode.load(Ordering::Relaxed))
    }

    /// Whether the store took no change when it was last tried. It is tried again by and by, so
    /// this ends without a change from outside.
    #[must_use]
    pub fn is_store_broken(&self) -> bool {
        *self.shared.store_broken.borrow()
    }

    /// Changes what the door lets through. Changes accepted before are still made.
    pub fn set_mode(&self, mode: Mode) {
        self.shared.mode.store(mode.code(), Ordering::Relaxed);
    }

    /// Makes a channel with the next free number as its id, and a token for each of `sources`, in
    /// their order; a name given twice makes two tokens.
    ///
    /// # Errors
    /// `ControlError`; without an answer from the store, whether it happened is unknown.
    pub async fn create_numbered_channel(
        &self,
        name: Option<String>,
        sources: Vec<Source>,
    ) -> Result<(ChannelEntry, Vec<TokenEntry>), ControlError> {
        self.change(Subject::NextNumber, move |rules, directory| {
            rules.create_numbered_channel(directory, name, &sources)
        })
        .await
    }

    /// Makes the channel `id`, or changes it: it has tokens of exactly these names afterwards
    /// (those of names that stay are kept) and the flags of `patch`. Says whether it is new, and
    /// its tokens.
    ///
    /// # Errors
    /// `ControlError`.
    pub async fn put_channel(
        &self,
        id: ChannelId,
        sources: Vec<Source>,
        patch: ChannelPatch,
    ) -> Result<(bool, Vec<TokenEntry>), ControlError> {
        self.change(Subject::Channel(id.clone()), move |rules, directory| {
            rules.put_channel(directory, id, sources, patch)
        })
        .await
    }

    /// Changes the flags of a channel; its tokens stay.
    ///
    /// # Errors
    /// `ControlError`.
    pub async fn patch_channel(
        &self,
        id: ChannelId,
        patch: ChannelPatch,
    ) -> Result<ChannelEntry, ControlError> {
        self.change(Subject::Channel(id.clone()), move |rules, directory| {
            rules.patch_channel(directory, &id, patch)
        })
        .await
    }

    /// Ends a channel with its tokens and drains.
    ///
    /// # Errors
    /// `ControlError`.
    pub async fn delete_channel(&self, id: ChannelId) -> Result<(), ControlError> {
        self.change(Subject::Channel(id.clone()), move |rules, directory| {
            rules.delete_channel(directory, id)
        })
        .await
    }

    /// Gives a channel one more token; its name may be taken.
    ///
    /// # Errors
    /// `ControlError`.
    pub async fn create_token(
        &self,
        channel: ChannelId,
        source: Source,
    ) -> Result<TokenEntry, ControlError> {
        let subject = Subject::Channel(channel.clone());
        self.change(subject, move |rules, directory| {
            rules.create_token(directory, channel, source)
        })
        .await
    }

    /// Ends a token of `channel`.
    ///
    /// # Errors
    /// `ControlError`.
    pub async fn delete_token(&self, channel: ChannelId, token: Token) -> Result<(), ControlError> {
        let subject = Subject::Channel(channel.clone());
        self.change(subject, move |rules, directory| {
            rules.delete_token(directory, &channel, token)
        })
        .await
    }

    /// Makes a drain of `channel`; without a URL it is reserved: it has its id and token and does
    /// nothing.
    ///
    /// # Errors
    /// `ControlError`.
    pub async fn create_drain(
        &self,
        channel: ChannelId,
        url: Option<DrainUrl>,
        options: DrainOptions,
    ) -> Result<DrainEntry, ControlError> {
        let subject = Subject::Channel(channel.clone());
        self.change(subject, move |rules, directory| {
            rules.create_drain(directory, channel, url, options)
        })
        .await
    }

    /// Gives a drain of `channel` a URL (`None` leaves what it has) and the options that `merge`
    /// makes of those it has. `merge` runs on the thread, so that of two changes at once neither is
    /// lost. Nothing happens when all that is so already.
    ///
    /// # Errors
    /// `ControlError`.
    pub async fn update_drain(
        &self,
        channel: ChannelId,
        id: DrainId,
        url: Option<DrainUrl>,
        merge: impl FnOnce(DrainOptions) -> Result<DrainOptions, ControlError> + Send + 'static,
    ) -> Result<DrainEntry, ControlError> {
        let subject = Subject::Channel(channel.clone());
        self.change(subject, move |rules, directory| {
            rules.update_drain(directory, &channel, id, url, merge)
        })
        .await
    }

    /// Ends a drain of `channel` and returns what it was.
    ///
    /// # Errors
    /// `ControlError`.
    pub async fn delete_drain(
        &self,
        channel: ChannelId,
        id: DrainId,
    ) -> Result<DrainEntry, ControlError> {
        let subject = Subject::Channel(channel.clone());
        self.change(subject, move |rules, directory| {
            rules.delete_drain(directory, &channel, id)
        })
        .await
    }

    /// Makes a credential, or replaces its secret and permissions. Without a `secret` a random one
    /// is made and returned: it cannot be read again later.
    ///
    /// # Errors
    /// `ControlError`.
    pub async fn put_credential(
        &self,
        id: CredentialId,
        secret: Option<Secret>,
        permissions: Vec<Permission>,
    ) -> Result<(CredentialEntry, Option<Secret>), ControlError> {
        let subject = Subject::Credential(id.clone());
        self.change(subject, move |rules, directory| {
            rules.put_credential(directory, id, secret, permissions)
        })
        .await
    }

    /// Makes a credential whose id nobody has, as `put_credential` does.
    ///
    /// # Errors
    /// `ControlError`.
    pub async fn create_credential(
        &self,
        id: CredentialId,
        secret: Option<Secret>,
        permissions: Vec<Permission>,
    ) -> Result<(CredentialEntry, Option<Secret>), ControlError> {
        let subject = Subject::Credential(id.clone());
        self.change(subject, move |rules, directory| {
            if directory.credential(&id).is_some() {
                return Err(ControlError::DuplicateCredential);
            }
            rules.put_credential(directory, id, secret, permissions)
        })
        .await
    }

    /// Ends a credential.
    ///
    /// # Errors
    /// `ControlError`.
    pub async fn delete_credential(&self, id: CredentialId) -> Result<(), ControlError> {
        let subject = Subject::Credential(id.clone());
        self.change(subject, move |rules, directory| {
            rules.delete_credential(directory, id)
        })
        .await
    }

    /// Changes what happens in full channels that say nothing of their own. Not a change of
    /// entries: goes through in every mode.
    ///
    /// # Errors
    /// `ControlError::Busy` or `Stopping`.
    pub async fn set_default_when_full(&self, when_full: WhenFull) -> Result<(), ControlError> {
        let (done, answer) = oneshot::channel();
        self.send(Request::SetWhenFull { when_full, done })?;
        answer.await.map_err(|_| ControlError::Stopping)
    }

    /// Refuses further changes, and returns when those accepted before are made and the store is
    /// closed. Cancel safe: what was begun goes on; may be called again.
    pub async fn stop(&self) {
        drop(self.queue().take());
        let mut ended = self.shared.ended.clone();
        if ended.wait_for(|&ended| ended).await.is_err() {
            // The thread is gone without a word: it panicked. There is nothing left to wait for.
            tracing::error!("the thread that makes changes had ended before");
        }
    }

    /// Sends one change through the door: `plan` runs on the thread.
    async fn change<T, P>(&self, subject: Subject, plan: P) -> Result<T, ControlError>
    where
        T: Send + 'static,
        P: FnOnce(&mut Rules, &Directory) -> Result<(Option<Change>, T), ControlError>
            + Send
            + 'static,
    {
        match self.mode() {
            Mode::Normal => {}
            Mode::ReadOnly => return Err(ControlError::ReadOnly),
            Mode::Disabled => return Err(ControlError::Disabled),
        }
        let (done, answer) = oneshot::channel();
        let plan = Box::new(move |rules: &mut Rules, directory: &Directory| {
            Planned::new(plan(rules, directory), done)
        });
        self.send(Request::Change { subject, plan })?;
        answer.await.map_err(|_| ControlError::Stopping)?
    }

    fn send(&self, request: Request) -> Result<(), ControlError> {
        match self.queue().as_ref().map(|queue| queue.try_send(request)) {
            Some(Ok(())) => Ok(()),
            Some(Err(TrySendError::Full(_))) => Err(ControlError::Busy),
            Some(Err(TrySendError::Disconnected(_))) | None => Err(ControlError::Stopping),
        }
    }

    fn queue(&self) -> std::sync::MutexGuard<'_, Option<SyncSender<Request>>> {
        self.shared
            .queue
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Mode {
    const fn code(self) -> u8 {
        match self {
            Self::Normal => 0,
            Self::ReadOnly => 1,
            Self::Disabled => 2,
        }
    }

    const fn from_code(code: u8) -> Self {
        match code {
            0 => Self::Normal,
            1 => Self::ReadOnly,
            _ => Self::Disabled,
        }
    }
}

/// A thread of its own: it lives as long as the router and waits for the disk, which no worker of
/// the runtime may.
fn spawn(file: &Path, run: impl FnOnce() + Send + 'static) -> Result<(), StoreError> {
    thread::Builder::new()
        .name("control".to_owned())
        .spawn(run)
        .map(drop)
        .map_err(|error| StoreError::from_io(file, error))
}

#[cfg(test)]
mod tests;
