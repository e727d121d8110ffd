//! What a client sends while its request waits for others.
//!
//! It is read although nobody wants it yet: a client that closes while the socket's buffers are full of what it has
//! pipelined behind a BLPOP would look alive for ever, as the word that it has gone stands behind all of that; and
//! would be given the next element.
//!
//! It holds as much as a client may have unasked (`client-query-buffer-limit`), and reads no more then.

use engine::rt::yield_if_needed;
use replication::transport::{Taker, Transport};
use std::cell::RefCell;
use std::sync::atomic::{AtomicU64, Ordering};

/// Read at a time.
const PIECE: usize = 64 * 1024;

/// See the module's doc.
#[derive(Default)]
pub(super) struct Unread(RefCell<Vec<u8>>);

/// Whoever drops the wait in its middle keeps what has come: TLS may have read it and wait for something else.
struct Into<'a>(&'a Unread);

impl Taker for Into<'_> {
    fn take(&mut self, bytes: &[u8]) {
        self.0.0.borrow_mut().extend_from_slice(bytes);
    }

    fn only_buffer(&mut self) -> Option<&mut Vec<u8>> {
        None
    }
}

impl Unread {
    /// Reads until the client has ended its side or is broken, or `limit` is held: then waits for that alone.
    /// `shown` says how much is held.
    pub(super) async fn until_gone(&self, transport: &Transport, limit: u64, shown: &AtomicU64) {
        let before = shown.load(Ordering::Relaxed);
        while (self.0.borrow().len() as u64) < limit {
            match transport.read(&mut Into(self), PIECE).await {
                Ok(1..) => {}
                Ok(0) | Err(_) => return,
            }
            shown.store(before + self.0.borrow().len() as u64, Ordering::Relaxed);
            yield_if_needed().await;
        }
        transport.stream().ended().await;
    }

    /// All of it.
    pub(super) fn take(&self) -> Vec<u8> {
        self.0.take()
    }

    /// Whether there is nothing.
    pub(super) fn is_empty(&self) -> bool {
        self.0.borrow().is_empty()
    }
}
