//! Clients that CLIENT PAUSE holds up: each sleeps until the pause ends by itself, or until its executor is
//! told that somebody has ended it.
//!
//! ```text
//!   CLIENT UNPAUSE ──► every shard's mailbox ──► those that sleep there, some at a time
//! ```

use engine::exec::Node;
use engine::rt::{self, Notify};
use engine::shard::{ExecutorId, Message};
use std::rc::Rc;
use std::time::Duration;

thread_local! {
    /// Who sleeps on this executor.
    static HELD_UP: Rc<Notify> = Rc::new(Notify::new());
}

/// Woken in a row before others have their turn: each of them runs a request then.
const WOKEN_IN_A_ROW: usize = 64;

/// Beyond as many sleepers as an executor wakes, one looks for itself whether the pause was ended.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Sleeps until the pause, which has so long to go, is over or was ended.
pub(crate) async fn sleep(left: Duration) {
    let held_up = HELD_UP.with(Rc::clone);
    if let Ok(Err(_too_many)) = rt::timeout(left, held_up.wait()).await {
        rt::sleep(left.min(LOOK_EVERY)).await;
    }
}

/// Wakes all who sleep, on every executor, because the pause has been ended.
pub(crate) fn wake_all(node: &Node) {
    for shard in node.all_shards() {
        node.send(ExecutorId::from(shard), Message::Call(Box::new(|_| wake_here())));
    }
}

fn wake_here() {
    let held_up = HELD_UP.with(Rc::clone);
    let mut left = held_up.waiters();
    if left == 0 {
        return;
    }
    rt::spawn_local(async move {
        while left > 0 {
            let some = left.min(WOKEN_IN_A_ROW);
            (0..some).for_each(|_| held_up.notify_one());
            left -= some;
            rt::yield_now().await;
        }
    })
    .detach();
}
