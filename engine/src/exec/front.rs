//! An executor's front: its shard, if it has one, and the tasks that wait for answers.

use super::Node;
use crate::command::{Entry, Outcome, Refusal};
use crate::db::Encodings;
use crate::limits::RUN_SLICE_MICROS;
use crate::resp::{Protocol, ReplyWriter};
use crate::rt::{self, mailbox::Receiver};
use crate::shard::{Answer, ExecutorId, Message, Patience, Piece, Pieces, ReplyTo, Shard, Ticket};
use crate::types::{Millis, ShardId};
use std::any::Any;
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

/// Messages taken from the mailbox before other tasks get their turn: long enough to amortize, short
/// enough for a connection not to wait noticeably.
const MESSAGES_PER_TURN: usize = 256;

/// And how long a turn may take: a message may be a batch of a thousand commands. As long as the visit of
/// a connection, for the same reason.
const TURN_MAX: Duration = rt::task::POLL_INTERVAL;

/// Short turns after which others have theirs, where there is always a message again.
const TURNS_IN_A_ROW_MAX: usize = 8;

/// The beginning of a task that was sent from another executor. It only spawns: the shard is at work.
struct Errand(Box<dyn FnOnce(Rc<Front>) + Send>);

/// What coordinators on one executor work with.
pub struct Front {
    /// Which executor this is.
    pub me: ExecutorId,
    /// What all executors share.
    pub node: Arc<Node>,
    /// How long the pieces of this executor's work are.
    pub pieces: Arc<Pieces>,
    shard: Option<RefCell<Shard>>,
    waiting: RefCell<Waiting>,
    clock: Box<dyn Fn() -> Millis>,
    /// Whether an executor of `rt` serves the mailbox; in a model nobody does.
    served: Cell<bool>,
}

#[derive(Default)]
struct Waiting {
    places: Vec<TicketPlace>,
    free: Vec<u32>,
}

#[derive(Default)]
struct TicketPlace {
    generation: u32,
    answers: VecDeque<Answer>,
    waker: Option<Waker>,
}

impl Front {
    /// The front of executor `me`.
    pub fn new(
        me: ExecutorId,
        node: Arc<Node>,
        shard: Option<Shard>,
        clock: impl Fn() -> Millis + 'static,
    ) -> Rc<Front> {
        let pieces = node.pieces()[usize::from(me.0)].clone();
        let shard = shard.map(|mut shard| {
            shard.pieces = pieces.clone();
            shard.keys.share_going(node.going().clone());
            RefCell::new(shard)
        });
        let clock = Box::new(clock);
        let (waiting, served) = (RefCell::default(), Cell::new(false));
        Rc::new(Front { me, node, pieces, shard, waiting, clock, served })
    }

    /// This executor's shard id, if it has a shard.
    pub fn shard_id(&self) -> Option<ShardId> {
        self.shard.as_ref().map(|_| ShardId(self.me.0))
    }

    /// The time.
    pub fn now(&self) -> Millis {
        (self.clock)()
    }

    /// As all shards have them; an executor without one runs nothing that asks for them.
    pub(super) fn encodings(&self) -> Encodings {
        self.shard.as_ref().map(|shard| shard.borrow().keys.encodings()).unwrap_or_default()
    }

    /// Runs a task on this executor's shard: sets the time, runs it, publishes what it wrote and
    /// sends what it has to say. The task must not await.
    ///
    /// Panics on an executor without a shard: callers ask [`shard_id`](Front::shard_id) first.
    pub fn with_shard<T>(&self, task: impl FnOnce(&mut Shard) -> T) -> T {
        let shard = self.shard.as_ref().expect("this executor has a shard");
        let mut shard = shard.borrow_mut();
        shard.set_now((self.clock)());
        let result = task(&mut shard);
        self.end_task(&mut shard);
        result
    }

    /// As [`with_shard`](Front::with_shard) without a new reading of the clock nor publication: for
    /// the commands of one read buffer, between [`with_shard`](Front::with_shard)s.
    pub(super) fn end_task(&self, shard: &mut Shard) {
        shard.publish();
        while shard.has_outbox() {
            let messages: Vec<_> = shard.take_outbox().collect();
            for (to, message) in messages {
                match message {
                    Message::Answer(ticket, answer) if to == self.me => self.answer(ticket, answer),
                    message => match patience_of(&message) {
                        Some(patience) => self.node.send_to_patient(to, message, &patience),
                        None => self.node.send(to, message),
                    },
                }
            }
        }
    }

    /// Counts a command that went over several shards, and writes its error if it was refused. It is
    /// counted here, once, because each shard has seen only its part; its time is that of the whole,
    /// waiting included.
    pub(super) fn ran_wide(
        &self,
        entry: &Entry,
        began: Instant,
        outcome: Outcome,
        protocol: Protocol,
        out: &mut Vec<u8>,
    ) {
        // What nobody wants is done all the same.
        let outcome = outcome.or_else(Refusal::unless_unwanted);
        let mut shard = self.shard.as_ref().map(|shard| shard.borrow_mut());
        if let Some(shard) = &mut shard {
            let stats = &mut shard.stats[usize::from(entry.id)];
            stats.calls += 1;
            stats.nanos += began.elapsed().as_nanos() as u64;
            stats.failed += u64::from(outcome.is_err());
        }
        match (outcome, shard) {
            (Ok(()), _) => {}
            (Err(refusal), Some(mut shard)) => shard.refuse(&refusal, protocol, out),
            (Err(refusal), None) => {
                ReplyWriter::new(out, protocol).error(refusal.bytes());
            }
        }
    }

    /// Handles one message out of this executor's mailbox. Messages for its service are handed back.
    pub fn handle(&self, message: Message) -> Option<Box<dyn Any + Send>> {
        match message {
            Message::Answer(ticket, answer) => self.answer(ticket, answer),
            Message::Service(service) => return Some(service),
            message => self.with_shard(|shard| shard.receive(message)),
        }
        None
    }

    /// For loops that may be long. In a model there is nothing to wait for: there everything long is short.
    pub fn breath(&self) -> Breath {
        let (served, began) = (self.served.get(), None);
        Breath { pieces: self.pieces.clone(), served, done: 0, began }
    }

    /// A task on this executor let nobody else run for so long.
    pub fn note_piece(&self, piece: Piece, took: Duration) {
        self.pieces.note(piece, took);
    }

    /// Whether the shard has something under way that goes on in slices.
    pub fn is_running(&self) -> bool {
        self.shard.as_ref().is_some_and(|shard| shard.borrow().is_running())
    }

    /// Serves the mailbox for ever; `service` gets the messages for the executor's own service, and
    /// `turn` lets other tasks run.
    pub async fn serve_mailbox(
        self: &Rc<Front>,
        mut mailbox: Receiver<Message>,
        mut service: impl FnMut(Box<dyn Any + Send>),
    ) {
        self.served.set(true);
        if self.shard.is_some() {
            self.with_shard(Shard::set_timed);
        }
        let (mut goes_on, mut in_a_row) = (false, 0);
        loop {
            // What arrives during each turn lets nobody else run, however short the turns are.
            in_a_row = if mailbox.is_empty() { 0 } else { in_a_row + 1 };
            if !goes_on {
                mailbox.wait().await;
            }
            let mut left = MESSAGES_PER_TURN;
            let began = Instant::now();
            if self.shard.is_some() {
                self.with_shard(|shard| {
                    while left > 0
                        && let Some(message) = mailbox.try_pop()
                    {
                        left -= 1;
                        match message {
                            Message::Answer(ticket, answer) => self.answer(ticket, answer),
                            Message::Service(message) => self.serve(message, &mut service),
                            message => {
                                shard.receive(message);
                                left = if began.elapsed() >= TURN_MAX { 0 } else { left };
                            }
                        }
                    }
                    self.pieces.note(Piece::Mailbox, began.elapsed());
                    goes_on = shard.is_running() && shard.run_slice();
                });
            } else {
                while left > 0
                    && let Some(message) = mailbox.try_pop()
                {
                    left -= 1;
                    if let Some(message) = self.handle(message) {
                        self.serve(message, &mut service);
                    }
                }
            }
            if left == 0 || goes_on || in_a_row >= TURNS_IN_A_ROW_MAX {
                in_a_row = 0;
                crate::rt::yield_now().await;
            }
        }
    }

    /// A message that is for no shard: an errand begins, all else is the service's.
    fn serve(
        self: &Rc<Front>,
        message: Box<dyn Any + Send>,
        service: &mut impl FnMut(Box<dyn Any + Send>),
    ) {
        match message.downcast::<Errand>() {
            Ok(errand) => (errand.0)(self.clone()),
            Err(message) => service(message),
        }
    }

    fn answer(&self, ticket: Ticket, answer: Answer) {
        let mut waiting = self.waiting.borrow_mut();
        let Some(place) = waiting.places.get_mut(ticket.index as usize) else { return };
        if place.generation != ticket.generation {
            return;
        }
        place.answers.push_back(answer);
        if let Some(waker) = place.waker.take() {
            waker.wake();
        }
    }

    /// Nobody's place: for a message that is given its asker when it is sent.
    pub(super) fn nobody(&self) -> ReplyTo {
        ReplyTo { executor: self.me, ticket: Ticket { index: u32::MAX, generation: 0 } }
    }

    /// A place to wait for answers.
    pub fn waiter(self: &Rc<Front>) -> Waiter {
        let mut waiting = self.waiting.borrow_mut();
        let index = waiting.free.pop().unwrap_or_else(|| {
            waiting.places.push(TicketPlace::default());
            (waiting.places.len() - 1) as u32
        });
        let generation = waiting.places[index as usize].generation;
        Waiter { front: self.clone(), ticket: Ticket { index, generation } }
    }

    /// Runs `call` on `shard` and waits for its result.
    pub async fn call<T: Send + 'static>(
        self: &Rc<Front>,
        shard: ShardId,
        call: impl FnOnce(&mut Shard) -> T + Send + 'static,
    ) -> T {
        if self.shard_id() == Some(shard) {
            return self.with_shard(call);
        }
        let waiter = self.waiter();
        self.post_call(&waiter, shard, call);
        waiter.value().await
    }

    /// Runs `call` on every shard at about the same time and waits for all results, in their order.
    pub async fn call_all<T: Send + 'static>(
        self: &Rc<Front>,
        call: impl Fn(&mut Shard) -> T + Send + Clone + 'static,
    ) -> Vec<T> {
        let shards = self.node.all_shards();
        let waiter = self.waiter();
        for shard in shards.clone() {
            let call = call.clone();
            self.post_call(&waiter, shard, move |shard| (shard.id, call(shard)));
        }
        let mut results = Vec::with_capacity(shards.len());
        for _ in shards {
            results.push(waiter.value::<(ShardId, T)>().await);
        }
        results.sort_by_key(|(shard, _)| *shard);
        results.into_iter().map(|(_, value)| value).collect()
    }

    /// Has a task run on another executor, with the front there, and answers what comes of it. It begins at once, and
    /// goes on also where nobody waits any more.
    pub fn have_run<T: Send + 'static, F: Future<Output = T> + 'static>(
        self: &Rc<Front>,
        on: ExecutorId,
        task: impl FnOnce(Rc<Front>) -> F + Send + 'static,
    ) -> impl Future<Output = T> + 'static {
        let waiter = self.waiter();
        let to = waiter.reply_to();
        let begin = move |front: Rc<Front>| {
            let work = async move {
                let value = Answer::Value(Box::new(task(front.clone()).await));
                front.node.send(to.executor, Message::Answer(to.ticket, value));
            };
            rt::spawn_local(work).detach();
        };
        self.node.send(on, Message::Service(Box::new(Errand(Box::new(begin)))));
        async move { waiter.value().await }
    }

    fn post_call<T: Send + 'static>(
        &self,
        waiter: &Waiter,
        shard: ShardId,
        call: impl FnOnce(&mut Shard) -> T + Send + 'static,
    ) {
        let to = waiter.reply_to();
        let call = move |shard: &mut Shard| {
            let value = Box::new(call(shard));
            shard.answer(to, Answer::Value(value));
        };
        self.node.send(ExecutorId::from(shard), Message::Call(Box::new(call)));
    }
}

/// Lets others run now and then, in a loop that may be long.
pub struct Breath {
    pieces: Arc<Pieces>,
    served: bool,
    done: usize,
    began: Option<Instant>,
}

impl Breath {
    /// Rounds of some 50 ns between two looks at the clock.
    pub const LOOK: usize = 128;
    /// As the slices of shards.
    const MAX: Duration = Duration::from_micros(RUN_SLICE_MICROS);

    /// So many rounds are done.
    pub async fn after(&mut self, rounds: usize) {
        self.done += rounds;
        if self.done < Breath::LOOK || !self.served {
            return;
        }
        self.done = 0;
        let now = Instant::now();
        let took = now.duration_since(*self.began.get_or_insert(now));
        if took >= Breath::MAX {
            self.pieces.note(Piece::Visit, took);
            crate::rt::yield_now().await;
            self.began = Some(Instant::now());
        }
    }
}

/// A task's place to wait for answers; gives the place back when dropped.
pub struct Waiter {
    front: Rc<Front>,
    ticket: Ticket,
}

impl Waiter {
    /// Where answers for this task go.
    pub fn reply_to(&self) -> ReplyTo {
        ReplyTo { executor: self.front.me, ticket: self.ticket }
    }

    /// The next answer.
    pub async fn next(&self) -> Answer {
        poll_fn(|cx| self.poll_next(cx)).await
    }

    fn poll_next(&self, cx: &mut Context<'_>) -> Poll<Answer> {
        let mut waiting = self.front.waiting.borrow_mut();
        let place = &mut waiting.places[self.ticket.index as usize];
        match place.answers.pop_front() {
            Some(answer) => Poll::Ready(answer),
            None => {
                place.waker = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }

    /// The next answer, while something goes on beside, to its end.
    pub(super) async fn next_beside<F: Future<Output = ()>>(
        &self,
        beside: &mut Option<Pin<Box<F>>>,
    ) -> Answer {
        poll_fn(|cx| {
            if beside.as_mut().is_some_and(|beside| beside.as_mut().poll(cx).is_ready()) {
                *beside = None;
            }
            self.poll_next(cx)
        })
        .await
    }

    /// An answer that is there already.
    pub fn try_next(&self) -> Option<Answer> {
        let mut waiting = self.front.waiting.borrow_mut();
        waiting.places[self.ticket.index as usize].answers.pop_front()
    }

    /// The next answer, which is the value of a call.
    pub async fn value<T: 'static>(&self) -> T {
        let Answer::Value(value) = self.next().await else {
            unreachable!("a call answers with a value")
        };
        *value.downcast().expect("a call answers with its own type")
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        let mut waiting = self.front.waiting.borrow_mut();
        let place = &mut waiting.places[self.ticket.index as usize];
        place.generation = place.generation.wrapping_add(1);
        place.answers.clear();
        place.waker = None;
        waiting.free.push(self.ticket.index);
    }
}

/// Of a batch that is done and comes home to one who may be patient. What is to be sent again is waited for.
fn patience_of(message: &Message) -> Option<Arc<Patience>> {
    match message {
        Message::Answer(_, Answer::Batch(batch)) if !batch.is_unfinished() => {
            batch.patience.clone()
        }
        _ => None,
    }
}
