//! Tasks, time and dice.

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use crate::table::hash_with;
use crate::types::Millis;

/// The time at which every world begins: some day in 2026.
const EPOCH: u64 = 1_780_000_000_000;

/// Steps after which a world counts as running in circles: far above what any test needs.
const STEPS_MAX: u64 = 50_000_000;

/// Something that a scheduler may let do one piece of work.
pub(super) trait Actor {
    /// Whether there is something to do.
    fn is_ready(&self) -> bool;
    /// Does one piece.
    fn act(&self);
}

/// See the module's doc. A handle; clones are the same world.
#[derive(Clone)]
pub struct World(Rc<Inner>);

struct Inner {
    random: RefCell<fastrand::Rng>,
    now: Cell<u64>,
    tasks: RefCell<Vec<Option<Task>>>,
    actors: RefCell<Vec<Rc<dyn Actor>>>,
    timers: RefCell<Vec<(u64, Waker)>>,
    steps: Cell<u64>,
    /// The digest of all that has happened.
    trace: Cell<u64>,
}

struct Task {
    name: String,
    /// Taken out while it is polled.
    future: Option<Pin<Box<dyn Future<Output = ()>>>>,
    woken: Arc<Woken>,
}

struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// What can be done next.
enum Choice {
    Actor(usize),
    Task(usize),
}

impl World {
    /// A world whose dice are seeded with `seed`.
    pub fn new(seed: u64) -> World {
        crate::value::tree::order_as_in_all_tests();
        World(Rc::new(Inner {
            random: RefCell::new(fastrand::Rng::with_seed(seed)),
            now: Cell::new(EPOCH),
            tasks: RefCell::default(),
            actors: RefCell::default(),
            timers: RefCell::default(),
            steps: Cell::new(0),
            trace: Cell::new(0),
        }))
    }

    /// Dice of one's own, seeded by the world's.
    pub fn dice(&self) -> fastrand::Rng {
        self.0.random.borrow_mut().fork()
    }

    /// The time.
    pub fn now(&self) -> Millis {
        Millis(self.0.now.get())
    }

    /// Lets time pass for everybody at once.
    pub fn advance(&self, millis: u64) {
        self.0.now.set(self.0.now.get() + millis);
        self.ring_timers();
    }

    /// A digest of all that has happened: which steps were chosen among how many, when, and what was noted.
    /// Two runs of one seed have the same.
    pub fn trace(&self) -> u64 {
        self.0.trace.get()
    }

    /// Something happens that [`trace`](World::trace) tells of.
    pub fn note(&self, what: &[u8]) {
        self.0.trace.set(hash_with(self.0.trace.get(), what));
    }

    fn note_step(&self, numbers: [u64; 3]) {
        numbers.iter().for_each(|number| self.note(&number.to_le_bytes()));
    }

    /// Waits so many milliseconds of virtual time.
    pub async fn sleep(&self, millis: u64) {
        let due = self.0.now.get() + millis;
        poll_fn(|cx| {
            if self.0.now.get() >= due {
                return Poll::Ready(());
            }
            self.0.timers.borrow_mut().push((due, cx.waker().clone()));
            Poll::Pending
        })
        .await;
    }

    /// Lets others have a turn.
    pub async fn yield_now(&self) {
        let mut yielded = false;
        poll_fn(|cx| {
            if std::mem::replace(&mut yielded, true) {
                return Poll::Ready(());
            }
            cx.waker().wake_by_ref();
            Poll::Pending
        })
        .await;
    }

    /// Starts a task.
    pub fn spawn<T: 'static>(
        &self,
        name: impl Into<String>,
        future: impl Future<Output = T> + 'static,
    ) -> Joined<T> {
        let result = Rc::new(RefCell::new((None, None::<Waker>)));
        let place = result.clone();
        let future = Box::pin(async move {
            let value = future.await;
            let waker = {
                let mut place = place.borrow_mut();
                place.0 = Some(value);
                place.1.take()
            };
            waker.inspect(Waker::wake_by_ref);
        });
        let woken = Arc::new(Woken(AtomicBool::new(true)));
        let task = Task { name: name.into(), future: Some(future), woken };
        let mut tasks = self.0.tasks.borrow_mut();
        match tasks.iter().position(Option::is_none) {
            Some(free) => tasks[free] = Some(task),
            None => tasks.push(Some(task)),
        }
        Joined(result)
    }

    pub(super) fn add_actor(&self, actor: Rc<dyn Actor>) {
        self.0.actors.borrow_mut().push(actor);
    }

    /// One step of somebody; `false` when nobody can do anything and no timer runs.
    pub fn step(&self) -> bool {
        self.0.steps.set(self.0.steps.get() + 1);
        assert!(self.0.steps.get() < STEPS_MAX, "the world runs in circles");
        let choices = self.choices();
        if choices.is_empty() {
            return self.next_timer();
        }
        let chosen = self.0.random.borrow_mut().usize(..choices.len());
        let now = self.0.now.get();
        match choices[chosen] {
            Choice::Actor(index) => {
                self.note_step([now, choices.len() as u64, index as u64]);
                let actor = self.0.actors.borrow()[index].clone();
                actor.act();
            }
            Choice::Task(index) => {
                self.note_step([now, choices.len() as u64, !(index as u64)]);
                self.poll(index);
            }
        }
        true
    }

    fn choices(&self) -> Vec<Choice> {
        let actors = self.0.actors.borrow();
        let ready = actors.iter().enumerate().filter(|(_, actor)| actor.is_ready());
        let mut choices: Vec<Choice> = ready.map(|(index, _)| Choice::Actor(index)).collect();
        for (index, task) in self.0.tasks.borrow().iter().enumerate() {
            if task.as_ref().is_some_and(|task| task.woken.0.load(Ordering::Relaxed)) {
                choices.push(Choice::Task(index));
            }
        }
        choices
    }

    fn poll(&self, index: usize) {
        let (future, woken) = {
            let mut tasks = self.0.tasks.borrow_mut();
            let Some(task) = tasks[index].as_mut() else { return };
            task.woken.0.store(false, Ordering::Relaxed);
            (task.future.take(), task.woken.clone())
        };
        let Some(mut future) = future else { return };
        let waker = Waker::from(woken);
        // The list is not borrowed meanwhile: the task may start others.
        let done = future.as_mut().poll(&mut Context::from_waker(&waker)).is_ready();
        let mut tasks = self.0.tasks.borrow_mut();
        match &mut tasks[index] {
            Some(task) if !done => task.future = Some(future),
            place => *place = None,
        }
    }

    fn next_timer(&self) -> bool {
        let next = self.0.timers.borrow().iter().map(|&(due, _)| due).min();
        let Some(next) = next else { return false };
        self.0.now.set(next.max(self.0.now.get()));
        self.ring_timers();
        true
    }

    fn ring_timers(&self) {
        let now = self.0.now.get();
        self.0.timers.borrow_mut().retain(|(due, waker)| {
            if *due <= now {
                waker.wake_by_ref();
            }
            *due > now
        });
    }

    /// Steps until nobody can do anything any more; the names of the tasks that have not ended.
    pub fn run(&self) -> Vec<String> {
        while self.step() {}
        self.unfinished()
    }

    /// The tasks that have not ended.
    pub fn unfinished(&self) -> Vec<String> {
        self.0.tasks.borrow().iter().flatten().map(|task| task.name.clone()).collect()
    }

    /// Ends it: drops all that goes on in it. Tasks and nodes know their world, so without this what a
    /// run has made stays in memory for ever.
    pub fn end(&self) {
        let tasks = self.0.tasks.take();
        let actors = self.0.actors.take();
        let timers = self.0.timers.take();
        drop((tasks, actors, timers));
    }

    /// Steps until `future` has ended. Panics when it never will.
    pub fn block_on<T: 'static>(&self, future: impl Future<Output = T> + 'static) -> T {
        let joined = self.spawn("main", future);
        loop {
            if let Some(value) = joined.take() {
                return value;
            }
            assert!(self.step(), "nobody can do anything: {:?}", self.unfinished());
        }
    }
}

/// The result of a task, once it has ended.
pub struct Joined<T>(Rc<RefCell<(Option<T>, Option<Waker>)>>);

impl<T> Joined<T> {
    /// The result, if the task has ended and nobody took it before.
    pub fn take(&self) -> Option<T> {
        self.0.borrow_mut().0.take()
    }

    /// Waits for the result.
    pub async fn join(self) -> T {
        poll_fn(|cx| {
            let mut place = self.0.borrow_mut();
            if let Some(value) = place.0.take() {
                return Poll::Ready(value);
            }
            place.1 = Some(cx.waker().clone());
            Poll::Pending
        })
        .await
    }
}
