//! The node ids from a node up to its topmost master: whoever finds itself in the chain of its would-be
//! master refuses, so circles of any length are refused (J7).
//!
//! ```text
//!   end ──► middle ──► top          the end's chain:  end, middle, top
//!   end ──► middle ──► other ──► x  the middle moved: end, middle, other, x
//! ```
//!
//! A session may outlive what is above it: the middle of a chain moves, continues where it stood, and
//! goes on feeding the end. So who was told a chain that is not true any more must ask anew: else a
//! move below would be refused for ever for a node that is long gone from above, or a circle be closed
//! that nobody sees.
//!
//! Two masters that are told at the same moment to follow each other are both taken at their word, and both
//! find a replica that cannot feed anybody. So whoever waits for its master tells whom it waits for to those
//! who ask it, and so on: after as many questions as the circle has nodes, one of them finds itself among
//! them, and says so. It knows no sockets and no sessions; the model drives the very same code.

use crate::planted;
use std::cell::RefCell;

/// See the module's doc.
#[derive(Debug)]
pub struct Chain {
    own: String,
    above: RefCell<Vec<String>>,
    /// What replicas were told last; all of them the same.
    told: RefCell<Vec<String>>,
    /// While our master cannot feed us: it, whom it waits for, and so on.
    waits_for: RefCell<Vec<String>>,
}

/// Nodes that are told of those that wait for each other: a longer circle goes unnoticed.
pub(crate) const WAITING_MAX: usize = 64;

impl Chain {
    /// The chain of node `own`, which follows nobody.
    pub fn new(own: String) -> Chain {
        Chain {
            own,
            above: RefCell::default(),
            told: RefCell::default(),
            waits_for: RefCell::default(),
        }
    }

    /// This node's id and those above it, as far as they are known.
    pub fn ids(&self) -> Vec<String> {
        let mut ids = vec![self.own.clone()];
        ids.extend(self.above.borrow().iter().cloned());
        ids
    }

    /// What a replica is told that begins now.
    pub fn tell(&self) -> Vec<String> {
        let ids = self.ids();
        self.told.borrow_mut().clone_from(&ids);
        ids
    }

    /// This node begins to follow somebody else, or nobody.
    pub fn leave(&self) {
        self.above.borrow_mut().clear();
        self.waits_for.borrow_mut().clear();
    }

    /// Our master cannot feed us, since it waits for its own; these it named: itself, whom it waits for, and
    /// so on. None when it did not say so.
    pub fn wait_for(&self, named: Vec<String>) {
        *self.waits_for.borrow_mut() = named;
    }

    /// This node, whom it waits for, and so on.
    pub fn waiting(&self) -> Vec<String> {
        let mut ids = vec![self.own.clone()];
        ids.extend(self.waits_for.borrow().iter().take(WAITING_MAX).cloned());
        ids
    }

    /// A master was found whose chain is `above`. Answers whether our replicas were told another one:
    /// then their sessions must end, so that they ask anew.
    #[must_use]
    pub fn adopt(&self, above: &[String]) -> bool {
        *self.above.borrow_mut() = above.to_vec();
        self.waits_for.borrow_mut().clear();
        let told = self.told.borrow();
        !told.is_empty() && *told != self.ids() && !planted::keeps_stale_chains()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::handshake;

    fn words(text: &str) -> Vec<String> {
        text.split_whitespace().map(str::to_owned).collect()
    }

    /// Two masters that were told at the same moment to follow each other stood so for ever, without a word.
    #[test]
    fn a_circle_of_nodes_that_wait_for_each_other_is_found_out() {
        for size in 2..=9 {
            let chains: Vec<Chain> = (0..size).map(|id| Chain::new(format!("{id:040}"))).collect();
            // As the real ones do: each asks the next one, over and over, in any order.
            let mut found = vec![false; size];
            for _ in 0..3 * size * size {
                let asker = fastrand::usize(..size);
                let (own, master) = (&chains[asker], &chains[(asker + 1) % size]);
                let refusal = handshake::may_feed(false, false, &own.ids(), &master.waiting());
                let (text, named) = handshake::waits(refusal.unwrap_err().as_bytes());
                found[asker] |= text.contains("in a circle");
                own.wait_for(named);
                // Nobody is accused who only waits for the circle.
                let outsider = [format!("{:040}", 77)];
                let refusal = handshake::may_feed(false, false, &outsider, &master.waiting());
                assert!(!refusal.unwrap_err().contains("in a circle"));
            }
            for asker in 0..size {
                let master = &chains[(asker + 1) % size];
                let refusal =
                    handshake::may_feed(false, false, &chains[asker].ids(), &master.waiting());
                found[asker] |= refusal.unwrap_err().contains("in a circle");
            }
            assert!(found.iter().any(|found| *found), "{size}");
            let ended = &chains[0];
            ended.leave();
            assert_eq!(ended.waiting(), ended.ids());
        }
    }

    #[test]
    fn replicas_ask_anew_when_what_is_above_has_changed() {
        let chain = Chain::new("middle".to_owned());
        assert!(!chain.adopt(&words("top")), "nobody was told anything");
        assert_eq!(chain.tell(), words("middle top"));
        assert!(!chain.adopt(&words("top")), "it came back to the same master");
        chain.leave();
        assert_eq!(chain.ids(), words("middle"), "nobody knows yet what is above");
        assert!(chain.adopt(&words("other x")));
        assert_eq!(chain.tell(), words("middle other x"));
        assert!(chain.adopt(&words("other")), "its master's master left");
    }
}
