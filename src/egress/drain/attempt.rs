//! One try to send a batch, as every kind of destination sees it.

use tokio::time::Instant;

use crate::clock;
use crate::egress::drain::batch::Batch;
use crate::egress::drain::health::{Board, Phase};
use crate::egress::drain::sink::{Around, Sink};
use crate::egress::drain::task::Common;
use crate::net::outcome::Outcome;

/// One try: a connection if there is none, then the batch. A kept connection that was dead already
/// is replaced once.
pub(crate) async fn attempt(
    sink: &mut Sink,
    batch: &Batch,
    around: Around<'_>,
    board: &Board,
    common: &Common,
) -> Outcome {
    sink.retire(around.settings).await;
    for _ in 0..2 {
        if !sink.is_connected() {
            board.show(Phase::Connecting);
            if let Err(failure) = sink.connect(around).await {
                return failure.into();
            }
        }
        board.show(Phase::Sending);
        let started = clock::now();
        let outcome = sink.send(batch, around).await;
        if matches!(outcome, Outcome::Stale) {
            continue;
        }
        record(batch, started, common);
        return outcome;
    }
    Outcome::Stale
}

#[expect(
    clippy::cast_precision_loss,
    reason = "histograms are rough; sizes are far below 2^52"
)]
fn record(batch: &Batch, started: Instant, common: &Common) {
    let telemetry = &common.telemetry;
    let seconds = clock::now()
        .saturating_duration_since(started)
        .as_secs_f64();
    telemetry.drain_request_seconds.record(seconds);
    telemetry.batch_messages.record(batch.frames as f64);
    telemetry.batch_bytes.record(batch.body.len() as f64);
}
