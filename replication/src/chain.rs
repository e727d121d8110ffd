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
//! that nobody sees. It knows no sockets and no sessions; the model drives the very same code.

use crate::planted;
use std::cell::RefCell;

/// See the module's doc.
#[derive(Debug)]
pub struct Chain {
    own: String,
    above: RefCell<Vec<String>>,
    /// What replicas were told last; all of them the same.
    told: RefCell<Vec<String>>,
}

impl Chain {
    /// The chain of node `own`, which follows nobody.
    pub fn new(own: String) -> Chain {
        Chain { own, above: RefCell::default(), told: RefCell::default() }
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
    }

    /// A master was found whose chain is `above`. Answers whether our replicas were told another one:
    /// then their sessions must end, so that they ask anew.
    #[must_use]
    pub fn adopt(&self, above: &[String]) -> bool {
        *self.above.borrow_mut() = above.to_vec();
        let told = self.told.borrow();
        !told.is_empty() && *told != self.ids() && !planted::keeps_stale_chains()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        text.split_whitespace().map(str::to_owned).collect()
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
