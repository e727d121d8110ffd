//! Tasks of one executor: spawn, detach, cancel, yield.
//!
//! A [`Task`] is cancelled when it is dropped; a detached one runs on, but not longer than its
//! executor: when the executor's first future ends, every detached task is cancelled and its
//! future dropped. glommio alone would leak those that wait for another thread, with their sockets.
//!
//! Nothing here may be called outside an executor.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use glommio::timer::Timer;
use pin_project_lite::pin_project;

/// A spawned future: await it, cancel it, detach it; dropping it cancels it.
#[must_use = "a task is cancelled when it is dropped: detach it to let it run"]
#[derive(Debug)]
pub struct Task<T> {
    id: u64,
    inner: glommio::Task<T>,
}

impl<T: 'static> Task<T> {
    /// Lets the task run until it ends or its executor does. Its output is dropped.
    pub fn detach(self) {
        let Self { id, inner } = self;
        let finished = LIVE.with_borrow_mut(|live| match live.get_mut(&id) {
            Some(handle) => {
                *handle = Some(Box::new(inner));
                None
            }
            None => Some(inner),
        });
        if let Some(inner) = finished {
            drop(inner.detach());
        }
    }

    /// Cancels the task and waits until its future is dropped. `Some` if it had already ended.
    pub async fn cancel(self) -> Option<T> {
        self.inner.cancel().await
    }
}

impl<T> Future for Task<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        Pin::new(&mut self.inner).poll(cx)
    }
}

/// Spawns `future` on the current executor. It first runs after the caller next waits.
pub fn spawn_local<T: 'static>(future: impl Future<Output = T> + 'static) -> Task<T> {
    let id = NEXT_ID.replace(NEXT_ID.get() + 1);
    LIVE.with_borrow_mut(|live| live.insert(id, None));
    let future = Spawned { future: counted(future), entry: TaskEntry { id } };
    // glommio's plain `spawn_local` runs the task at once, in the middle of what the caller does.
    let inner = glommio::spawn_local_into(future, glommio::TaskQueueHandle::default())
        .expect("an executor always has its default queue");
    Task { id, inner }
}

/// How long tasks that yield may keep the CPU before the executor looks at sockets and timers.
pub const POLL_INTERVAL: Duration = Duration::from_micros(500);

/// Lets every other task that is ready run first; and, when [`POLL_INTERVAL`] has passed since it
/// last did, lets the executor look at its sockets, timers and foreign wake-ups.
///
/// glommio does the latter only when no task is ready or its preemption timer fires, and that timer
/// is off (see `executor`). So every task that yields when the interval is over waits on a timer
/// that is up at once: no task is ready then, and the executor looks.
pub async fn yield_now() {
    if look_is_due() {
        let_look().await;
    } else {
        futures_lite::future::yield_now().await;
    }
}

/// Lets the executor look at its sockets, timers and foreign wake-ups. Who has something at a socket runs before the task
/// that lets it: found out later, they would wait for as many turns of that task as the poller needs to come to it.
pub(super) async fn let_look() {
    if let Some(look) = SOCKETS.get() {
        look();
    }
    let_ring_look().await;
}

/// Says how the sockets of this thread's executor are looked at; `None` when it has none any more.
pub(super) fn sockets_are_looked_at(by: Option<fn() -> bool>) {
    SOCKETS.set(by);
}

/// The same for the poller, which looks at the sockets by itself.
pub(super) async fn let_ring_look() {
    let wanting = Wanting::look();
    Timer::new(Duration::from_micros(1)).await;
    drop(wanting);
    futures_lite::future::yield_now().await;
    looked();
}

/// Whether [`POLL_INTERVAL`] has passed since the executor last looked.
pub(super) fn look_is_due() -> bool {
    LAST_LOOK.get().is_none_or(|last| last.elapsed() >= POLL_INTERVAL)
}

/// Whether tasks wait for the executor to look at its timers: it must not sleep elsewhere.
pub(super) fn ring_is_wanted() -> bool {
    WANTING.get() > 0
}

/// Whether all of them wait on timers that are up at once.
pub(super) fn only_looks_are_wanted() -> bool {
    WANTING.get() > 0 && WANTING_FILES.get() == 0
}

/// While it lives, a task waits for the executor to look at its ring: at timers, or at files.
pub(super) struct Wanting {
    is_of_file: bool,
}

impl Wanting {
    /// At a timer that is up at once.
    fn look() -> Self {
        WANTING.set(WANTING.get() + 1);
        Self { is_of_file: false }
    }

    /// At a file.
    pub(super) fn file() -> Self {
        WANTING.set(WANTING.get() + 1);
        WANTING_FILES.set(WANTING_FILES.get() + 1);
        Self { is_of_file: true }
    }
}

impl Drop for Wanting {
    fn drop(&mut self) {
        WANTING.set(WANTING.get() - 1);
        WANTING_FILES.set(WANTING_FILES.get() - u32::from(self.is_of_file));
    }
}

/// How often tasks of this executor were polled so far: if twice the same, none was ready between.
pub(super) fn polls() -> u64 {
    POLLS.get()
}

/// The future, its polls counted in [`polls`].
pub(super) fn counted<F: Future>(future: F) -> Counted<F> {
    Counted { future }
}

pin_project! {
    /// A future whose polls are counted. No `async` function, which would hold the future twice: as what it
    /// was given, and as what it waits for. That holds for [`Spawned`] too.
    pub(super) struct Counted<F> {
        #[pin]
        future: F,
    }
}

impl<F: Future> Future for Counted<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        POLLS.set(POLLS.get() + 1);
        self.project().future.poll(cx)
    }
}

pin_project! {
    /// A future of a task that is known in [`LIVE`]. It is dropped before its place there is given back.
    struct Spawned<F> {
        #[pin]
        future: Counted<F>,
        entry: TaskEntry,
    }
}

impl<F: Future> Future for Spawned<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        self.project().future.poll(cx)
    }
}

/// The executor has looked at its sockets, timers and foreign wake-ups by itself.
pub(super) fn looked() {
    LAST_LOOK.set(Some(Instant::now()));
}

/// Yields if [`POLL_INTERVAL`] has passed since the executor last looked at its sockets: cheap
/// enough for inner loops of some microseconds a turn.
pub async fn yield_if_needed() {
    if look_is_due() {
        yield_now().await;
    }
}

/// Cancels all detached tasks of this executor, also those that they spawn while ending, and lets
/// those that were cancelled by being dropped come to their end.
pub(super) async fn cancel_detached() {
    // A task may spawn when dropped, and that one again; and a handle that somebody keeps in a
    // static never ends. This often we look, but not for ever.
    const ROUNDS_MAX: usize = 256;
    for _ in 0..ROUNDS_MAX {
        let handles: Vec<Box<dyn Handle>> =
            LIVE.with_borrow_mut(|live| live.values_mut().filter_map(Option::take).collect());
        for handle in handles {
            handle.cancel().await;
        }
        if LIVE.with_borrow(HashMap::is_empty) {
            return;
        }
        yield_now().await;
    }
    log::warn!("{} tasks did not end with their executor", LIVE.with_borrow(HashMap::len));
}

/// The handle is there if the task is detached.
type LiveTasks = HashMap<u64, Option<Box<dyn Handle>>, foldhash::fast::FixedState>;

thread_local! {
    /// Who looks at the sockets.
    static SOCKETS: Cell<Option<fn() -> bool>> = const { Cell::new(None) };
    /// When a task last came back from letting the executor look at its sockets.
    static LAST_LOOK: Cell<Option<Instant>> = const { Cell::new(None) };
    static NEXT_ID: Cell<u64> = const { Cell::new(0) };
    static POLLS: Cell<u64> = const { Cell::new(0) };
    static WANTING: Cell<u32> = const { Cell::new(0) };
    static WANTING_FILES: Cell<u32> = const { Cell::new(0) };
    /// The tasks whose futures exist.
    static LIVE: RefCell<LiveTasks> =
        RefCell::new(HashMap::with_hasher(foldhash::fast::FixedState::with_seed(0)));
}

/// Lives in a task's future, so that the task is forgotten when the future is dropped.
struct TaskEntry {
    id: u64,
}

impl Drop for TaskEntry {
    fn drop(&mut self) {
        // The thread may be ending, and the table with it.
        let handle = LIVE.try_with(|live| live.borrow_mut().remove(&self.id));
        if let Ok(Some(Some(handle))) = handle {
            handle.forget();
        }
    }
}

/// A detached task without the type of its output.
trait Handle {
    fn cancel(self: Box<Self>) -> Pin<Box<dyn Future<Output = ()>>>;
    fn forget(self: Box<Self>);
}

impl<T: 'static> Handle for glommio::Task<T> {
    fn cancel(self: Box<Self>) -> Pin<Box<dyn Future<Output = ()>>> {
        Box::pin(async move {
            let _ = (*self).cancel().await;
        })
    }

    fn forget(self: Box<Self>) {
        drop((*self).detach());
    }
}
