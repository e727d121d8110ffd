//! The runtime: executors, tasks, time, queues between executors, sockets, files, signals.
//!
//! This is the only room that touches glommio, the kernel's sockets and threads. It promises what
//! glommio 0.9 alone does not:
//!
//! - a machine that forbids io_uring or locked memory is named in words ([`probe`]), not a panic;
//! - a detached task ends with its executor, and its sockets with it ([`task`]);
//! - a request that arrives interrupts nobody, and a write that a half-closed peer does not drain
//!   costs no CPU (`poller`);
//! - no wake-up from another thread is lost ([`wake`]);
//! - a port is bound exclusively, and is free as soon as its listener is dropped ([`net`]);
//! - a wait that is dropped leaves neither a timer nor lost data behind ([`time`], [`net`]);
//! - a task's waker never leaves its thread, where glommio could free a task twice ([`wake`]).
//!
//! It knows no keys, no commands and no wire protocol.
//!
//! ```text
//!   thread shard-0              thread shard-1              thread repl
//!   +--------------+            +--------------+            +--------------+
//!   | tasks, timers| --push---> | mailbox      |            | tasks, timers|
//!   | sockets      | <--reply-- | tasks ...    | <--push--- | sockets      |
//!   +--------------+            +--------------+            +--------------+
//! ```

mod alarm;
mod cpu_time;
pub mod executor;
pub mod file;
pub mod mailbox;
mod nap;
pub mod net;
pub mod notify;
mod poller;
pub mod probe;
pub mod random;
pub mod reply;
pub mod signals;
pub mod task;
pub mod time;
pub mod wake;

pub use cpu_time::{CpuTime, cpu_time};
pub use executor::{Executor, Pin, Priority, Settings};
pub use file::{Appender, File, FileError};
pub use mailbox::{Receiver, Sender, mailbox};
pub use nap::Nap;
pub use net::{Accepted, Listener, Peer, Stream, Unreached, connect_any, resolve};
pub use notify::{Event, Notify};
pub use poller::glance;
pub use random::{fill_random, random_u64};
pub use reply::{ReplySlot, ReplyTo};
pub use task::{Task, spawn_local, yield_if_needed, yield_now};
pub use time::{Elapsed, Patience, monotonic, now_millis, sleep, timeout};
pub use wake::ForeignWaker;
