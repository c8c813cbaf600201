//! The atomics of the log: the standard ones, or Loom's when every interleaving is to be tried
//! (`--cfg logboom_loom`).

use std::sync::atomic::Ordering;

#[cfg(logboom_loom)]
pub(crate) type AtomicU64 = loom::sync::atomic::AtomicU64;
#[cfg(not(logboom_loom))]
pub(crate) type AtomicU64 = std::sync::atomic::AtomicU64;

/// What shares segments and tables.
#[cfg(logboom_loom)]
pub(crate) type Arc<T> = loom::sync::Arc<T>;
#[cfg(not(logboom_loom))]
pub(crate) type Arc<T> = std::sync::Arc<T>;

/// Puts everything before it and everything after it in one order that all such fences agree on.
pub(crate) fn fence_total() {
    #[cfg(logboom_loom)]
    loom::sync::atomic::fence(Ordering::SeqCst);
    #[cfg(not(logboom_loom))]
    std::sync::atomic::fence(Ordering::SeqCst);
}
