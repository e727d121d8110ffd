//! Time as the machines see it: virtual, and ten times as fast as for keys, so that a link lives through
//! much in a run.

use crate::net::End;
use engine::model::World;
use engine::types::Millis;
use replication::roads::Roads;
use std::future::Future;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// Milliseconds of a link in one of the world.
const SPEED: u64 = 10;

/// What all instants of the model are counted from; nothing depends on when it is.
static BASE: OnceLock<Instant> = OnceLock::new();

/// The time of a world.
#[derive(Clone)]
pub(crate) struct Time(World);

impl Time {
    pub(crate) fn new(world: &World) -> Time {
        Time(world.clone())
    }

    pub(crate) fn world(&self) -> &World {
        &self.0
    }

    pub(crate) fn now(&self) -> Instant {
        *BASE.get_or_init(Instant::now) + Duration::from_millis(self.0.now().0 * SPEED)
    }

    pub(crate) async fn sleep(&self, time: Duration) {
        // Rounded up: who is woken finds that it was time.
        let millis = time.as_nanos().div_ceil(u128::from(SPEED) * 1_000_000);
        self.0.sleep(millis as u64).await;
    }

    /// So many milliseconds of a link.
    pub(crate) async fn sleep_ms(&self, millis: u64) {
        self.sleep(Duration::from_millis(millis)).await;
    }

    pub(crate) fn spawn(&self, name: &str, task: impl Future<Output = ()> + 'static) {
        self.0.spawn(name, task);
    }
}

impl Roads for Time {
    type Line = End;
    type Task = ();
    /// So few that a walk waits for its connections, and much happens between two parts.
    const PARTS_BYTES_MAX: u64 = 16 * 1024;

    fn now(&self) -> Instant {
        self.now()
    }

    fn millis(&self) -> Millis {
        self.0.now()
    }

    async fn sleep(&self, time: Duration) {
        self.sleep(time).await;
    }

    fn spawn(&self, what: &'static str, task: impl Future<Output = ()> + 'static) {
        self.spawn(what, task);
    }

    /// It ends by itself, or is found to wait for ever.
    async fn cancel(&self, (): ()) {}

    /// Items go in slices of any size.
    fn slice(&self, most: usize) -> usize {
        let mut dice = self.0.dice();
        if most > 0 && dice.bool() { most.min(dice.usize(1..64 * 1024)) } else { most }
    }
}
