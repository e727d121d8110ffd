//! What the tasks at both ends of a link run on: connections, time, and tasks themselves. Sockets and the
//! executor's clock in the program ([`Sockets`](crate::transport::Sockets)); pipes and virtual time in the
//! model, which performs these very tasks.

use engine::types::Millis;
use std::time::{Duration, Instant};

/// One connection. One task may read while another writes.
pub trait Line: 'static {
    /// Appends what has come, at most so much; 0 once the other end has closed it. A read that is dropped has
    /// taken nothing.
    fn read(
        &self,
        buffer: &mut Vec<u8>,
        most: usize,
    ) -> impl Future<Output = Result<usize, String>>;
    /// Sends all of it.
    fn write(&self, bytes: &[u8]) -> impl Future<Output = Result<(), String>>;
    /// Sends both, one after the other.
    fn write_both(&self, head: &[u8], body: &[u8]) -> impl Future<Output = Result<(), String>>;
    /// Ends it, whoever reads or writes.
    fn close(&self);
}

/// See the module's doc.
pub trait Roads: Clone + 'static {
    /// Connections.
    type Line: Line;
    /// A task under way.
    type Task;
    /// Parts of items held for one flow, at most: what walks its shard for it waits above it.
    const PARTS_BYTES_MAX: u64;

    /// The time of links.
    fn now(&self) -> Instant;
    /// The time of data.
    fn millis(&self) -> Millis;
    /// So much time passes.
    fn sleep(&self, time: Duration) -> impl Future<Output = ()>;
    /// Begins a task.
    fn spawn(&self, what: &'static str, task: impl Future<Output = ()> + 'static) -> Self::Task;
    /// Ends one that has nothing more to wait for.
    fn cancel(&self, task: Self::Task) -> impl Future<Output = ()>;
    /// Bytes of items that go at once, where so many may go.
    fn slice(&self, most: usize) -> usize {
        most
    }
}
