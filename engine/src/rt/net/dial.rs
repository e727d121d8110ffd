//! Connecting to one of several addresses.

use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use super::stream::Stream;
use crate::rt::time::timeout;

/// After so long without an answer the next address is tried beside those before it (RFC 8305).
const STAGGER: Duration = Duration::from_millis(250);

/// Addresses of one name that are tried: each takes a descriptor.
const ADDRESSES_MAX: usize = 32;

/// No address answered.
#[derive(Debug)]
pub struct Unreached {
    /// Every address that was tried, and why it was not reached.
    pub text: String,
    /// One of them did not answer in time.
    pub late: bool,
}

/// An address that is tried.
type Dialing = (SocketAddr, Pin<Box<dyn Future<Output = io::Result<Stream>>>>);

/// Connects to the first of `addresses` that answers, and says which. They are tried side by side, each
/// for `limit`: an address that leads nowhere costs the others nothing but a quarter of a second.
pub async fn connect_any(
    addresses: &[SocketAddr],
    limit: Duration,
) -> Result<(Stream, SocketAddr), Unreached> {
    let mut waiting = in_turns(addresses).into_iter().take(ADDRESSES_MAX).peekable();
    let mut dialing: Vec<Dialing> = Vec::new();
    let (mut failures, mut late) = (Vec::new(), false);
    loop {
        if let Some(address) = waiting.next() {
            dialing.push((address, Box::pin(Stream::connect(address, limit))));
        }
        if dialing.is_empty() {
            return Err(Unreached { text: failures.join("; "), late });
        }
        let done = if waiting.peek().is_some() {
            timeout(STAGGER, first_done(&mut dialing)).await
        } else {
            Ok(first_done(&mut dialing).await)
        };
        match done {
            Ok((address, Ok(stream))) => return Ok((stream, address)),
            Ok((address, Err(error))) => failures.push(match error.kind() {
                io::ErrorKind::TimedOut => {
                    late = true;
                    format!("{address} did not answer within {} ms", limit.as_millis())
                }
                _ => format!("{address}: {error}"),
            }),
            // Time for the next one.
            Err(_) => {}
        }
    }
}

/// The two families by turns, beginning with the resolver's choice: one that is not routed must not
/// stand before the other with all its addresses.
fn in_turns(addresses: &[SocketAddr]) -> Vec<SocketAddr> {
    let first_is_v6 = addresses.first().is_some_and(SocketAddr::is_ipv6);
    let (mut chosen, mut other): (Vec<SocketAddr>, Vec<SocketAddr>) =
        addresses.iter().rev().partition(|address| address.is_ipv6() == first_is_v6);
    let mut turns = Vec::with_capacity(addresses.len());
    while turns.len() < addresses.len() {
        turns.extend(chosen.pop());
        turns.extend(other.pop());
    }
    turns
}

async fn first_done(dialing: &mut Vec<Dialing>) -> (SocketAddr, io::Result<Stream>) {
    poll_fn(|cx| {
        for place in 0..dialing.len() {
            if let Poll::Ready(outcome) = dialing[place].1.as_mut().poll(cx) {
                let (address, _) = dialing.swap_remove(place);
                return Poll::Ready((address, outcome));
            }
        }
        Poll::Pending
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_take_turns_in_the_resolvers_order() {
        let addresses = |text: &str| -> Vec<SocketAddr> {
            text.split_whitespace().map(|address| address.parse().expect("an address")).collect()
        };
        for (given, turns) in [
            ("", ""),
            ("1.1.1.1:1", "1.1.1.1:1"),
            ("[::1]:1 [::2]:1 1.1.1.1:1", "[::1]:1 1.1.1.1:1 [::2]:1"),
            ("1.1.1.1:1 2.2.2.2:1 3.3.3.3:1 [::1]:1", "1.1.1.1:1 [::1]:1 2.2.2.2:1 3.3.3.3:1"),
        ] {
            assert_eq!(in_turns(&addresses(given)), addresses(turns), "{given}");
        }
    }
}
