//! Atomics and locks of this room, exchangeable for `loom`'s.
//!
//! Only what the publish and sleep protocol needs stands here, so that `tests/journal_loom.rs` can
//! compile `publish.rs` against `loom` without the rest of the engine.

#[cfg(loom)]
pub(super) use loom::sync::{
    Mutex, MutexGuard,
    atomic::{AtomicBool, AtomicU64, Ordering, fence},
};
#[cfg(not(loom))]
pub(super) use std::sync::{
    Mutex, MutexGuard,
    atomic::{AtomicBool, AtomicU64, Ordering, fence},
};

/// Locks, also after a holder has panicked: what is behind our locks is whole at every instant.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
