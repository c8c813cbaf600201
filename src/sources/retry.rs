//! The pause between two tries with a server that is reported on.

use crate::limits::SERVER_RETRY_MAX;
use crate::limits::SERVER_RETRY_MIN;
use crate::net::backoff;

/// Waits after `failures` in a row, at least 1.
pub(crate) async fn pause(failures: u64) {
    // Without chance the longest wait is taken: only the spread is lost.
    let random = getrandom::u64().unwrap_or(u64::MAX);
    let delay = backoff::delay(failures, SERVER_RETRY_MIN, SERVER_RETRY_MAX, random);
    tokio::time::sleep(delay).await;
}
