//! Ending in order: tasks are spawned here, asked to stop here and waited for here.

use std::future::Future;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Handle on a group of tasks that end together. Clones name the same group.
#[derive(Clone, Debug, Default)]
pub struct Shutdown {
    token: CancellationToken,
    tasks: TaskTracker,
}

impl Shutdown {
    /// A group with no tasks, not asked to stop.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Runs `task` as one of the group.
    #[expect(
        clippy::disallowed_methods,
        reason = "this is where tasks are waited for"
    )]
    pub fn spawn<F>(&self, task: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        drop(tokio::spawn(self.tasks.track_future(task)));
    }

    /// Ends when the group is asked to stop. Cancel safe.
    pub async fn requested(&self) {
        self.token.cancelled().await;
    }

    /// Whether the group was asked to stop.
    #[must_use]
    pub fn is_requested(&self) -> bool {
        self.token.is_cancelled()
    }

    /// Asks every task of the group to stop.
    pub fn request(&self) {
        self.token.cancel();
    }

    /// Waits until every task has ended, at most `grace`; says whether all did.
    pub async fn finished(&self, grace: Duration) -> bool {
        self.tasks.close();
        tokio::time::timeout(grace, self.tasks.wait()).await.is_ok()
    }

    /// How many tasks still run.
    #[must_use]
    pub fn running_count(&self) -> usize {
        self.tasks.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn tasks_are_asked_and_waited_for() {
        let shutdown = Shutdown::new();
        let asked = shutdown.clone();
        shutdown.spawn(async move { asked.requested().await });
        assert!(!shutdown.finished(Duration::from_secs(1)).await);
        shutdown.request();
        assert!(shutdown.finished(Duration::from_secs(1)).await);
        assert_eq!(shutdown.running_count(), 0);
    }
}
