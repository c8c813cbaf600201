//! What a destination will never take: counted, shown and told.

use tracing::warn;

use crate::clock;
use crate::egress::drain::DrainSettings;
use crate::egress::drain::ledger::{Loss, LossReason};
use crate::egress::drain::notice::Cause;
use crate::egress::drain::task::Task;

impl Task {
    /// The destination took the batch but for `refused` of its records.
    pub(crate) fn confirm_partly(
        &mut self,
        status: u16,
        refused: u64,
        said: &str,
        settings: &DrainSettings,
    ) {
        let Some(batch) = self.machine.batch() else {
            return;
        };
        let (messages, frames) = (batch.counts.messages, batch.frames());
        let mut why = format!("the destination rejected {refused} of {frames} records");
        self.plan.quote(said, &mut why);
        if frames <= refused {
            self.lose(status, why, settings);
            return;
        }
        let refused = refused.min(messages);
        let telemetry = &self.shared.common.telemetry;
        telemetry.drain_delivered.increment(messages - refused);
        telemetry.drain_refused.increment(refused);
        let told = self.machine.confirm_partly(refused, clock::wall());
        self.tell_refusal(status, why, told, settings);
    }

    /// The destination took nothing of the batch and never will.
    pub(crate) fn refuse(&mut self, status: u16, said: &str, settings: &DrainSettings) {
        let mut why = format!("the destination refused the batch with {status}");
        self.plan.quote(said, &mut why);
        self.lose(status, why, settings);
    }

    fn lose(&mut self, status: u16, why: String, settings: &DrainSettings) {
        if let Some(batch) = self.machine.batch() {
            let telemetry = &self.shared.common.telemetry;
            telemetry.drain_refused.increment(batch.counts.messages);
        }
        let told = self.machine.lose(LossReason::Refused, clock::wall());
        self.tell_refusal(status, why, told, settings);
    }

    fn tell_refusal(&mut self, status: u16, why: String, told: Loss, settings: &DrainSettings) {
        self.notices.add(told, Cause::Refused(status));
        self.shared.progress.set_stalled(false);
        let is_new = self.shared.board.refuse(status, why, clock::wall());
        self.publish();
        let told = self
            .log
            .trouble(is_new, clock::now(), settings.notice_interval);
        if let Some(left_out) = told {
            warn!(
                drain_id = %self.plan.id, url = %self.plan.url.redacted(), status, left_out,
                "drain is refused"
            );
        }
    }
}
