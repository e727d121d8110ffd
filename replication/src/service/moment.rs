//! Data of one moment whose position is known, for a snapshot; and the start from one.
//!
//! ```text
//!   hold the session with the master ─► all that was handed out is applied ─► the cut ─► what is it? ─► go on
//!                                                                               └─ has it become something else
//!                                                                                  meanwhile? once more
//! ```
//!
//! Before the last one a stream of commands stands still for good ([`Service::stand_still`]): what came behind it would go on to
//! replicas, and be missing at the next start.

use super::{Service, new_history};
use crate::info::LinkState;
use crate::origin::Origin;
use crate::relay::Relay;
use engine::journal::Position;
use engine::rt;
use engine::types::{Lsn, Millis};
use futures_lite::future;
use std::time::{Duration, Instant};

/// How long it is tried. A change of role takes milliseconds, and seconds where it waits for a long command; a full sync
/// ends it at once.
const TRIED_FOR: Duration = Duration::from_secs(20);

/// What was handed out is applied by then, or the node ends without it standing still: milliseconds, mostly.
const STANDS_WITHIN: Duration = Duration::from_secs(2);

/// Between two looks whether a change is over.
const LOOK_EVERY: Duration = Duration::from_millis(2);

impl Service {
    /// Has `cut` fix a moment on all shards, which answers where our own journals stood at it. Answers what the data
    /// of that moment is. It is refused while the data is a part of a copy.
    pub async fn at_one_moment(
        &self,
        mut cut: impl AsyncFnMut() -> Result<Vec<Lsn>, String>,
    ) -> Result<Origin, String> {
        let began = Instant::now();
        while began.elapsed() < TRIED_FOR {
            let link = self.link();
            let hold = async || match &link {
                Some(link) => link.hold().await,
                None => None,
            };
            match self.here.moment(hold, async || cut().await).await? {
                Some(origin) => return Ok(origin),
                None => rt::sleep(LOOK_EVERY).await,
            }
        }
        Err("whom this node follows has changed time and again: there is no moment to be written"
            .into())
    }

    /// The node ends, or does not after all: a stream of commands goes no further, or on again.
    pub(super) async fn stand_still(&self, stands: bool) {
        if !stands {
            drop(self.standing_still.borrow_mut().take());
            return;
        }
        // What a full sync brings is no snapshot's; and who relays a log goes on in the history that it was in.
        let link = self.link().filter(|link| link.state() == LinkState::StableSync);
        let Some(link) = link.filter(|_| self.here.standing.tells()) else { return };
        let late = async {
            rt::sleep(STANDS_WITHIN).await;
            None
        };
        let resting = future::or(link.hold(), late).await;
        // Where it goes on after all, what came late goes on as well.
        *self.standing_still.borrow_mut() = resting.filter(|_| self.stands_still.get());
    }

    /// The node ends: copies for those who follow as a Redis does are given up, as the last snapshot waits for them.
    pub fn give_up_copies(&self) {
        self.followers.give_up_copies();
    }

    /// The data is that of a snapshot, of `origin`; `tail` is what is held of the journals before.
    pub async fn restore(&self, origin: Origin, tail: Relay, follows: bool) {
        if let Some(Position { history, lsns }) = origin.position() {
            let at: u64 = lsns.iter().map(|lsn| lsn.0).sum();
            tracing::info!("replication: the data is that of history {history} at {at}");
        }
        self.here.standing.restore(new_history(), origin, tail, follows).await;
        self.keeping.set(true);
        self.last_follower.set(Instant::now());
    }

    /// The journals of the history that `position` is of, and the most that may be held of them: for the tail
    /// beside a snapshot.
    pub fn journals_of(&self, position: &Position) -> (Vec<engine::journal::LogHandle>, u64) {
        let logs = self.here.standing.logs_of(position.history);
        (logs, self.here.settings.borrow().journals_bounds.bytes)
    }

    /// Keeps a tail within what journals may hold.
    pub fn keep_bounds(&self, tail: &mut Relay, now: Millis) {
        tail.trim(&self.here.settings.borrow().journals_bounds, now);
    }
}
