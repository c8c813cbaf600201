//! All drains of the node: each has one task, started, changed and ended here.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio_util::sync::CancellationToken;
use tracing::{error, warn};

use crate::channel::{Channel, Progress};
use crate::clock;
use crate::clock::UnixMicros;
use crate::egress::drain::health::Board;
use crate::egress::drain::machine::Machine;
use crate::egress::drain::orders::Orders;
use crate::egress::drain::plan::Plan;
use crate::egress::drain::task::{Common, Shared, Task};
use crate::egress::drain::{DrainSettings, DrainStatus};
use crate::id::DrainId;
use crate::net::trust::Trusts;
use crate::registry::DrainEntry;
use crate::shutdown::Shutdown;
use crate::telemetry::Telemetry;

/// All drains of the node.
pub struct Drains {
    common: Arc<Common>,
    running: Mutex<HashMap<DrainId, Arc<Shared>>>,
}

impl Drains {
    /// No drains yet. `shutdown` is a group of the drains' own: it ends with `flush`.
    #[must_use]
    pub fn new(settings: DrainSettings, telemetry: Telemetry, shutdown: Shutdown) -> Arc<Self> {
        Arc::new(Self {
            common: Arc::new(Common {
                settings: ArcSwap::from_pointee(settings),
                telemetry,
                trusts: Trusts::default(),
                shutdown,
                flushing: CancellationToken::new(),
            }),
            running: Mutex::default(),
        })
    }

    /// Takes new settings: each drain uses them from its next step on.
    pub fn set_settings(&self, settings: DrainSettings) {
        self.common.settings.store(Arc::new(settings));
    }

    /// Makes what runs agree with `entry`: starts the drain, changes it in place, ends it when it is
    /// only reserved, or does nothing when all is as it should be. A new drain starts at the
    /// channel's end; a changed one keeps its place and what it has to report. One whose filter
    /// cannot be read does not run, and that is logged. Needs a runtime.
    pub fn converge(&self, entry: &DrainEntry, channel: &Arc<Channel>) {
        // Read before the lock: it takes a while.
        let plan = Plan::new(entry).unwrap_or_else(|error| {
            error!(drain_id = %entry.id, channel_id = %entry.channel, filter = %error,
                "drain does not run until its filter is changed: this version cannot read it");
            None
        });
        let mut running = self.lock();
        let Some(plan) = plan else {
            if let Some(ended) = running.remove(&entry.id) {
                end(&ended);
            }
            return;
        };
        match running.get(&entry.id) {
            Some(old) if Arc::ptr_eq(&old.channel, channel) => {
                if !old.orders.plan().agrees(entry) {
                    old.orders.change(plan);
                }
            }
            old => {
                if let Some(old) = old {
                    end(old);
                }
                running.insert(entry.id, self.start(plan, channel));
            }
        }
    }

    /// Ends a drain at once and forgets it.
    pub fn remove(&self, id: DrainId) {
        if let Some(ended) = self.lock().remove(&id) {
            end(&ended);
        }
    }

    /// How a drain is; `None` when it does not run.
    #[must_use]
    pub fn status(&self, id: DrainId) -> Option<DrainStatus> {
        let drain = self.lock().get(&id)?.clone();
        Some(drain.board.status(&drain.channel))
    }

    /// When the certificate ends that a drain's destination last showed, if it has shown one.
    #[must_use]
    pub fn not_after(&self, id: DrainId) -> Option<UnixMicros> {
        let drain = self.lock().get(&id)?.clone();
        drain.orders.plan().not_after.time()
    }

    /// Sets the gauges: drains by state, and how far behind all are together.
    #[expect(
        clippy::cast_precision_loss,
        reason = "gauges are floating-point numbers"
    )]
    pub fn measure(&self) {
        let mut counts = [0_u32; 5];
        let (mut lag_messages, mut lag_bytes) = (0_u64, 0_u64);
        for (_, drain) in self.lock().iter() {
            let (state, (messages, bytes)) = drain.board.measure(&drain.channel);
            if let Some(count) = counts.get_mut(state.index()) {
                *count += 1;
            }
            lag_messages = lag_messages.saturating_add(messages);
            lag_bytes = lag_bytes.saturating_add(bytes);
        }
        let telemetry = &self.common.telemetry;
        for (gauge, count) in telemetry.drains_by_state.iter().zip(counts) {
            gauge.set(f64::from(count));
        }
        telemetry.drain_lag_messages.set(lag_messages as f64);
        telemetry.drain_lag_bytes.set(lag_bytes as f64);
    }

    /// Lets every drain send what is there, for at most `grace`, then ends them all. A drain that
    /// was failing already gets one more try, and one whose destination refuses connections ends
    /// with the try that makes it failing. What is left is logged.
    pub async fn flush(&self, grace: Duration) {
        self.common.flushing.cancel();
        self.common.shutdown.finished(grace).await;
        self.common.shutdown.request();
        if !self.common.shutdown.finished(END_MAX).await {
            warn!("drains did not end in time");
        }
        for (drain_id, drain) in self.lock().iter() {
            let (_, (undelivered, _)) = drain.board.measure(&drain.channel);
            if 0 < undelivered {
                warn!(%drain_id, undelivered, "drain ends with messages undelivered");
            }
        }
        self.measure();
    }

    fn start(&self, plan: Plan, channel: &Arc<Channel>) -> Arc<Shared> {
        let machine = Machine::new(channel, clock::wall());
        let board = Board::new(*machine.confirmed());
        let progress = Arc::new(Progress::default());
        progress.confirm(channel, machine.confirmed());
        channel.add_progress(progress.clone());
        let shared = Arc::new(Shared {
            common: self.common.clone(),
            channel: channel.clone(),
            progress,
            board,
            orders: Orders::new(plan),
        });
        let task = Task::new(shared.clone(), machine);
        self.common.shutdown.spawn(task.run());
        shared
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<DrainId, Arc<Shared>>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn end(drain: &Shared) {
    drain.orders.end();
    drain.channel.remove_progress(&drain.progress);
}

/// How long tasks may take to notice that they have to end.
const END_MAX: Duration = Duration::from_secs(1);
