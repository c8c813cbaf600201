//! The one loop of every drain: wait, fill, send, settle.
//!
//! ```text
//!   wait ──► fill ──► send ──► confirmed ──────────────────► wait
//!     ▲                │ ├───► refused: lost, told ────────► wait
//!     │                │ └───► retry: back off ──► send (the same bytes)
//!     │                │               └─ overwritten: lost, told ─► wait
//!     └── entry changed: the batch is taken apart and read again
//! ```
//! It ends when the drain is removed, its channel closed or the node stopped, and after a flush when
//! nothing is left to send. Only these and a changed entry cut a send in half.

use std::iter;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::channel::{Channel, Progress};
use crate::clock;
use crate::egress::drain::DrainSettings;
use crate::egress::drain::attempt::attempt;
use crate::egress::drain::flush::Flush;
use crate::egress::drain::health::{Board, Phase};
use crate::egress::drain::ledger::{Loss, LossReason};
use crate::egress::drain::machine::{Filled, Machine, notice};
use crate::egress::drain::notice::{Cause, Log, Notices};
use crate::egress::drain::orders::{Order, Orders};
use crate::egress::drain::plan::Plan;
use crate::egress::drain::sink::{Around, Sink};
use crate::egress::drain::wait::{Next, Waits, Woken, until};
use crate::limits::{BATCH_BYTES_LIMIT, REQUEST_INTERVAL_MIN};
use crate::net::backoff;
use crate::net::outcome::{Failure, Outcome};
use crate::net::trust::Trusts;
use crate::shutdown::Shutdown;
use crate::syslog::encode;
use crate::telemetry::Telemetry;

/// What all drains share.
pub(crate) struct Common {
    pub(crate) settings: ArcSwap<DrainSettings>,
    pub(crate) telemetry: Telemetry,
    pub(crate) trusts: Trusts,
    /// The drains' own group: asked to stop when the grace period is over.
    pub(crate) shutdown: Shutdown,
    /// Cancelled when drains are to send what is there and end.
    pub(crate) flushing: CancellationToken,
}

/// One drain at work.
pub(crate) struct Task {
    pub(crate) shared: Arc<Shared>,
    pub(crate) plan: Arc<Plan>,
    pub(crate) machine: Machine,
    sink: Sink,
    pub(crate) notices: Notices,
    pub(crate) log: Log,
    flush: Flush,
    /// From then on a request may begin with less than a full batch.
    next_request: Option<Instant>,
}

/// What a task shares with the supervisor.
pub(crate) struct Shared {
    pub(crate) common: Arc<Common>,
    pub(crate) channel: Arc<Channel>,
    pub(crate) progress: Arc<Progress>,
    pub(crate) board: Board,
    pub(crate) orders: Orders,
}

impl Task {
    /// A drain that begins at `machine`'s place.
    pub(crate) fn new(shared: Arc<Shared>, machine: Machine) -> Self {
        let plan = shared.orders.take_plan();
        Self {
            sink: Sink::new(&plan),
            shared,
            plan,
            machine,
            notices: Notices::default(),
            log: Log::default(),
            flush: Flush::Unmet,
            next_request: None,
        }
    }

    /// Runs until the drain is removed, the channel closed or the node stopped.
    #[expect(
        clippy::manual_async_fn,
        reason = "that would keep a place for what it is given and another for its own"
    )]
    pub(crate) fn run(mut self) -> impl Future<Output = ()> + Send {
        async move { self.work().await }
    }

    async fn work(&mut self) {
        loop {
            let next = if self.machine.batch().is_some() {
                // Boxed: a drain at rest does not pay for the state of a send.
                Box::pin(self.deliver()).await
            } else {
                self.fill_or_wait().await
            };
            if next == Next::End {
                break;
            }
        }
        // After a flush; whoever has to end at once does.
        tokio::select! {
            biased;
            () = ended(&self.shared) => {}
            () = self.shared.orders.over() => {}
            () = Box::pin(self.sink.finish()) => {}
        }
        self.shared.board.show(Phase::Idle);
        self.shared.channel.remove_progress(&self.shared.progress);
    }

    async fn fill_or_wait(&mut self) -> Next {
        let settings = self.shared.common.settings.load_full();
        let bytes_max = self
            .plan
            .options
            .batch_bytes_max
            .unwrap_or(settings.batch_bytes_max)
            .min(BATCH_BYTES_LIMIT);
        if self.is_early(bytes_max) {
            return self.wait(&settings, Waits::ForRequest).await;
        }
        let now = clock::wall();
        match self
            .machine
            .fill(&self.shared.channel, &self.plan, bytes_max, now)
        {
            Filled::Batch => return Next::Go,
            Filled::Passed { lapped } => {
                self.count_lapped(lapped, lapped.count());
                self.publish();
                self.tell_loss(&settings);
                tokio::task::yield_now().await;
                return self.heed().await;
            }
            Filled::Nothing => {}
        }
        if self.shared.common.flushing.is_cancelled() {
            return Next::End;
        }
        self.machine.rest();
        self.shared.board.show(Phase::Idle);
        self.wait(&settings, Waits::ForMessages).await
    }

    /// Whether something waits that would not fill a batch, and the next request is not due yet. It
    /// is asked once: what fills a batch meanwhile waits, too, since looking at each append would
    /// cost the wake-ups that the pause saves.
    fn is_early(&self, bytes_max: usize) -> bool {
        let Some(due) = self.next_request else {
            return false;
        };
        let (messages, bytes) = self.shared.channel.lag(self.machine.cursor());
        0 < messages
            && usize::try_from(bytes).is_ok_and(|bytes| bytes < bytes_max)
            && clock::now() < due
            && !self.shared.common.flushing.is_cancelled()
    }

    /// Follows an order if there is one. Who waits for something hears of it there; a drain that
    /// passes over all that comes to a busy channel waits for nothing.
    async fn heed(&mut self) -> Next {
        tokio::select! {
            biased;
            () = ended(&self.shared) => return Next::End,
            () = self.shared.orders.over() => return Next::End,
            _order = self.shared.orders.next() => self.follow_plan().await,
            () = std::future::ready(()) => {}
        }
        Next::Go
    }

    /// Takes over a changed entry; the destination gets what it was sent before.
    async fn follow_plan(&mut self) {
        Box::pin(self.sink.finish()).await;
        self.replan();
    }

    /// Waits for what there is to do next, with an eye on the connection.
    async fn wait(&mut self, settings: &DrainSettings, waits: Waits) -> Next {
        let notice_at = self.notices.due(clock::now(), settings.notice_interval);
        let is_for_messages = waits == Waits::ForMessages;
        let request_at = self.next_request.filter(|_| !is_for_messages);
        let wake_at = request_at.into_iter().chain(notice_at).min();
        let woken = tokio::select! {
            biased;
            () = ended(&self.shared) => Woken::End,
            order = self.shared.orders.next() => order.into(),
            () = self.shared.common.flushing.cancelled() => Woken::Go,
            () = self.shared.channel.readable(self.machine.cursor()), if is_for_messages => {
                Woken::Go
            }
            () = self.sink.expired(settings) => Woken::Go,
            () = until(wake_at) => Woken::Due,
        };
        match woken {
            Woken::End => return Next::End,
            Woken::Replan => self.follow_plan().await,
            Woken::Due => self.tell_loss(settings),
            Woken::Go | Woken::Flush => {}
        }
        Next::Go
    }

    /// Makes one try to send the batch, and settles or backs off as it ends.
    async fn deliver(&mut self) -> Next {
        let settings = self.shared.common.settings.load_full();
        if let Some(batch) = self.machine.batch_mut()
            && let Err(error) = batch.compress(self.plan.compression()).await
        {
            // The body is as it was, and its header says so: it goes out plain.
            warn!(drain_id = %self.plan.id, %error, "drain cannot compress");
        }
        let Some(batch) = self.machine.batch() else {
            return Next::Go;
        };
        if self.plan.is_http() {
            self.next_request = Some(clock::now() + REQUEST_INTERVAL_MIN);
        }
        let around = Around {
            plan: &self.plan,
            settings: &settings,
            trusts: &self.shared.common.trusts,
        };
        let try_once = attempt(
            &mut self.sink,
            batch,
            around,
            &self.shared.board,
            &self.shared.common,
        );
        let outcome = tokio::select! {
            biased;
            () = ended(&self.shared) => return Next::End,
            order = self.shared.orders.next() => match order {
                Order::End => return Next::End,
                Order::Replan => {
                    self.replan();
                    return Next::Go;
                }
            },
            outcome = try_once => outcome,
        };
        match outcome {
            Outcome::Confirmed { status } => self.confirm(status),
            Outcome::Partly {
                status,
                refused,
                said,
            } => self.confirm_partly(status, refused, &said, &settings),
            Outcome::Refused { status, said } => self.refuse(status, &said, &settings),
            Outcome::Stale => return self.back_off(Failure::Closed, None, &settings).await,
            Outcome::Retry {
                failure,
                retry_after,
            } => return self.back_off(failure, retry_after, &settings).await,
        }
        self.tell_loss(&settings);
        Next::Go
    }

    fn confirm(&mut self, status: Option<u16>) {
        if let Some(batch) = self.machine.batch() {
            let telemetry = &self.shared.common.telemetry;
            telemetry.drain_delivered.increment(batch.counts.messages);
        }
        self.machine.confirm();
        self.shared.progress.set_stalled(false);
        // Before the numbers: who sees a message delivered sees the answer that it got, too.
        let has_recovered = self.shared.board.succeed(status, clock::wall());
        self.publish();
        if has_recovered && self.log.is_recovery_told() {
            info!(drain_id = %self.plan.id, url = %self.plan.url.redacted(), "drain delivers again");
        }
    }

    /// Waits until the next try is due, or something makes it due at once.
    async fn back_off(
        &mut self,
        failure: Failure,
        retry_after: Option<Duration>,
        settings: &DrainSettings,
    ) -> Next {
        self.sink.close();
        self.shared.progress.set_stalled(true);
        let attempts = self.fail(&failure, settings);
        if self.shared.common.flushing.is_cancelled() {
            match self.flush {
                Flush::LastTry => return Next::End,
                Flush::Patient if Flush::is_given_up(attempts, &failure) => return Next::End,
                Flush::Patient => {}
                Flush::Unmet => self.flush = Flush::met_after(attempts),
            }
            if self.flush == Flush::LastTry {
                return Next::Go;
            }
        }
        let delay = backoff::delay(
            attempts,
            settings.retry_delay_min,
            settings.retry_delay_max,
            // Without chance the longest wait is taken: only the spread is lost.
            getrandom::u64().unwrap_or(u64::MAX),
        )
        .max(retry_after.unwrap_or_default());
        self.shared
            .board
            .set_next_try(Some(clock::wall().plus(delay)));
        let next = self
            .wait_for_try(clock::now() + delay, attempts, settings)
            .await;
        self.shared.board.set_next_try(None);
        if self.machine.is_overwritten(self.shared.channel.first_seq()) {
            self.give_up();
        }
        next
    }

    async fn wait_for_try(
        &mut self,
        due: Instant,
        attempts: u64,
        settings: &DrainSettings,
    ) -> Next {
        loop {
            let is_flush_new = self.flush == Flush::Unmet;
            let notice_at = self.notices.due(clock::now(), settings.notice_interval);
            let woken = tokio::select! {
                biased;
                () = ended(&self.shared) => Woken::End,
                order = self.shared.orders.next() => order.into(),
                () = self.shared.common.flushing.cancelled(), if is_flush_new => Woken::Flush,
                () = sleep_until(due) => Woken::Go,
                () = until(notice_at) => Woken::Due,
            };
            match woken {
                Woken::End => return Next::End,
                Woken::Replan => self.replan(),
                Woken::Flush => self.flush = Flush::met_after(attempts),
                Woken::Go => {}
                Woken::Due => {
                    self.tell_loss(settings);
                    continue;
                }
            }
            return Next::Go;
        }
    }

    /// Counts and tells a failed try; says how many in a row that makes.
    fn fail(&mut self, failure: &Failure, settings: &DrainSettings) -> u64 {
        let attempts = self.shared.board.fail(failure, clock::wall());
        let told = self
            .log
            .trouble(attempts == 1, clock::now(), settings.notice_interval);
        if let Some(left_out) = told {
            warn!(
                drain_id = %self.plan.id, url = %self.plan.url.redacted(), error = %failure,
                left_out, "drain cannot deliver"
            );
        }
        if let Failure::Certificate(fault) = failure
            && self
                .notices
                .take_certificate(clock::now(), settings.notice_interval)
        {
            self.tell(&encode::l14_text(fault, &self.plan.url.redacted()));
        }
        attempts
    }

    /// The channel has let the whole batch go before the destination took it.
    fn give_up(&mut self) {
        let messages = self
            .machine
            .batch()
            .map_or(0, |batch| batch.counts.messages);
        let told = self.machine.lose(LossReason::Lapped, clock::wall());
        self.count_lapped(told, messages);
        self.publish();
    }

    fn count_lapped(&mut self, told: Loss, messages: u64) {
        self.shared
            .common
            .telemetry
            .drain_lapped
            .increment(messages);
        self.notices.add(told, Cause::Lapped);
    }

    /// Takes over a changed entry: the place stays, the batch is made anew, the connection goes.
    fn replan(&mut self) {
        self.plan = self.shared.orders.take_plan();
        self.machine.rewind();
        self.sink = Sink::new(&self.plan);
        self.shared.board.forget_trouble();
        self.shared.progress.set_stalled(false);
    }

    /// Shows what was settled, to the API and to writers that wait for room.
    pub(crate) fn publish(&self) {
        let confirmed = self.machine.confirmed();
        self.shared.board.settle(self.machine.totals(), *confirmed);
        self.shared
            .progress
            .confirm(&self.shared.channel, confirmed);
    }

    /// Tells the channel's readers what was lost, if it is time.
    fn tell_loss(&mut self, settings: &DrainSettings) {
        let told = self.notices.take(clock::now(), settings.notice_interval);
        if let Some((loss, reason)) = told {
            let (count, since) = (loss.count(), loss.since());
            let token = &self.plan.token;
            self.tell(&encode::l10_channel_text(token, count, since, &reason));
        }
    }

    fn tell(&self, text: &str) {
        let now = clock::wall();
        self.shared
            .channel
            .append(iter::once(notice(now, text)), now);
    }
}

/// Ends when the node stops or the channel is closed. Cancel safe.
async fn ended(shared: &Shared) {
    tokio::select! {
        () = shared.common.shutdown.requested() => {}
        () = shared.channel.closed() => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::channel::{Budget, ChannelFlags, Node, WhenFull};
    use crate::clock::UnixMicros;
    use crate::id::{ChannelId, DrainId, DrainToken};
    use crate::registry::{DrainEntry, DrainOptions, DrainUrl};

    const SECOND: Duration = Duration::from_secs(1);

    fn common() -> Arc<Common> {
        let settings = DrainSettings {
            batch_bytes_max: 1_000,
            connect_timeout: SECOND,
            request_timeout: SECOND,
            write_timeout: SECOND,
            retry_delay_min: SECOND,
            retry_delay_max: SECOND,
            http_idle_max: SECOND,
            syslog_idle_max: SECOND,
            connection_age_max: SECOND,
            deny_loopback: false,
            deny_link_local: false,
            deny_private: false,
            notice_interval: SECOND,
        };
        Arc::new(Common {
            settings: ArcSwap::from_pointee(settings),
            telemetry: Telemetry::new().unwrap(),
            trusts: Trusts::default(),
            shutdown: Shutdown::new(),
            flushing: CancellationToken::new(),
        })
    }

    /// A task that nobody runs yet, and its channel.
    fn task(url: &str, options: DrainOptions) -> (Task, Arc<Channel>) {
        let budget = Budget {
            channel_bytes_max: 1 << 20,
            node_bytes_max: 1 << 24,
            history_age_max: SECOND,
            wait_max: SECOND,
        };
        let common = common();
        let node = Node::new(budget, common.telemetry.clone());
        let id = ChannelId::new("app").unwrap();
        let channel = node.open(&id, ChannelFlags::default(), WhenFull::Lose);
        let machine = Machine::new(&channel, UnixMicros::default());
        let shared = Arc::new(Shared {
            common,
            channel: channel.clone(),
            progress: Arc::new(Progress::default()),
            board: Board::new(*machine.confirmed()),
            orders: Orders::new(plan(url, options)),
        });
        (Task::new(shared, machine), channel)
    }

    fn plan(url: &str, options: DrainOptions) -> Plan {
        let entry = DrainEntry {
            id: DrainId::new(1),
            token: DrainToken::random(),
            channel: ChannelId::new("app").unwrap(),
            url: Some(DrainUrl::parse(url).unwrap()),
            options: options.shared(),
            created: UnixMicros::default(),
        };
        Plan::new(&entry).unwrap().unwrap()
    }

    fn say(channel: &Channel, text: &str) {
        let now = clock::wall();
        channel.append(iter::once(notice(now, text)), now);
    }

    const NOBODY: &str = "http://127.0.0.1:9/";

    /// Drains are many and mostly at rest.
    #[test]
    fn a_drain_at_rest_is_small() {
        let (task, _channel) = task("http://host/", DrainOptions::default());
        let task_bytes = size_of_val(&task.run());
        assert!(task_bytes <= 1_320, "{task_bytes} bytes");
    }

    /// A drain that passes over all that comes never waits while its channel is busy.
    #[tokio::test]
    async fn a_drain_that_wants_nothing_hears_that_it_has_to_end() {
        let options = DrainOptions {
            source: Some("nobody".into()),
            ..DrainOptions::default()
        };
        let (task, channel) = task(NOBODY, options);
        let shared = Arc::clone(&task.shared);
        let running = Shutdown::new();
        running.spawn(task.run());
        let mut turns = 0;
        while 0 < running.running_count() {
            turns += 1;
            if turns == 100 {
                shared.orders.end();
            }
            assert!(turns < 1_000, "it goes on");
            say(&channel, "x");
            tokio::task::yield_now().await;
        }
        assert!(100 <= turns);
    }

    /// A drain whose next request is due in ten seconds, and one message.
    fn early() -> (Task, Arc<Channel>) {
        let (mut task, channel) = task(NOBODY, DrainOptions::default());
        task.next_request = Some(clock::now() + 10 * SECOND);
        say(&channel, "x");
        (task, channel)
    }

    #[tokio::test(start_paused = true)]
    async fn what_does_not_fill_a_batch_waits_until_a_request_is_due() {
        let began = clock::now();
        let (mut task, channel) = early();
        assert_eq!(task.fill_or_wait().await, Next::Go);
        assert_eq!(began.elapsed(), 10 * SECOND);
        assert!(task.machine.batch().is_none());
        say(&channel, "y");
        assert_eq!(task.fill_or_wait().await, Next::Go);
        assert_eq!(began.elapsed(), 10 * SECOND);
        assert_eq!(task.machine.batch().unwrap().counts.messages, 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_full_batch_and_a_flush_wait_for_nothing() {
        let began = clock::now();
        let (mut task, channel) = early();
        say(&channel, &"x".repeat(1_000));
        assert_eq!(task.fill_or_wait().await, Next::Go);
        assert!(task.machine.batch().is_some());

        let (mut task, _channel) = early();
        task.shared.common.flushing.cancel();
        assert_eq!(task.fill_or_wait().await, Next::Go);
        assert!(task.machine.batch().is_some());
        assert_eq!(began.elapsed(), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn orders_end_the_wait_for_a_request() {
        let began = clock::now();
        let (mut task, _channel) = early();
        let changed = plan("http://127.0.0.1:10/", DrainOptions::default());
        task.shared.orders.change(changed);
        assert_eq!(task.fill_or_wait().await, Next::Go);
        assert_eq!(task.plan.url.authority(), "127.0.0.1:10");
        task.shared.orders.end();
        assert_eq!(task.fill_or_wait().await, Next::End);
        assert_eq!(began.elapsed(), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn only_requests_are_held_apart() {
        for (url, is_request) in [(NOBODY, true), ("syslog://127.0.0.1:9", false)] {
            let (mut task, channel) = task(url, DrainOptions::default());
            say(&channel, "x");
            assert_eq!(task.fill_or_wait().await, Next::Go);
            assert_eq!(task.deliver().await, Next::Go);
            assert_eq!(task.next_request.is_some(), is_request, "{url}");
        }
    }
}
