//! Who is at the other end, and what a host name means.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

/// The other end of a connection.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Peer {
    /// Over TCP, from there. A v4 address in a v6 coat is shown as v4.
    Internet(SocketAddr),
    /// Over a Unix-domain socket of this machine.
    Local,
}

impl Peer {
    /// The address, if it has one.
    pub fn address(&self) -> Option<SocketAddr> {
        match self {
            Self::Internet(address) => Some(*address),
            Self::Local => None,
        }
    }

    /// Whether it is on this machine: loopback or Unix-domain.
    pub fn is_local(&self) -> bool {
        match self {
            Self::Internet(address) => address.ip().is_loopback(),
            Self::Local => true,
        }
    }

    pub(super) fn from_socket(address: &socket2::SockAddr) -> Self {
        address.as_socket().map_or(Self::Local, |address| Self::Internet(canonical(address)))
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Internet(address) => address.fmt(f),
            Self::Local => f.write_str("unix"),
        }
    }
}

/// `::ffff:1.2.3.4` as `1.2.3.4`.
pub(super) fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

/// The addresses of `host`: a name, an IPv4 address, or an IPv6 address with or without brackets.
/// Never an empty list.
pub async fn resolve(host: &str, port: u16) -> Result<Vec<SocketAddr>, String> {
    if let Some(address) = literal(host) {
        return Ok(vec![SocketAddr::new(address, port)]);
    }
    if host.is_empty() || host.contains(['[', ']', '\0']) {
        return Err(format!("'{}' is not a host", host.escape_default()));
    }
    let addresses = super::lookup::look_up(host).await?;
    let at_port = |mut address: SocketAddr| {
        address.set_port(port);
        address
    };
    Ok(addresses.into_iter().map(at_port).collect())
}

fn literal(host: &str) -> Option<IpAddr> {
    let inner = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    match inner {
        Some(inner) => inner.parse().ok().map(IpAddr::V6),
        None => host.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_with_and_without_brackets() {
        for (host, address) in [
            ("127.0.0.1", Some("127.0.0.1")),
            ("::1", Some("::1")),
            ("[::1]", Some("::1")),
            ("[fe80::1]", Some("fe80::1")),
            ("[127.0.0.1]", None),
            ("[::1", None),
            ("localhost", None),
            ("", None),
        ] {
            assert_eq!(literal(host), address.map(|text| text.parse().unwrap()), "{host}");
        }
    }

    #[test]
    fn a_v4_peer_of_a_dual_stack_listener_is_shown_as_v4() {
        let address = canonical("[::ffff:10.1.2.3]:5".parse().unwrap());
        assert_eq!(Peer::Internet(address).to_string(), "10.1.2.3:5");
        assert_eq!(Peer::Local.to_string(), "unix");
    }
}
