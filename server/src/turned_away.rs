//! Replicas that are not let in, for lack of a password or of a certificate, leave a line in the log: who
//! looks for a missing replica looks at its master first.
//!
//! A replica tries for ever, and anybody may pretend to be one: an address is named once in a while, and
//! only so many addresses are.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How often one address is named.
const EVERY: Duration = Duration::from_secs(60);

/// Addresses that are named within that time: more than replicas that are configured wrongly at once, and
/// few enough lines.
const ADDRESSES_MAX: usize = 32;

/// See the module's doc.
#[derive(Debug, Default)]
pub struct TurnedAway {
    named: Mutex<Vec<(IpAddr, Instant)>>,
}

impl TurnedAway {
    /// A replica at `peer` showed no password that is taken.
    pub fn by_password(&self, peer: Option<SocketAddr>) {
        if let Some(peer) = self.is_to_be_named(peer, Instant::now()) {
            tracing::warn!(
                "replication: a replica at {peer} was turned away, it showed no password that is taken: set \
                 masterauth (and masteruser) there to what requirepass is here"
            );
        }
    }

    /// Somebody at `peer` was not let in for its certificate, as `why` says.
    pub fn by_certificate(&self, peer: Option<SocketAddr>, why: &str) {
        if let Some(peer) = self.is_to_be_named(peer, Instant::now()) {
            tracing::warn!(
                "TLS: {peer} was turned away: {why}. If it is a replica, give it a certificate with \
                 --tls_cert_file and --tls_key_file whose authority is in --tls_ca_cert_file here"
            );
        }
    }

    /// The address to be named in a line, if it is time.
    fn is_to_be_named(&self, peer: Option<SocketAddr>, now: Instant) -> Option<SocketAddr> {
        let peer = peer?;
        let mut named = self.named.lock().unwrap_or_else(PoisonError::into_inner);
        named.retain(|(_, at)| now.saturating_duration_since(*at) < EVERY);
        let is_named = named.iter().any(|(known, _)| *known == peer.ip());
        if is_named || named.len() >= ADDRESSES_MAX {
            return None;
        }
        named.push((peer.ip(), now));
        Some(peer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_named_once_in_a_while_and_not_ever_so_many_are() {
        let (away, start) = (TurnedAway::default(), Instant::now());
        let peer = |last: u8, port| Some(SocketAddr::from(([10, 0, 0, last], port)));
        assert_eq!(away.is_to_be_named(None, start), None);
        assert_eq!(away.is_to_be_named(peer(1, 5), start), peer(1, 5));
        assert_eq!(away.is_to_be_named(peer(1, 6), start), None, "the same machine");
        let named = (2..=255).filter_map(|last| away.is_to_be_named(peer(last, 1), start)).count();
        assert_eq!(named, ADDRESSES_MAX - 1);
        assert_eq!(away.is_to_be_named(peer(1, 5), start + EVERY), peer(1, 5));
    }
}
