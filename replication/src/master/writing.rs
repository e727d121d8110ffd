//! What a flow writes to its socket: journal, items as fast as they may go, and signs of life.

use super::flow::{FlowSender, Step};
use super::machine::Event;
use super::reason::Reason;
use super::session::{Outflow, Session};
use crate::roads::{Line, Roads};
use crate::wire::{self, Kind};
use engine::types::Lsn;
use futures_lite::future;
use std::rc::Rc;
use std::time::{Duration, Instant};

/// Bytes sent in one go.
const SEND_BYTES: usize = 256 * 1024;

/// Journal bytes below this are gathered for [`GATHER`] before they are sent.
const GATHER_BELOW: usize = 16 * 1024;

/// How long small writes are gathered: a wake-up and a system call for every record would cost the
/// writer's core more than the record.
const GATHER: Duration = Duration::from_millis(1);

/// Slices a second in which slowed items go: what arrives in smaller steps is seen to arrive.
const SLICES_PER_SECOND: u64 = 4;

/// So soon a flow whose items wait sees that the limit was changed.
const LIMIT_LOOK_EVERY: Duration = Duration::from_millis(100);

/// How fast items may go: what was sent is a debt that time pays.
struct Rate {
    debt: f64,
    at: Instant,
}

impl Rate {
    /// A wait below this is none: timers are not exact, and what is lost to them would be lost for good.
    const SLACK: Duration = Duration::from_millis(10);

    fn new(now: Instant) -> Rate {
        Rate { debt: 0.0, at: now }
    }

    /// How long items have to wait under a limit of so many bytes a second; 0 is none.
    fn wait(&mut self, limit: u64, now: Instant) -> Duration {
        let passed = now.saturating_duration_since(self.at).as_secs_f64();
        self.at = now;
        if limit == 0 {
            self.debt = 0.0;
            return Duration::ZERO;
        }
        self.debt = (self.debt - passed * limit as f64).max(0.0);
        let wait = Duration::try_from_secs_f64(self.debt / limit as f64).unwrap_or(Duration::MAX);
        if wait <= Rate::SLACK { Duration::ZERO } else { wait }
    }

    fn sent(&mut self, bytes: usize) {
        self.debt += bytes as f64;
    }
}

/// Bytes of items that go at once under a limit, at most.
fn slice(limit: u64) -> usize {
    match limit {
        0 => usize::MAX,
        limit => usize::try_from(limit / SLICES_PER_SECOND).unwrap_or(usize::MAX).max(1),
    }
}

/// Sends what the flow has to send, until the session ends.
pub(super) async fn write_flow<R: Roads>(session: Rc<Session<R>>, flow: Rc<Outflow<R::Line>>) {
    let roads = &session.roads;
    let Some(line) = flow.line.borrow().clone() else { return };
    let mut first = Vec::new();
    wire::put_numbers(&mut first, Kind::Start, &[session.machine().acked_of(flow.index).0]);
    if let Err(error) = line.write(&first).await {
        return session.end(Reason::Flow(flow.index, error));
    }
    let mut said = roads.now();
    let mut rate = Rate::new(said);
    while !session.is_ended() {
        let limit = session.settings.borrow().full_sync_bytes_per_second;
        let items_wait = rate.wait(limit, roads.now());
        let sent = match flow.step(if items_wait.is_zero() { roads.slice(slice(limit)) } else { 0 })
        {
            Step::Log(span) => {
                session.writes(&flow);
                let header = wire::header(Kind::Log, &span);
                flow.note_sent(span.lsn_after(), span.bytes_after());
                let sent = line.write_both(&header, &span).await;
                session.wrote(&flow, span.lsn_after());
                said = roads.now();
                let more_goes = flow.has_pieces() && items_wait.is_zero();
                if sent.is_ok() && span.len() < GATHER_BELOW && !more_goes {
                    drop(span);
                    roads.sleep(GATHER).await;
                }
                sent
            }
            Step::Messages(messages) => {
                session.writes(&flow);
                let sent = line.write(&messages).await;
                session.wrote(&flow, Lsn(0));
                said = roads.now();
                rate.sent(messages.len());
                let all = session.full_sync_bytes.get() + messages.len() as u64;
                session.full_sync_bytes.set(all);
                let left = flow.part_bytes.get().saturating_sub(messages.len() as u64);
                flow.part_bytes.set(left);
                flow.drained.ring();
                sent
            }
            Step::Wait => {
                // Counted from what was said last: what wakes a flow in vain must not put its signs off.
                let left = session
                    .alive_every()
                    .saturating_sub(roads.now().saturating_duration_since(said));
                if left.is_zero() {
                    session.step(Event::Pings(flow.index));
                    said = roads.now();
                    let sent = line.write(&ping(&flow)).await;
                    session.wrote(&flow, Lsn(0));
                    sent
                } else {
                    let look = items_wait.min(LIMIT_LOOK_EVERY);
                    let look = if look.is_zero() { left } else { left.min(look) };
                    wait_for_more(&flow, roads.sleep(look)).await;
                    Ok(())
                }
            }
            Step::Gone(_) => {
                session.end_trimmed(&flow);
                Ok(())
            }
        };
        if let Err(error) = sent {
            session.end(Reason::Flow(flow.index, error));
        }
    }
}

/// A sign of life: where the journal stands.
fn ping<L>(flow: &Outflow<L>) -> Vec<u8> {
    let mut ping = Vec::new();
    let numbers = [flow.log.head().0, flow.log.total_bytes()];
    wire::put_numbers(&mut ping, Kind::Ping, &numbers);
    ping
}

impl<L> Outflow<L> {
    fn has_pieces(&self) -> bool {
        self.sender.borrow().as_ref().is_some_and(FlowSender::has_pieces)
    }

    /// What is next, with at most so many bytes of items.
    fn step(&self, items: usize) -> Step {
        let mut sender = self.sender.borrow_mut();
        sender.as_mut().map_or(Step::Wait, |sender| sender.next_within(SEND_BYTES, items))
    }
}

/// Waits for the journal or a part, or until it is enough.
async fn wait_for_more<L>(flow: &Outflow<L>, enough: impl Future<Output = ()>) {
    let readable = std::future::poll_fn(|context| match &mut *flow.sender.borrow_mut() {
        Some(sender) => sender.poll_log(context),
        None => std::task::Poll::Pending,
    });
    let more = future::or(readable, flow.wake.wait());
    future::or(more, enough).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_large_value_does_not_pass_a_limit_in_one_go() {
        // Bytes a second, bytes in all, and the least and most seconds that they take.
        for (limit, bytes, least, most) in [
            (1_000_000, 40_000_000, 39.0, 41.0),
            (20_000, 100_000, 4.7, 5.5),
            (1_000_000_000, 2_000_000_000, 1.9, 2.1),
            (0, 40_000_000, 0.0, 0.0),
        ] {
            let start = Instant::now();
            let (mut now, mut left, mut rate) = (start, bytes, Rate::new(start));
            while left > 0 {
                let wait = rate.wait(limit, now);
                if wait.is_zero() {
                    let piece = left.min(slice(limit).min(256 * 1024));
                    rate.sent(piece);
                    left -= piece;
                } else {
                    now += wait;
                }
            }
            let took = (now - start).as_secs_f64();
            assert!((least..=most).contains(&took), "{limit}: {bytes} bytes took {took} s");
        }
    }

    #[test]
    fn a_limit_that_is_raised_or_taken_away_counts_at_once() {
        let now = Instant::now();
        let mut rate = Rate::new(now);
        rate.sent(1_000_000);
        assert_eq!(rate.wait(1000, now), Duration::from_secs(1000));
        assert_eq!(rate.wait(1_000_000, now), Duration::from_secs(1));
        assert_eq!(rate.wait(0, now), Duration::ZERO);
        assert_eq!(rate.wait(1000, now), Duration::ZERO, "the debt is forgiven");
    }
}
