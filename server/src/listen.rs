//! Listening: one acceptor per address, connections handed to the shards in turn.
//!
//! A port of several listeners would let the kernel choose by hash, which leaves few connections
//! skewed; one acceptor deals them out exactly. What a connection speaks is found out on its own
//! executor: TLS where it is demanded, RESP or HTTP.

use crate::config::Config;
use crate::server::{Counters, Server};
use crate::supervisor;
use engine::exec::Node;
use engine::rt::{self, Accepted, Listener};
use engine::shard::{ExecutorId, Message};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A connection on its way to its executor.
pub struct Incoming {
    /// The socket.
    pub accepted: Accepted,
    /// Whether it came in over the admin port.
    pub admin: bool,
}

/// Listeners that are bound, and not served yet.
pub struct Bound {
    listeners: Vec<(Listener, bool)>,
    /// The main port in use; 0 is none.
    pub port: u16,
    /// The admin port in use; 0 is none.
    pub admin_port: u16,
}

/// How long a port may be in use: the kernel takes the sockets of a process that was killed down a
/// moment after the process itself, and a service manager starts the next one at once.
const IN_USE_MAX: Duration = Duration::from_secs(2);

/// Why a port cannot be listened on.
struct Refused {
    kind: io::ErrorKind,
    text: String,
}

impl From<String> for Refused {
    fn from(text: String) -> Refused {
        Refused { kind: io::ErrorKind::Other, text }
    }
}

/// Binds everything that the settings ask for. An error names the address.
pub async fn bind(config: &Config) -> Result<Bound, String> {
    let deadline = Instant::now() + IN_USE_MAX;
    let protected = is_protected(config);
    if protected {
        tracing::warn!(
            "under systemd, without a password and without TLS, only the loopback is listened on: \
             --requirepass, --tls or --bind opens the node"
        );
    }
    loop {
        match bind_now(config, protected) {
            Ok(bound) => return Ok(bound),
            Err(refused)
                if refused.kind == io::ErrorKind::AddrInUse && Instant::now() < deadline =>
            {
                rt::sleep(Duration::from_millis(20)).await;
            }
            Err(refused) => return Err(refused.text),
        }
    }
}

/// Whether nobody has said who may come in: a service must not be open to the world by forgetting.
pub(crate) fn is_protected(config: &Config) -> bool {
    let nothing_said = config.bind.is_empty() && config.requirepass.is_empty() && !config.tls;
    nothing_said && supervisor::is_systemd()
}

fn bind_now(config: &Config, protected: bool) -> Result<Bound, Refused> {
    let mut bound = Bound { listeners: Vec::new(), port: 0, admin_port: 0 };
    let hosts = hosts(&config.bind, protected);
    if config.port != 0 {
        let port = config.port.max(0) as u16;
        bound.port = bind_all(&mut bound.listeners, &hosts, port, config, false)?;
    }
    if config.admin_port != 0 {
        let admin = parsed(&config.admin_bind);
        let hosts = if admin.is_empty() { &hosts } else { &admin };
        bound.admin_port = bind_all(&mut bound.listeners, hosts, config.admin_port, config, true)?;
    }
    if !config.unixsocket.is_empty() {
        bound.listeners.push((bind_unix(config)?, false));
    }
    if bound.listeners.is_empty() {
        return Err("nothing to listen on: port, admin_port and unixsocket are all off"
            .to_owned()
            .into());
    }
    Ok(bound)
}

/// An address as `bind` gives it, in Redis's words: `-` before it says that the machine need not
/// have it, `*` is all of IPv4, `::*` all of IPv6.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Host {
    text: String,
    optional: bool,
}

/// The addresses of `bind`; of an empty one the loopback where the node would be open to everybody.
fn hosts(bind: &[String], protected: bool) -> Vec<Host> {
    if bind.is_empty() && protected {
        return parsed(&["127.0.0.1".to_owned(), "-::1".to_owned()]);
    }
    parsed(bind)
}

fn parsed(bind: &[String]) -> Vec<Host> {
    let host = |word: &String| match word.strip_prefix('-') {
        Some(text) => Host { text: text.to_owned(), optional: true },
        None => Host { text: word.clone(), optional: false },
    };
    bind.iter().map(host).collect()
}

impl Host {
    fn address(&self) -> Result<IpAddr, String> {
        match self.text.trim_matches(['[', ']']) {
            "*" => Ok(Ipv4Addr::UNSPECIFIED.into()),
            "::*" => Ok(Ipv6Addr::UNSPECIFIED.into()),
            "localhost" => Ok(Ipv4Addr::LOCALHOST.into()),
            text => text
                .parse()
                .map_err(|_| format!("cannot listen on '{}': not an IP address", self.text)),
        }
    }

    /// Whether the node does without this address for that reason, as Redis does: an optional one
    /// that the machine does not have, and any of a protocol that the kernel does not speak.
    fn may_lack(&self, error: &io::Error) -> bool {
        const UNKNOWN_PROTOCOL: [i32; 5] = [
            libc::ENOPROTOOPT,
            libc::EPROTONOSUPPORT,
            libc::ESOCKTNOSUPPORT,
            libc::EPFNOSUPPORT,
            libc::EAFNOSUPPORT,
        ];
        (self.optional && error.kind() == io::ErrorKind::AddrNotAvailable)
            || error.raw_os_error().is_some_and(|number| UNKNOWN_PROTOCOL.contains(&number))
    }
}

fn bind_all(
    listeners: &mut Vec<(Listener, bool)>,
    hosts: &[Host],
    port: u16,
    config: &Config,
    admin: bool,
) -> Result<u16, Refused> {
    let backlog = u32::from(config.tcp_backlog);
    if hosts.is_empty() {
        let listener = Listener::bind_any(port, backlog);
        return add(listeners, listener, admin);
    }
    let (mut port, before) = (port, listeners.len());
    for host in hosts {
        let address = SocketAddr::new(host.address()?, port);
        match Listener::bind(address, backlog) {
            Err(error) if host.may_lack(&error) => {
                tracing::warn!("not listening on {}: {error}", host.text);
            }
            listener => port = add(listeners, listener, admin)?,
        }
    }
    if listeners.len() == before {
        return Err("this machine has none of the addresses of bind".to_owned().into());
    }
    Ok(port)
}

fn add(
    listeners: &mut Vec<(Listener, bool)>,
    listener: io::Result<Listener>,
    admin: bool,
) -> Result<u16, Refused> {
    // The error names the address itself.
    let listener =
        listener.map_err(|error| Refused { kind: error.kind(), text: error.to_string() })?;
    let port = listener.local_addr().map_or(0, |address| address.port());
    listeners.push((listener, admin));
    Ok(port)
}

fn bind_unix(config: &Config) -> Result<Listener, Refused> {
    let path = Path::new(&config.unixsocket);
    let backlog = u32::from(config.tcp_backlog);
    let listener = Listener::bind_unix(path, backlog)
        .map_err(|error| Refused { kind: error.kind(), text: error.to_string() })?;
    if !config.unixsocketperm.is_empty() {
        let mode = u32::from_str_radix(&config.unixsocketperm, 8)
            .map_err(|_| format!("unixsocketperm '{}' is not octal", config.unixsocketperm))?;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))
            .map_err(|error| format!("cannot set permissions of {}: {error}", path.display()))?;
    }
    Ok(listener)
}

impl Bound {
    /// Accepts for ever, on the current executor.
    pub fn serve(self, server: &Arc<Server>) {
        for (listener, admin) in self.listeners {
            rt::spawn_local(accept(listener, admin, server.clone())).detach();
        }
    }
}

async fn accept(listener: Listener, admin: bool, server: Arc<Server>) {
    let mut turn = 0u16;
    loop {
        match listener.accept().await {
            Ok(accepted) => {
                Counters::add(&server.counters.connections, 1);
                hand_out(&server.node, turn, Incoming { accepted, admin });
                turn = (turn + 1) % server.node.shards();
            }
            Err(error) => {
                // The room below backs off by itself where that helps; here only the log line.
                tracing::warn!("cannot accept a connection: {error}");
                rt::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

fn hand_out(node: &Node, shard: u16, incoming: Incoming) {
    node.send(ExecutorId(shard), Message::Service(Box::new(incoming)));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(bind: &str) -> Vec<String> {
        bind.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn addresses_are_those_of_redis() {
        let check = |bind: &str, expected: &[(&str, bool)]| {
            let got: Vec<(String, bool)> = parsed(&words(bind))
                .iter()
                .map(|host| (host.address().expect(bind).to_string(), host.optional))
                .collect();
            let expected: Vec<(String, bool)> =
                expected.iter().map(|(text, optional)| ((*text).to_owned(), *optional)).collect();
            assert_eq!(got, expected, "{bind}");
        };
        check("* -::*", &[("0.0.0.0", false), ("::", true)]);
        check("* -::1", &[("0.0.0.0", false), ("::1", true)]);
        check("127.0.0.1 -::1", &[("127.0.0.1", false), ("::1", true)]);
        check("[::1] localhost", &[("::1", false), ("127.0.0.1", false)]);
        assert!(parsed(&words("-nowhere"))[0].address().is_err());
    }

    #[test]
    fn nobody_said_who_may_come_in_means_the_loopback() {
        assert_eq!(hosts(&[], true), parsed(&words("127.0.0.1 -::1")));
        assert_eq!(hosts(&[], false), Vec::new());
        assert_eq!(hosts(&words("10.0.0.1"), true), parsed(&words("10.0.0.1")));
    }

    #[test]
    fn only_what_the_machine_lacks_is_done_without() {
        let (must, may) = (&parsed(&words("::1"))[0], &parsed(&words("-::1"))[0]);
        let check = |number: i32, expected: [bool; 2]| {
            let error = || io::Error::from_raw_os_error(number);
            assert_eq!([must.may_lack(&error()), may.may_lack(&error())], expected, "{number}");
        };
        check(libc::EADDRNOTAVAIL, [false, true]);
        check(libc::EAFNOSUPPORT, [true, true]);
        check(libc::EADDRINUSE, [false, false]);
        check(libc::EACCES, [false, false]);
    }
}
