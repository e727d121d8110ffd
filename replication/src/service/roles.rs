//! Changes of role as a machine: whose word counts, and what is done for it, one thing after the other. It
//! knows no sockets, no clocks and no executors; the model drives it too.
//!
//! ```text
//!   Quiet      nothing changes
//!   Ending     the link is being ended, to follow another master
//!   Turning    a master is made a replica
//!   Leaving    the link is being ended, to follow nobody
//!   Branching  a replica is made a master
//!   Reading    a master's data is read from its file again: whoever is told to follow meanwhile does so afterwards
//! ```
//!
//! REPLICAOF and its kin are numbered as they come. Trying a master takes time: one that took long is not
//! carried out after a later one. What was told OK before its turn is announced: to everybody else this node
//! is a replica from there on.

use crate::planted;
use std::collections::VecDeque;
use std::fmt::{self, Display, Formatter};
use std::rc::Rc;

/// What it has to know of a link.
pub trait Leads {
    /// Whether both lead to the same master, and this one does so by itself.
    fn leads_where(&self, other: &Self) -> bool;
    /// Whether its data is the master's, as of a moment.
    fn is_stable(&self) -> bool;
    /// Another one to the same master.
    fn anew(&self) -> Rc<Self>;
}

/// What happened.
pub enum Event<L> {
    /// REPLICAOF: this link is to be followed.
    Follow {
        /// Its place among all orders.
        order: u64,
        /// To whom.
        link: Rc<L>,
        /// It was told OK, before anything is tried.
        at_once: bool,
    },
    /// The master of an order would have us, or not, and why.
    Tried {
        /// Which one.
        order: u64,
        /// To whom.
        link: Rc<L>,
        /// What came of it.
        outcome: Result<(), String>,
    },
    /// REPLICAOF NO ONE.
    Promote {
        /// Its place among all orders.
        order: u64,
    },
    /// What was to be done is: the link has ended, the shards have changed, or a file is read.
    Done,
}

/// What is to be done.
pub enum Action<L> {
    /// Find out whether the master would have us.
    Try(u64, Rc<L>),
    /// End the link, and wait until everything that was handed out is applied.
    End(Rc<L>),
    /// Make this master a replica.
    Turn,
    /// Make this replica a master.
    Branch,
    /// Follow.
    Run {
        /// For which order; none when it goes on with whom it followed.
        order: Option<u64>,
        /// Whom.
        link: Rc<L>,
    },
    /// An order has come to this.
    Answer(u64, Result<(), Refusal>),
}

/// Why an order is not carried out.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Refusal {
    /// A later one was.
    Overtaken,
    /// The master was not reached, or would not have us.
    Untried(String),
    /// The data is a part of a copy.
    Partial(String),
}

impl Display for Refusal {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Refusal::Overtaken => {
                f.write_str("ERR overtaken by a REPLICAOF that came later and is done")
            }
            Refusal::Untried(text) | Refusal::Partial(text) => f.write_str(text),
        }
    }
}

/// What is being done, and for which order.
enum RoleStage<L> {
    Quiet,
    Ending(u64, Rc<L>),
    Turning(u64, Rc<L>),
    Leaving(u64, Rc<L>),
    Branching(u64),
    Reading,
}

/// What waits for its turn.
enum Waiting<L> {
    Follow(u64, Rc<L>),
    Promote(u64),
}

/// See the module's doc.
pub struct Roles<L> {
    state: RoleStage<L>,
    waiting: VecDeque<Waiting<L>>,
    link: Option<Rc<L>>,
    /// Links that will be followed as soon as changes of role before them are done, each with the order
    /// that wants it.
    announced: Vec<(u64, Rc<L>)>,
    last_order: u64,
    /// The newest of them that was carried out.
    obeyed: u64,
}

impl<L> Default for Roles<L> {
    fn default() -> Roles<L> {
        Roles {
            state: RoleStage::Quiet,
            waiting: VecDeque::new(),
            link: None,
            announced: Vec::new(),
            last_order: 0,
            obeyed: 0,
        }
    }
}

impl<L: Leads> Roles<L> {
    /// The place of an order among all that come.
    pub fn next_order(&mut self) -> u64 {
        self.last_order += 1;
        self.last_order
    }

    /// The link that is followed.
    pub fn link(&self) -> Option<Rc<L>> {
        self.link.clone()
    }

    /// The link that this node follows, or is about to.
    pub fn upstream(&self) -> Option<Rc<L>> {
        let mut newest = self.announced.iter().rev();
        let newest = newest.find(|(order, _)| *order >= self.obeyed).map(|(_, link)| link);
        newest.or(self.link.as_ref()).cloned()
    }

    /// Whether nobody but a master writes here: also while a master is being made of it.
    pub fn refuses_writes(&self) -> bool {
        self.upstream().is_some() || matches!(self.state, RoleStage::Branching(_))
    }

    /// Whether a change is under way, or told and to come.
    pub fn is_changing(&self) -> bool {
        !matches!(self.state, RoleStage::Quiet) || !self.announced.is_empty()
    }

    /// This master's data is to be read from a file: from here on nothing changes before that is [`Event::Done`]. `false`
    /// where it is no master, or may not be one for long.
    pub fn read(&mut self) -> bool {
        let may = self.link.is_none() && !self.is_changing() && self.waiting.is_empty();
        if may {
            self.state = RoleStage::Reading;
        }
        may
    }

    /// REPLICAOF to whom this node follows: nothing changes, but what was asked for before and is not done
    /// yet will not be. None if it has to be asked for.
    pub fn again(&mut self, is_there: impl Fn(&L) -> bool) -> Option<(u64, Rc<L>)> {
        let link = self.link.clone().filter(|link| is_there(link) && !self.is_changing())?;
        self.obeyed = self.next_order();
        Some((self.obeyed, link))
    }

    /// Takes what happened; answers what is to be done. `whole` says whether the data, as of now, may be
    /// served as a master's, and why not.
    pub fn step(&mut self, event: Event<L>, whole: &Result<(), String>) -> Vec<Action<L>> {
        match event {
            Event::Follow { order, link, at_once: false } => return vec![Action::Try(order, link)],
            Event::Follow { order, link, at_once: true } => {
                self.announce(order, &link);
                self.waiting.push_back(Waiting::Follow(order, link));
                let mut actions = vec![Action::Answer(order, Ok(()))];
                actions.extend(self.go_on(whole));
                return actions;
            }
            Event::Tried { order, link, outcome } => match outcome {
                Ok(()) => self.waiting.push_back(Waiting::Follow(order, link)),
                // Whoever was overtaken meanwhile is told that, however the trial came out.
                Err(text) => {
                    let refused = Err(Refusal::Untried(text));
                    return vec![Action::Answer(order, self.is_turn_of(order).and(refused))];
                }
            },
            Event::Promote { order } => self.waiting.push_back(Waiting::Promote(order)),
            Event::Done => {
                let mut actions = self.done(whole);
                actions.extend(self.go_on(whole));
                return actions;
            }
        }
        self.go_on(whole)
    }

    /// Begins what waits, one after the other, until something takes time.
    fn go_on(&mut self, whole: &Result<(), String>) -> Vec<Action<L>> {
        let mut actions = Vec::new();
        while matches!(self.state, RoleStage::Quiet) {
            match self.waiting.pop_front() {
                None => break,
                Some(Waiting::Follow(order, link)) => actions.push(self.follow(order, link)),
                Some(Waiting::Promote(order)) => actions.push(self.promote(order, whole)),
            }
        }
        actions
    }

    fn follow(&mut self, order: u64, link: Rc<L>) -> Action<L> {
        if self.link.as_ref().is_some_and(|before| before.leads_where(&link)) {
            // Another one asked for the same, while the master was tried.
            self.obeyed = order.max(self.obeyed);
            self.withdraw(order);
            return Action::Answer(order, Ok(()));
        }
        if let Err(refusal) = self.is_turn_of(order) {
            self.withdraw(order);
            return Action::Answer(order, Err(refusal));
        }
        self.obeyed = order;
        self.announce(order, &link);
        match self.link.clone() {
            Some(before) => self.become_state(RoleStage::Ending(order, link), Action::End(before)),
            None => self.become_state(RoleStage::Turning(order, link), Action::Turn),
        }
    }

    fn promote(&mut self, order: u64, whole: &Result<(), String>) -> Action<L> {
        let link = self.link.clone();
        // Before the link is ended: a refusal must not make a full sync begin anew.
        let may = if link.is_some() { is_whole(whole) } else { Ok(()) };
        match (may.and_then(|()| self.is_turn_of(order)), link) {
            (Err(refusal), _) => Action::Answer(order, Err(refusal)),
            (Ok(()), Some(link)) => {
                self.become_state(RoleStage::Leaving(order, link.clone()), Action::End(link))
            }
            (Ok(()), None) => {
                self.obeyed = order;
                Action::Answer(order, Ok(()))
            }
        }
    }

    /// What takes time is done.
    fn done(&mut self, whole: &Result<(), String>) -> Vec<Action<L>> {
        match std::mem::replace(&mut self.state, RoleStage::Quiet) {
            RoleStage::Quiet | RoleStage::Reading => Vec::new(),
            RoleStage::Ending(order, link) | RoleStage::Turning(order, link) => {
                self.link = Some(link.clone());
                self.withdraw(order);
                vec![Action::Run { order: Some(order), link }, Action::Answer(order, Ok(()))]
            }
            RoleStage::Leaving(order, link) => {
                self.link = None;
                // A full sync may have begun while the link was ending.
                let may = if planted::promotion_is_asked_once() { Ok(()) } else { is_whole(whole) };
                if let Err(refusal) = may {
                    let link = link.anew();
                    self.link = Some(link.clone());
                    let answer = Action::Answer(order, Err(refusal));
                    return vec![Action::Run { order: None, link }, answer];
                }
                self.obeyed = order;
                vec![self.become_state(RoleStage::Branching(order), Action::Branch)]
            }
            RoleStage::Branching(order) => vec![Action::Answer(order, Ok(()))],
        }
    }

    fn become_state(&mut self, state: RoleStage<L>, action: Action<L>) -> Action<L> {
        assert!(matches!(self.state, RoleStage::Quiet), "one change after the other");
        self.state = state;
        action
    }

    /// An order is not carried out any more when one that came later has been.
    fn is_turn_of(&self, order: u64) -> Result<(), Refusal> {
        let is_overtaken = order < self.obeyed && !planted::overtaken_orders_are_obeyed();
        if is_overtaken { Err(Refusal::Overtaken) } else { Ok(()) }
    }

    /// From now on this node is a replica to everybody who asks: nobody writes any more.
    fn announce(&mut self, order: u64, link: &Rc<L>) {
        if !self.announced.iter().any(|(known, _)| *known == order) {
            self.announced.push((order, link.clone()));
            self.announced.sort_by_key(|(order, _)| *order);
        }
    }

    fn withdraw(&mut self, order: u64) {
        self.announced.retain(|(known, _)| *known != order);
    }
}

fn is_whole(whole: &Result<(), String>) -> Result<(), Refusal> {
    whole.clone().map_err(Refusal::Partial)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq)]
    struct To(&'static str);

    impl Leads for To {
        fn leads_where(&self, other: &To) -> bool {
            self == other
        }

        fn is_stable(&self) -> bool {
            true
        }

        fn anew(&self) -> Rc<To> {
            Rc::new(To(self.0))
        }
    }

    struct Play {
        roles: Roles<To>,
        whole: Result<(), String>,
    }

    impl Play {
        fn new() -> Play {
            Play { roles: Roles::default(), whole: Ok(()) }
        }

        /// What is to be done, in words.
        fn step(&mut self, event: Event<To>) -> String {
            let actions = self.roles.step(event, &self.whole);
            let words = actions.into_iter().map(|action| match action {
                Action::Try(order, link) => format!("try {} for {order}", link.0),
                Action::End(link) => format!("end {}", link.0),
                Action::Turn => "turn".to_owned(),
                Action::Branch => "branch".to_owned(),
                Action::Run { order, link } => format!("run {} for {order:?}", link.0),
                Action::Answer(order, Ok(())) => format!("{order} is done"),
                Action::Answer(order, Err(refusal)) => format!("{order}: {refusal}"),
            });
            words.collect::<Vec<_>>().join(", ")
        }

        fn follow(&mut self, to: &'static str, at_once: bool) -> String {
            let order = self.roles.next_order();
            self.step(Event::Follow { order, link: Rc::new(To(to)), at_once })
        }

        fn tried(&mut self, order: u64, to: &'static str) -> String {
            self.step(Event::Tried { order, link: Rc::new(To(to)), outcome: Ok(()) })
        }

        fn promote(&mut self) -> String {
            let order = self.roles.next_order();
            self.step(Event::Promote { order })
        }

        fn done(&mut self) -> String {
            self.step(Event::Done)
        }
    }

    #[test]
    fn one_change_is_made_after_the_other() {
        let mut play = Play::new();
        assert_eq!(play.follow("a", false), "try a for 1");
        assert!(!play.roles.refuses_writes(), "it is only tried");
        assert_eq!(play.tried(1, "a"), "turn");
        assert!(play.roles.refuses_writes() && play.roles.is_changing());
        assert_eq!(play.follow("b", true), "2 is done");
        assert_eq!(play.promote(), "");
        assert_eq!(play.done(), "run a for Some(1), 1 is done, end a");
        assert_eq!(play.roles.upstream().map(|link| link.0), Some("b"));
        assert_eq!(play.done(), "run b for Some(2), 2 is done, end b");
        assert_eq!(play.done(), "branch");
        assert!(play.roles.refuses_writes() && play.roles.link().is_none());
        assert_eq!(play.done(), "3 is done");
        assert!(!play.roles.refuses_writes() && !play.roles.is_changing());
    }

    /// One that took long to try its master undid what was asked for later.
    #[test]
    fn an_order_that_was_overtaken_is_not_carried_out() {
        let mut play = Play::new();
        play.follow("a", false);
        play.follow("b", false);
        assert_eq!(play.tried(2, "b"), "turn");
        play.done();
        assert!(play.tried(1, "a").starts_with("1: ERR overtaken"));
        play.follow("a", false);
        assert_eq!(play.promote(), "end b");
        play.done();
        play.done();
        assert!(play.tried(3, "a").starts_with("3: ERR overtaken"));
        let event =
            Event::Tried { order: 3, link: Rc::new(To("a")), outcome: Err("no".to_owned()) };
        assert!(play.step(event).starts_with("3: ERR overtaken"), "however it came out");
        assert_eq!(play.roles.upstream(), None);
    }

    /// A full sync that begins while the link is ending was served as a master's data.
    #[test]
    fn a_part_of_a_copy_is_not_promoted_whenever_it_became_one() {
        let partial = || Err("LOADING".to_owned());
        let mut play = Play::new();
        play.follow("a", true);
        play.done();
        play.whole = partial();
        assert_eq!(play.promote(), "2: LOADING");
        play.whole = Ok(());
        assert_eq!(play.promote(), "end a");
        play.whole = partial();
        assert_eq!(play.done(), "run a for None, 3: LOADING");
        assert!(play.roles.link().is_some() && !play.roles.is_changing());
        play.whole = Ok(());
        assert_eq!((play.promote(), play.done()), ("end a".to_owned(), "branch".to_owned()));
    }

    /// A file's keys came into the copy of a master that was tried meanwhile.
    #[test]
    fn nothing_changes_while_a_file_is_read() {
        let mut play = Play::new();
        play.follow("a", false);
        assert!(play.roles.read() && !play.roles.read(), "one at a time");
        assert_eq!(play.tried(1, "a"), "");
        assert!(!play.roles.refuses_writes() && play.roles.is_changing());
        assert_eq!(play.follow("b", true), "2 is done");
        assert!(play.roles.refuses_writes(), "it was told so");
        assert_eq!(play.promote(), "");
        assert_eq!(play.done(), "turn");
        assert!(!play.roles.read());
        assert_eq!(play.done(), "run a for Some(1), 1 is done, end a");
        assert_eq!(play.done(), "run b for Some(2), 2 is done, end b");
        assert!(!play.roles.read());
        assert_eq!((play.done(), play.done()), ("branch".to_owned(), "3 is done".to_owned()));
        assert!(play.roles.read());
        assert_eq!((play.done(), play.roles.is_changing()), (String::new(), false));
    }

    #[test]
    fn the_same_master_once_more_changes_nothing() {
        let mut play = Play::new();
        play.follow("a", false);
        play.follow("a", false);
        play.tried(2, "a");
        assert!(play.roles.again(|link| link.0 == "a").is_none(), "it is on its way");
        play.done();
        assert_eq!(play.tried(1, "a"), "1 is done");
        assert!(play.roles.again(|link| link.0 == "b").is_none());
        assert_eq!(play.roles.again(|link| link.0 == "a").map(|(order, _)| order), Some(3));
    }
}
