//! The task that makes the stream.

use super::followers::{Followers, Told};
use engine::rt;
use std::future::poll_fn;
use std::rc::Rc;

/// Says what the journals say, until the stream ends.
pub(super) async fn tell(followers: Rc<Followers>, told: Rc<Told>) {
    while !told.is_over.get() {
        let pumped = told.stream.borrow_mut().pump();
        match pumped {
            Ok(true) => {
                followers.moved(&told);
                rt::yield_now().await;
            }
            Ok(false) => {
                let readable = poll_fn(|cx| told.stream.borrow_mut().poll_readable(cx));
                told.bell.wait_unless(readable).await;
            }
            Err(why) => followers.broke(&told, &why),
        }
    }
}
