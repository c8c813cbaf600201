//! Sessions: short-lived grants to read a channel, kept in memory only. Pure: `now` is an argument.
//!
//! A session ends with the credential that asked for it. Else it must be opened within `SESSION_UNOPENED_MAX`. While a stream of it is open it lives,
//! and then as long again, so that a reader whose line broke can come back to it.

use std::collections::HashMap;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::clock::UnixMicros;
use crate::id::ChannelId;
use crate::id::CredentialId;
use crate::id::SessionId;
use crate::limits::SESSIONS_MAX;

/// How long a session that nobody reads can still be opened.
pub const SESSION_UNOPENED_MAX: Duration = Duration::from_secs(300);

/// What a session lets its holder read.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct SessionEntry {
    /// The channel to read.
    pub channel: ChannelId,
    /// How many of the last matching lines to begin with.
    pub lines: u64,
    /// Whether to go on with what arrives afterwards.
    pub is_tail: bool,
    /// Only messages of this source.
    pub source: Option<String>,
    /// Only messages of this process (`web` means `web` and `web.*`).
    pub ps: Option<String>,
    /// Only messages that this expression wants, as it was written.
    pub filter: Option<String>,
    /// The credential that asked for it, if it was one.
    pub credential: Option<CredentialId>,
}

/// A session that a stream has opened.
#[derive(Clone, Debug)]
pub struct OpenSession {
    /// What may be read.
    pub entry: Arc<SessionEntry>,
    /// Cancelled when it may not be read any longer.
    pub ended: CancellationToken,
}

/// There are `SESSIONS_MAX` sessions already: refused, try later.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("too many sessions are waiting to be opened")]
pub struct SessionsFull;

/// All sessions of this node.
pub struct Sessions {
    kept: Mutex<Kept>,
    count_max: usize,
}

struct Kept {
    by_id: HashMap<SessionId, Held>,
    /// When to look at each session again. Invariant: one row per session, times ascending.
    /// A session that lives then is put at the end again, so expired ones leave memory after
    /// twice their time at most; a look-up checks the exact time.
    due: VecDeque<(Instant, SessionId)>,
}

struct Held {
    session: OpenSession,
    /// When the channel was made: a later one of the same id is another.
    channel_created: UnixMicros,
    life: Life,
}

#[derive(Clone, Copy)]
enum Life {
    /// Nobody reads it; gone at `until`.
    Unopened { until: Instant },
    /// So many streams read it.
    Open { count: u32 },
}

impl Held {
    fn is_alive(&self, now: Instant) -> bool {
        match self.life {
            Life::Unopened { until } => now < until,
            Life::Open { .. } => true,
        }
    }
}

impl Default for Sessions {
    fn default() -> Self {
        Self::new(SESSIONS_MAX)
    }
}

impl Sessions {
    /// No sessions, room for `count_max`.
    #[must_use]
    pub fn new(count_max: usize) -> Self {
        Self {
            kept: Mutex::new(Kept {
                by_id: HashMap::new(),
                due: VecDeque::new(),
            }),
            count_max,
        }
    }

    /// Makes a session with a random id, for the channel that was made at `channel_created`.
    ///
    /// # Errors
    /// `SessionsFull` when there is no room.
    pub fn create(
        &self,
        entry: SessionEntry,
        channel_created: UnixMicros,
        now: Instant,
    ) -> Result<SessionId, SessionsFull> {
        let mut kept = self.kept();
        kept.sweep(now);
        if self.count_max <= kept.by_id.len() {
            return Err(SessionsFull);
        }
        let id = SessionId::random();
        let until = now + SESSION_UNOPENED_MAX;
        kept.due.push_back((until, id));
        let held = Held {
            session: OpenSession {
                entry: Arc::new(entry),
                ended: CancellationToken::new(),
            },
            channel_created,
            life: Life::Unopened { until },
        };
        kept.by_id.insert(id, held);
        Ok(id)
    }

    /// Opens one more stream of session `id`; `None` when it is unknown or expired, or when its
    /// channel is not the one that `created_of` tells the time of: nothing has changed then.
    /// Each success must be followed by one `close`.
    #[must_use]
    pub fn open(
        &self,
        id: SessionId,
        created_of: impl FnOnce(&ChannelId) -> Option<UnixMicros>,
        now: Instant,
    ) -> Option<OpenSession> {
        let mut kept = self.kept();
        kept.sweep(now);
        let held = kept.by_id.get_mut(&id)?;
        if !held.is_alive(now)
            || created_of(&held.session.entry.channel) != Some(held.channel_created)
        {
            return None;
        }
        let count = match held.life {
            Life::Unopened { .. } => 1,
            Life::Open { count } => count.saturating_add(1),
        };
        held.life = Life::Open { count };
        Some(held.session.clone())
    }

    /// Ends all sessions that `credential` asked for, open ones too; looks at all there are.
    pub fn revoke(&self, credential: &CredentialId) {
        self.kept().by_id.retain(|_, held| {
            let is_kept = held.session.entry.credential.as_ref() != Some(credential);
            if !is_kept {
                held.session.ended.cancel();
            }
            is_kept
        });
    }

    /// A stream of session `id` ended.
    pub fn close(&self, id: SessionId, now: Instant) {
        let mut kept = self.kept();
        let Some(held) = kept.by_id.get_mut(&id) else {
            return;
        };
        if let Life::Open { count } = held.life {
            held.life = match count {
                0 | 1 => Life::Unopened {
                    until: now + SESSION_UNOPENED_MAX,
                },
                more => Life::Open { count: more - 1 },
            };
        }
    }

    /// How many sessions are kept, expired ones that were not yet swept among them.
    #[must_use]
    pub fn count(&self) -> usize {
        self.kept().by_id.len()
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        // No code that can panic runs under the lock.
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    fn sweep(&mut self, now: Instant) {
        while let Some(&(due, id)) = self.due.front() {
            if now < due {
                return;
            }
            self.due.pop_front();
            if self.by_id.get(&id).is_some_and(|held| held.is_alive(now)) {
                self.due.push_back((now + SESSION_UNOPENED_MAX, id));
            } else {
                self.by_id.remove(&id);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry() -> SessionEntry {
        SessionEntry {
            channel: ChannelId::from(1),
            lines: 100,
            is_tail: true,
            source: None,
            ps: None,
            filter: None,
            credential: Some(CredentialId::new("c").unwrap()),
        }
    }

    const MADE: UnixMicros = UnixMicros::new(7);

    fn made(_: &ChannelId) -> Option<UnixMicros> {
        Some(MADE)
    }

    fn seconds(count: u64) -> Duration {
        Duration::from_secs(count)
    }

    #[test]
    fn an_unopened_session_expires_exactly() {
        let start = crate::clock::now();
        for (after, is_there) in [(0, true), (299, true), (300, false), (9_999, false)] {
            let sessions = Sessions::new(2);
            let id = sessions.create(entry(), MADE, start).unwrap();
            let opened = sessions.open(id, made, start + seconds(after));
            assert_eq!(opened.is_some(), is_there, "after {after} s");
        }
    }

    #[test]
    fn an_open_stream_keeps_it_alive_and_five_minutes_more() {
        let start = crate::clock::now();
        let sessions = Sessions::new(2);
        let id = sessions.create(entry(), MADE, start).unwrap();
        assert!(sessions.open(id, made, start).is_some());
        assert!(sessions.open(id, made, start + seconds(5_000)).is_some());
        sessions.close(id, start + seconds(5_001));
        assert!(sessions.open(id, made, start + seconds(9_000)).is_some());
        sessions.close(id, start + seconds(9_001));
        sessions.close(id, start + seconds(9_002));
        assert!(sessions.open(id, made, start + seconds(9_301)).is_some());
        sessions.close(id, start + seconds(9_302));
        assert!(sessions.open(id, made, start + seconds(9_602)).is_none());
        assert!(sessions.open(SessionId::random(), made, start).is_none());
    }

    #[test]
    fn a_session_is_for_one_channel_and_not_for_the_next_of_its_id() {
        let start = crate::clock::now();
        let sessions = Sessions::new(2);
        let id = sessions.create(entry(), MADE, start).unwrap();
        let later = |_: &ChannelId| Some(UnixMicros::new(8));
        assert!(sessions.open(id, later, start + seconds(100)).is_none());
        assert!(sessions.open(id, |_| None, start + seconds(299)).is_none());
        // Neither has prolonged it.
        assert!(sessions.open(id, made, start + seconds(300)).is_none());
    }

    #[test]
    fn a_session_ends_with_its_credential() {
        let start = crate::clock::now();
        let sessions = Sessions::new(3);
        let other = SessionEntry {
            credential: None,
            ..entry()
        };
        let [open, unopened] = [(); 2].map(|()| sessions.create(entry(), MADE, start).unwrap());
        let other = sessions.create(other, MADE, start).unwrap();
        let [open_session, other_session] =
            [open, other].map(|id| sessions.open(id, made, start).unwrap());
        sessions.revoke(&CredentialId::new("c").unwrap());
        assert!(open_session.ended.is_cancelled());
        assert!(!other_session.ended.is_cancelled());
        for (id, is_there) in [(open, false), (unopened, false), (other, true)] {
            sessions.close(id, start);
            assert_eq!(sessions.open(id, made, start).is_some(), is_there);
        }
    }

    #[test]
    fn room_is_bounded_and_freed() {
        let start = crate::clock::now();
        let sessions = Sessions::new(2);
        sessions.create(entry(), MADE, start).unwrap();
        sessions.create(entry(), MADE, start).unwrap();
        assert_eq!(sessions.create(entry(), MADE, start), Err(SessionsFull));
        sessions
            .create(entry(), MADE, start + seconds(300))
            .unwrap();
        assert_eq!(sessions.count(), 1);
    }

    impl std::fmt::Debug for SessionId {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("SessionId")
        }
    }
}
