//! Tasks of one executor that do something in the order in which they came, though each has to wait for something else
//! before it.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Poll, Waker};

/// See the module's doc.
#[derive(Default)]
pub(super) struct Lineup(RefCell<Waiting>);

#[derive(Default)]
struct Waiting {
    last: u64,
    /// Numbers, and who is to be woken at his turn.
    places: VecDeque<(u64, Option<Waker>)>,
}

impl Lineup {
    /// A place behind all others.
    pub(super) fn join(self: &Rc<Lineup>) -> Place {
        let mut waiting = self.0.borrow_mut();
        waiting.last += 1;
        let number = waiting.last;
        waiting.places.push_back((number, None));
        Place { lineup: self.clone(), number }
    }
}

/// A place, until it is dropped.
pub(super) struct Place {
    lineup: Rc<Lineup>,
    number: u64,
}

impl Place {
    /// Waits until nobody is before it.
    pub(super) async fn turn(&self) {
        poll_fn(|cx| {
            let places = &mut self.lineup.0.borrow_mut().places;
            let place = places.iter().position(|(number, _)| *number == self.number);
            let place = place.expect("it has its place until it is dropped");
            if place == 0 {
                return Poll::Ready(());
            }
            places[place].1 = Some(cx.waker().clone());
            Poll::Pending
        })
        .await;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut waiting = self.lineup.0.borrow_mut();
        waiting.places.retain(|(number, _)| *number != self.number);
        let first = waiting.places.front_mut().and_then(|(_, waker)| waker.take());
        drop(waiting);
        first.into_iter().for_each(Waker::wake);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_lite::future::{block_on, poll_once};
    use std::pin::pin;

    #[test]
    fn each_has_its_turn_when_all_before_it_have_gone_in_whatever_way() {
        block_on(async {
            let lineup = Rc::new(Lineup::default());
            let [first, second, third] = [(); 3].map(|()| lineup.join());
            first.turn().await;
            let mut turn = pin!(third.turn());
            assert!(poll_once(&mut turn).await.is_none());
            drop(second);
            assert!(poll_once(&mut turn).await.is_none(), "the first is still there");
            drop(first);
            turn.await;
            let last = lineup.join();
            assert!(poll_once(pin!(last.turn())).await.is_none());
        });
    }
}
