//! Listening: one acceptor per address, connections handed to the shards in turn.
//!
//! A port of several listeners would let the kernel choose by hash, which leaves few connections
//! skewed; one acceptor deals them out exactly. What a connection speaks is found out on its own
//! executor: TLS where it is demanded, RESP or HTTP.

use crate::config::Config;
use crate::server::{Counters, Server};
use engine::exec::Node;
use engine::rt::{self, Accepted, Listener};
use engine::shard::{ExecutorId, Message};
use std::io;
use std::net::{IpAddr, SocketAddr};
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
    loop {
        match bind_now(config) {
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

fn bind_now(config: &Config) -> Result<Bound, Refused> {
    let mut bound = Bound { listeners: Vec::new(), port: 0, admin_port: 0 };
    if config.port != 0 {
        let port = config.port.max(0) as u16;
        bound.port = bind_all(&mut bound.listeners, &config.bind, port, config, false)?;
    }
    if config.admin_port != 0 {
        let hosts = if config.admin_bind.is_empty() { &config.bind } else { &config.admin_bind };
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

fn bind_all(
    listeners: &mut Vec<(Listener, bool)>,
    hosts: &[String],
    port: u16,
    config: &Config,
    admin: bool,
) -> Result<u16, Refused> {
    let backlog = u32::from(config.tcp_backlog);
    if hosts.is_empty() {
        let listener = Listener::bind_any(port, backlog);
        return add(listeners, listener, admin);
    }
    let mut port = port;
    for host in hosts {
        let address: IpAddr = host
            .trim_matches(['[', ']'])
            .replace("localhost", "127.0.0.1")
            .parse()
            .map_err(|_| format!("cannot listen on '{host}': not an IP address"))?;
        let address = SocketAddr::new(address, port);
        let listener = Listener::bind(address, backlog);
        port = add(listeners, listener, admin)?;
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

fn bind_unix(config: &Config) -> Result<Listener, String> {
    let path = Path::new(&config.unixsocket);
    let backlog = u32::from(config.tcp_backlog);
    let listener = Listener::bind_unix(path, backlog)
        .map_err(|error| format!("cannot listen on {}: {error}", path.display()))?;
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
