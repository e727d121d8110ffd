//! Who may follow this node, and on which terms. Without sockets; the model asks it too.

use super::roles::{Leads, Roles};
use crate::handshake::{self, Asker, Terms};
use crate::here::Here;
use crate::master::feed::Beginning;
use crate::planted;
use crate::standing::Walks;
use engine::journal::{LogHandle, Position};
use std::cell::RefCell;

/// What was agreed on; the session is still to be opened.
pub struct Agreed {
    /// The terms.
    pub terms: Terms,
    /// The node that is fed.
    pub node: String,
    /// The journals that are sent.
    pub logs: Vec<LogHandle>,
    /// How its data begins.
    pub beginning: Beginning,
    /// Which shards bring items.
    pub walks: Walks,
}

/// Everything for which [`agree`] refuses: whoever is told OK by CHECK leaves its old master for us.
pub fn check<L: Leads>(here: &Here, roles: &Roles<L>, asker: &Asker) -> Result<(), String> {
    handshake::check(asker.version, &asker.chain, &here.chain.ids())?;
    handshake::has_room(asker.dbs, here.front.node.dbs())?;
    if here.status.is_loading() && roles.link().is_none() {
        return Err("LOADING this node reads its data from a file".to_owned());
    }
    let is_stable = roles.link().is_none_or(|link| link.is_stable());
    handshake::may_feed(roles.is_changing(), is_stable, &asker.chain, &here.chain.waiting())
}

/// Agrees with who wants to follow from `position`. The caller opens the session named by `id` without a wait:
/// from the last check on nothing can change.
pub async fn agree<L: Leads>(
    here: &Here,
    roles: &RefCell<Roles<L>>,
    asker: Asker,
    position: Option<&Position>,
    id: impl FnOnce() -> u64,
) -> Result<Agreed, String> {
    check(here, &roles.borrow(), &asker)?;
    let keys = here.front.call_all(|shard| shard.keys.total_len() as u64).await;
    // After the last wait.
    if !planted::admission_is_asked_once() {
        check(here, &roles.borrow(), &asker)?;
    }
    let standing = &here.standing;
    let mut terms = standing.terms(position, here.chain.tell(), keys.iter().sum());
    terms.session = id();
    let is_replica = roles.borrow().upstream().is_some() && !standing.tells();
    let beginning = if terms.full {
        Beginning::Full
    } else {
        let own = !is_replica && terms.history == standing.lineage().current();
        Beginning::Partial { from: terms.from.clone(), own }
    };
    Ok(Agreed {
        node: asker.chain.into_iter().next().unwrap_or_default(),
        logs: standing.logs_of(terms.history),
        walks: standing.walks(&terms, is_replica),
        beginning,
        terms,
    })
}
