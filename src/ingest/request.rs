//! The body of a `POST /logs`: all of it is delivered, or nothing.
//!
//! Small bodies are gone through once. Great ones are twice, in pieces: what a million little
//! messages would take as gathered messages is many times the body.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use crate::channel::{Channel, NoRoom, Reservation};
use crate::ingest::gather::Gather;
use crate::ingest::gather::Limiting;
use crate::ingest::gather::ReadTime;
use crate::ingest::intake::Tally;
use crate::ingest::intake::message_of_channel;
use crate::ingest::intake::message_with_token;
use crate::registry::Grant;
use crate::route::RouteTable;
use crate::route::Target;
use crate::route::limit::Demand;
use crate::syslog::frame::BodyError;
use crate::syslog::frame::BodyFrames;
use crate::syslog::message::Message;
use crate::syslog::parse::{may_hide, whole_header};

/// Whose request it is, checked.
pub(crate) enum Sender {
    /// A token's: everything belongs to its channel.
    Token {
        /// The token's bytes.
        token: Box<[u8]>,
        /// Where it goes.
        target: Arc<Target>,
    },
    /// A credential's: each message has its own token.
    Credential(Grant),
}

impl Sender {
    /// What tells senders apart, for de-duplication.
    pub(crate) fn identity(&self) -> &[u8] {
        match self {
            Self::Token { token, .. } => token,
            Self::Credential(grant) => grant.id.as_str().as_bytes(),
        }
    }
}

/// Why a body was refused as a whole.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Refusal {
    /// It is no row of octet-counted frames.
    Malformed,
    /// It holds another number of frames than was said.
    CountMismatch,
    /// Messages of it are for a channel that the credential may not write to.
    Forbidden,
    /// A token is over its rate limit for so long.
    RateLimited(Duration),
    /// A channel is full and asks its writers to wait.
    Pressed,
    /// The messages for a channel that waits are more than it holds.
    TooGreat,
}

/// A body and how it is to be read.
pub(crate) struct Body<'b> {
    pub(crate) bytes: &'b [u8],
    pub(crate) sender: &'b Sender,
    pub(crate) table: &'b RouteTable,
    pub(crate) frame_bytes_max: usize,
    pub(crate) time: ReadTime,
}

/// What all messages of a body ask of one token.
struct Claim {
    target: Arc<Target>,
    demand: Demand,
}

/// The claims of a body, and where each target's is, by the target's address; and what its messages
/// take in channels that wait, by the channel's. The claims keep targets and channels alive, so that
/// no address is used again meanwhile.
#[derive(Default)]
struct Claims {
    all: Vec<Claim>,
    places: HashMap<usize, usize>,
    needs: HashMap<usize, (Arc<Channel>, usize)>,
}

impl Claims {
    fn add_needs<'c>(&mut self, needs: impl Iterator<Item = (&'c Arc<Channel>, usize)>) {
        for (channel, bytes) in needs {
            let address = Arc::as_ptr(channel).addr();
            let none = || (Arc::clone(channel), 0);
            self.needs.entry(address).or_insert_with(none).1 += bytes;
        }
    }

    fn add_parts(&mut self, gather: &Gather<'_>) {
        for part in gather.parts() {
            let address = Arc::as_ptr(&part.target).addr();
            let place = *self.places.entry(address).or_insert(self.all.len());
            match self.all.get_mut(place) {
                Some(claim) => {
                    claim.demand.messages += part.demand.messages;
                    claim.demand.bytes += part.demand.bytes;
                }
                None => self.all.push(Claim {
                    target: Arc::clone(&part.target),
                    demand: part.demand,
                }),
            }
        }
    }

    /// Room for all needs; to be kept until the messages were delivered.
    fn reserve(&self) -> Result<Vec<Reservation>, Refusal> {
        let needs = self.needs.values();
        let reserved = needs.filter_map(|(channel, bytes)| channel.reserve(*bytes).transpose());
        reserved
            .collect::<Result<_, _>>()
            .map_err(|room| match room {
                NoRoom::Now => Refusal::Pressed,
                NoRoom::Ever => Refusal::TooGreat,
            })
    }
}

/// A body gone through once and found well-formed; nothing of it is delivered yet.
pub(crate) struct Checked<'b> {
    body: &'b Body<'b>,
    /// All of its messages, unless it `is_great`: then only the last of them.
    gather: Gather<'b>,
    is_great: bool,
    claims: Claims,
    /// What was counted.
    found: Tally,
}

impl<'b> Body<'b> {
    /// Goes through all frames.
    ///
    /// An incomplete last frame is a fault like any other. Logplex drops it silently with 204
    /// when no count was sent; but a sender that is told so never sends it again.
    ///
    /// # Errors
    /// `BodyError`: of the first frame that is none.
    pub(crate) fn check(&'b self) -> Result<Checked<'b>, BodyError> {
        let mut gather = Gather::new();
        let mut found = Tally::default();
        let mut claims = Claims::default();
        let mut is_great = false;
        self.go_through(&mut gather, &mut found, |gather, _| {
            claims.add_parts(gather);
            claims.add_needs(gather.needs());
            gather.clear();
            is_great = true;
        })?;
        claims.add_parts(&gather);
        if is_great {
            claims.add_needs(gather.needs());
        }
        Ok(Checked {
            body: self,
            gather,
            is_great,
            claims,
            found,
        })
    }

    /// Gathers all messages; `when_full` has to empty the gather.
    fn go_through(
        &'b self,
        gather: &mut Gather<'b>,
        tally: &mut Tally,
        mut when_full: impl FnMut(&mut Gather<'b>, &mut Tally),
    ) -> Result<(), BodyError> {
        for frame in BodyFrames::new(self.bytes, self.frame_bytes_max) {
            let frame = frame?;
            tally.frames += 1;
            tally.truncated += u64::from(frame.is_truncated);
            self.gather_frame(gather, tally, frame.frame, frame.is_truncated);
            if gather.is_full() {
                when_full(gather, tally);
            }
        }
        Ok(())
    }

    fn gather_frame(
        &self,
        gather: &mut Gather<'b>,
        tally: &mut Tally,
        frame: &'b [u8],
        is_truncated: bool,
    ) {
        match self.sender {
            Sender::Token { token, target } => {
                let source = target.source().as_str().as_bytes();
                match whole_header(frame) {
                    // The token as APP-NAME, as Logplex's senders write it, and in no other field.
                    Some(message) if message.app_name == &**token && !may_hide(&message, token) => {
                        let message = Message {
                            is_truncated,
                            app_name: source,
                            ..message
                        };
                        gather.push(target, message, frame.len());
                    }
                    _ => self.gather_rare(gather, frame, (token, target), is_truncated),
                }
            }
            Sender::Credential(_) => {
                let Some(message) = message_with_token(frame, &self.time) else {
                    tally.no_token += 1;
                    return;
                };
                let Some(target) = self.table.route(message.app_name) else {
                    tally.unknown_token += 1;
                    return;
                };
                let message = Message {
                    is_truncated,
                    ..message
                };
                gather.push(&target, message, frame.len());
            }
        }
    }

    /// Takes a frame that has another APP-NAME, or no whole header.
    #[cold]
    fn gather_rare(
        &self,
        gather: &mut Gather<'b>,
        frame: &'b [u8],
        (token, target): (&[u8], &'b Arc<Target>),
        is_truncated: bool,
    ) {
        let source = target.source().as_str().as_bytes();
        let message = Message {
            is_truncated,
            ..message_of_channel(frame, token, source, &self.time)
        };
        gather.push(target, message, frame.len());
    }
}

impl Checked<'_> {
    /// How many frames there are.
    pub(crate) fn frame_count(&self) -> u64 {
        self.found.frames
    }

    /// Delivers everything, once `commit` has agreed as the last one that is asked; false when it
    /// did not.
    pub(crate) fn deliver(
        mut self,
        tally: &mut Tally,
        commit: impl FnOnce() -> bool,
    ) -> Result<bool, Refusal> {
        self.ask_channels(tally)?;
        let _reserved = self.reserve()?;
        self.take_limits()?;
        if !commit() {
            self.refund(&self.claims.all);
            return Ok(false);
        }
        let body = self.body;
        if self.is_great {
            self.gather.clear();
            let again = body.go_through(&mut self.gather, tally, |gather, tally| {
                gather.deliver(body.table, Limiting::Taken, body.time, tally);
            });
            debug_assert_eq!(again, Ok(()), "the same bytes were well-formed before");
        } else {
            *tally = self.found;
        }
        let Body { table, time, .. } = body;
        self.gather.deliver(table, Limiting::Taken, *time, tally);
        Ok(true)
    }

    /// Whether the sender may write to all channels, and all of them take something now.
    fn ask_channels(&self, tally: &mut Tally) -> Result<(), Refusal> {
        let claims = &self.claims.all;
        if let Sender::Credential(grant) = self.body.sender {
            tally.forbidden = claims
                .iter()
                .filter(|claim| !grant.may_write(claim.target.channel().id()))
                .map(|claim| claim.demand.messages)
                .sum();
            if 0 < tally.forbidden {
                return Err(Refusal::Forbidden);
            }
        }
        let firehose = self.body.table.firehose();
        let is_pressed = |claim: &Claim| {
            let copied_by = firehose.as_ref().filter(|all| all.takes(&claim.target));
            claim.target.channel().is_pressed() || copied_by.is_some_and(|all| all.is_pressed())
        };
        if claims.iter().any(is_pressed) {
            return Err(Refusal::Pressed);
        }
        Ok(())
    }

    /// Room in the channels that wait; to be kept until the messages were delivered.
    fn reserve(&mut self) -> Result<Vec<Reservation>, Refusal> {
        if !self.is_great {
            // Measuring each message costs something, and there is mostly room enough.
            self.claims.add_needs(self.gather.needs_at_most());
            if let Ok(reserved) = self.claims.reserve() {
                return Ok(reserved);
            }
            self.claims.needs.clear();
            self.claims.add_needs(self.gather.needs());
        }
        self.claims.reserve()
    }

    /// Takes what the rate limits allow, for every token or for none.
    fn take_limits(&self) -> Result<(), Refusal> {
        let Some(limits) = self.body.table.limits() else {
            return Ok(());
        };
        let claims = &self.claims.all;
        for (index, claim) in claims.iter().enumerate() {
            let taken = claim
                .target
                .limiter()
                .take(&limits, claim.demand, self.body.time.now);
            if let Err(wait) = taken {
                self.refund(claims.get(..index).unwrap_or_default());
                return Err(Refusal::RateLimited(wait));
            }
        }
        Ok(())
    }

    fn refund(&self, claims: &[Claim]) {
        if let Some(limits) = self.body.table.limits() {
            for claim in claims {
                let mut limiter = claim.target.limiter();
                limiter.refund(&limits, claim.demand, self.body.time.now);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::channel::{Budget, ChannelFlags, Node, Progress, WhenFull};
    use crate::clock;
    use crate::id::{ChannelId, Source, Token};
    use crate::route::Route;
    use crate::telemetry::Telemetry;

    /// A body is measured exactly before it is refused for want of room.
    #[test]
    fn what_just_fits_a_channel_that_waits_is_taken() {
        let budget = Budget {
            channel_bytes_max: CHANNEL_BYTES_MAX,
            node_bytes_max: 1 << 24,
            history_age_max: Duration::MAX,
            wait_max: Duration::from_secs(60),
        };
        let node = Node::new(budget, Telemetry::new().unwrap());
        let id = ChannelId::from(1);
        let channel = node.open(&id, ChannelFlags::default(), WhenFull::Wait);
        let progress = Arc::new(Progress::default());
        channel.add_progress(Arc::clone(&progress));
        progress.confirm(&channel, &channel.cursor_at_end());
        let token = Token::new("t.1").unwrap();
        let table = RouteTable::new();
        let route = Route {
            channel: Arc::clone(&channel),
            source: Source::new("app").unwrap(),
        };
        table.insert(&token, route);
        let sender = Sender::Token {
            token: Box::from(token.expose().as_bytes()),
            target: table.route(token.expose().as_bytes()).unwrap(),
        };
        let now = clock::now();
        let arrival = clock::wall();
        let deliver = |bytes: &[u8]| {
            let body = Body {
                bytes,
                sender: &sender,
                table: &table,
                frame_bytes_max: 1_000,
                time: ReadTime { arrival, now },
            };
            let checked = body.check().unwrap();
            let sum = |needs: &mut dyn Iterator<Item = (&Arc<Channel>, usize)>| {
                needs.map(|(_, bytes)| bytes).sum::<usize>()
            };
            let exact = sum(&mut checked.gather.needs());
            let at_most = sum(&mut checked.gather.needs_at_most());
            let outcome = checked.deliver(&mut Tally::default(), || true);
            (exact, at_most, outcome)
        };
        let frame = "44 <134>1 2026-11-20T12:00:00Z host t.1 - - - x";
        let (exact, _, outcome) = deliver(frame.as_bytes());
        assert_eq!(outcome, Ok(true));
        progress.confirm(&channel, &channel.cursor_at_end());
        let count = CHANNEL_BYTES_MAX / exact;
        let (exact, at_most, outcome) = deliver(frame.repeat(count).as_bytes());
        assert!(exact <= CHANNEL_BYTES_MAX && CHANNEL_BYTES_MAX < at_most);
        assert_eq!(outcome, Ok(true));
        progress.confirm(&channel, &channel.cursor_at_end());
        let (_, _, outcome) = deliver(frame.repeat(count + 1).as_bytes());
        assert_eq!(outcome, Err(Refusal::TooGreat));
    }

    const CHANNEL_BYTES_MAX: usize = 1 << 14;
}
