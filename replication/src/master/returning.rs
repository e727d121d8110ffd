//! Replicas that are about to come back: one that reads journals which end where the history of now begins leaves at their
//! end, and asks for what follows at once.
//!
//! ```text
//!   catching_up ──── the leg is over ────┐   asks, connects   ┌──── stable_sync
//!                                        └─── is returning ───┘ for [`BACK_WITHIN`] at most
//! ```
//!
//! Who waits for all that this node feeds would not see it between the two. It is only looked at; nobody is told anything.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// A few attempts to connect: who takes longer has lost its link, and is as one that has left.
const BACK_WITHIN: Duration = Duration::from_secs(3);

/// See the module's doc; by the node's name until when it is waited for.
#[derive(Default)]
pub struct Returning(BTreeMap<String, Instant>);

impl Returning {
    /// The leg of this node is over.
    pub fn left(&mut self, node: &str, now: Instant) {
        // Nobody may ever ask for those who did not come back.
        self.0.retain(|_, until| *until > now);
        self.0.insert(node.to_owned(), now + BACK_WITHIN);
    }

    /// It is fed again: whatever becomes of that, it has come back.
    pub fn is_back(&mut self, node: &str) {
        self.0.remove(node);
    }

    /// How many are still to come back. Who has its terms, or is connecting, is on its way and has its time anew.
    pub fn count(&mut self, is_on_its_way: impl Fn(&str) -> bool, now: Instant) -> usize {
        for (node, until) in &mut self.0 {
            if is_on_its_way(node) {
                *until = now + BACK_WITHIN;
            }
        }
        self.0.retain(|_, until| *until > now);
        self.0.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_has_come_to_the_end_of_its_leg_is_waited_for_until_it_is_back_or_has_had_its_time() {
        let start = Instant::now();
        let after = |millis| start + Duration::from_millis(millis);
        let mut returning = Returning::default();
        assert_eq!(returning.count(|_| false, start), 0);
        returning.left("a", start);
        returning.left("b", after(100));
        assert_eq!(returning.count(|_| false, after(2999)), 2);
        // One has its terms by then.
        assert_eq!(returning.count(|node| node == "b", after(3000)), 1);
        assert_eq!(returning.count(|_| false, after(5999)), 1);
        returning.is_back("b");
        returning.is_back("never left");
        assert_eq!(returning.count(|_| true, after(5999)), 0);
    }
}
