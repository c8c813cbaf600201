//! The body of a `POST /logs`: all of it is delivered, or nothing.
//!
//! Small bodies are parsed once. Great ones are gone through twice, in pieces: what a million
//! little messages would take as gathered messages is many times the body.

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
    fn add(&mut self, gather: &Gather<'_>) {
        for (channel, bytes) in gather.needs() {
            let address = Arc::as_ptr(channel).addr();
            let none = || (Arc::clone(channel), 0);
            self.needs.entry(address).or_insert_with(none).1 += bytes;
        }
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

    /// Room in the channels that wait; to be kept until the messages were delivered.
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

impl<'b> Body<'b> {
    /// Counts the frames, all being well-formed.
    ///
    /// An incomplete last frame is a fault like any other. Logplex drops it silently with 204
    /// when no count was sent; but a sender that is told so never sends it again.
    pub(crate) fn frame_count(&self) -> Result<u64, Refusal> {
        BodyFrames::new(self.bytes, self.frame_bytes_max)
            .try_fold(0, |count, frame| frame.map(|_| count + 1))
            .map_err(|_| Refusal::Malformed)
    }

    /// Whether it is well-formed but for its last frame, which ends early.
    pub(crate) fn is_cut_off(&self) -> bool {
        let fault = BodyFrames::new(self.bytes, self.frame_bytes_max).find_map(Result::err);
        matches!(fault, Some(BodyError::Incomplete { .. }))
    }

    /// Delivers everything, once `commit` has agreed as the last one that is asked; false when it
    /// did not.
    pub(crate) fn deliver(
        &self,
        tally: &mut Tally,
        commit: impl FnOnce() -> bool,
    ) -> Result<bool, Refusal> {
        // Counted apart, so that a first pass over the body leaves no trace.
        let mut found = *tally;
        let mut claims = Claims::default();
        let mut gather = Gather::new();
        let mut is_whole = true;
        self.go_through(&mut gather, &mut found, |gather, _| {
            claims.add(gather);
            gather.clear();
            is_whole = false;
        });
        claims.add(&gather);
        self.check(&claims.all, tally)?;
        let _reserved = claims.reserve()?;
        let claims = claims.all;
        self.take_limits(&claims)?;
        if !commit() {
            self.refund(&claims);
            return Ok(false);
        }
        if is_whole {
            *tally = found;
            gather.deliver(self.table, Limiting::Taken, self.time, tally);
        } else {
            gather.clear();
            self.go_through(&mut gather, tally, |gather, tally| {
                gather.deliver(self.table, Limiting::Taken, self.time, tally);
            });
            gather.deliver(self.table, Limiting::Taken, self.time, tally);
        }
        Ok(true)
    }

    /// Gathers all messages; `when_full` has to empty the gather.
    fn go_through(
        &self,
        gather: &mut Gather<'b>,
        tally: &mut Tally,
        mut when_full: impl FnMut(&mut Gather<'b>, &mut Tally),
    ) {
        let frames = BodyFrames::new(self.bytes, self.frame_bytes_max);
        // Every frame is well-formed: `frame_count` has said so.
        for frame in frames.flatten() {
            tally.frames += 1;
            tally.truncated += u64::from(frame.is_truncated);
            self.gather_frame(gather, tally, frame.frame, frame.is_truncated);
            if gather.is_full() {
                when_full(gather, tally);
            }
        }
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
                let message = message_of_channel(frame, token, source, &self.time);
                let message = Message {
                    is_truncated,
                    ..message
                };
                gather.push(target, message, frame.len());
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

    fn check(&self, claims: &[Claim], tally: &mut Tally) -> Result<(), Refusal> {
        if let Sender::Credential(grant) = self.sender {
            tally.forbidden = claims
                .iter()
                .filter(|claim| !grant.may_write(claim.target.channel().id()))
                .map(|claim| claim.demand.messages)
                .sum();
            if 0 < tally.forbidden {
                return Err(Refusal::Forbidden);
            }
        }
        let firehose = self.table.firehose();
        let is_pressed = |claim: &Claim| {
            let copied_by = firehose.as_ref().filter(|all| all.takes(&claim.target));
            claim.target.channel().is_pressed() || copied_by.is_some_and(|all| all.is_pressed())
        };
        if claims.iter().any(is_pressed) {
            return Err(Refusal::Pressed);
        }
        Ok(())
    }

    /// Takes what the rate limits allow, for every token or for none.
    fn take_limits(&self, claims: &[Claim]) -> Result<(), Refusal> {
        let Some(limits) = self.table.limits() else {
            return Ok(());
        };
        for (index, claim) in claims.iter().enumerate() {
            let taken = claim
                .target
                .limiter()
                .take(&limits, claim.demand, self.time.now);
            if let Err(wait) = taken {
                self.refund(claims.get(..index).unwrap_or_default());
                return Err(Refusal::RateLimited(wait));
            }
        }
        Ok(())
    }

    fn refund(&self, claims: &[Claim]) {
        if let Some(limits) = self.table.limits() {
            for claim in claims {
                let mut limiter = claim.target.limiter();
                limiter.refund(&limits, claim.demand, self.time.now);
            }
        }
    }
}
