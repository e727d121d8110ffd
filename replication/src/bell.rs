//! A bell between tasks of one executor: rung before anybody waits, it is still heard.

use engine::rt::{Notify, timeout};
use futures_lite::future;
use std::cell::Cell;
use std::time::Duration;

/// Remembers that it was rung until somebody who waited has heard it: one of them. Where several wait, whoever has heard it rings
/// once more for the next.
#[derive(Debug, Default)]
pub struct Bell {
    rung: Cell<bool>,
    waiting: Notify,
}

impl Bell {
    /// Wakes who waits, or who waits next.
    pub fn ring(&self) {
        self.rung.set(true);
        self.waiting.notify_all();
    }

    /// Waits until it is rung.
    pub async fn wait(&self) {
        while !self.rung.replace(false) {
            // More waiters than allowed cannot be: each bell has one task that waits.
            if self.waiting.wait().await.is_err() {
                return;
            }
        }
    }

    /// Waits until it is rung or something else comes to its end. Whether it was rung.
    pub async fn wait_unless(&self, other: impl Future<Output = ()>) -> bool {
        let rung = async {
            self.wait().await;
            true
        };
        let unless = async {
            other.await;
            false
        };
        future::or(rung, unless).await
    }

    /// Waits until it is rung, at most so long. Whether it was.
    pub async fn wait_for(&self, limit: Duration) -> bool {
        timeout(limit, self.wait()).await.is_ok()
    }
}
