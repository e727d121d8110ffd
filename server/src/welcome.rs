//! The first bytes of a connection: TLS or not, RESP or HTTP, and whether there is room.
//!
//! ```text
//!   accepted ─► counted ─► TLS handshake ─► first line ─┬─► client
//!               (or refused)  (Arriving)                └─► pages (Http)
//! ```
//!
//! A connection is counted from its first moment, and has a deadline wherever it is not a client yet:
//! for the handshake as a whole, for the first line, for each HTTP request, for each answer to be read.
//! A client without TLS is one as soon as it is accepted: the setting `timeout` is its deadline.

use crate::clients::{Client, Stage, places};
use crate::config::{Config, Reader};
use crate::connection::{self, Handlers};
use crate::http;
use crate::listen::Incoming;
use crate::listeners;
use crate::observe;
use crate::server::{Counters, Server};
use engine::exec::Front;
use engine::resp::{Limits, Parsed, Parser};
use engine::rt::{self, Elapsed, Patience, Peer, Stream};
use replication::tls::{BAD_TLS_HEADER, ServerTls, TlsSession, looks_like_tls};
use replication::transport::{Transport, is_about_certificate};
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

/// The longest time between keepalive probes, in seconds, that Linux takes.
const KEEPALIVE_MAX: u64 = 32_767;

/// A connection must finish its TLS handshake within this time of its being accepted: a handshake is
/// two round trips, and a connection that does not say anything is no client.
const HANDSHAKE_MAX: Duration = Duration::from_secs(10);

/// An HTTP request must be complete within this time, counted from the answer before, and its answer
/// must be taken within as much again. Longer than any network needs, shorter than patience.
const HTTP_MAX: Duration = Duration::from_secs(30);

/// Within this time the first line must be complete, or it is not HTTP's.
const FIRST_LINE_MAX: Duration = HTTP_MAX;

/// Within this time a connection beyond maxclients must show that it is a replica's: one sends what it
/// has to say as soon as it is connected.
const SPARE_MAX: Duration = Duration::from_secs(2);

/// Within this time a connection beyond maxclients that speaks as a replica must be a link: a handshake is
/// a few round trips.
const LINK_MAX: Duration = Duration::from_secs(30);

/// Bytes read at once while it is not known who speaks.
const READ_SIZE: usize = 16 * 1024;

/// What protected mode says to other machines.
const PROTECTED: &str = "-DENIED Damselfly is running in protected mode because protected mode is \
    enabled and no password is set. In this mode connections are only accepted from the loopback \
    interface. Set a password with requirepass, or turn the mode off from the loopback: CONFIG SET \
    protected-mode no.\r\n";

/// Whether protected mode keeps this peer out. A Unix socket has no address.
fn is_denied(config: &Config, peer: Option<SocketAddr>, admin: bool) -> bool {
    let no_password = config.requirepass.is_empty() || (admin && config.admin_nopass);
    let elsewhere = peer.is_some_and(|peer| !peer.ip().to_canonical().is_loopback());
    config.protected_mode && no_password && elsewhere
}

/// Serves a fresh connection until it ends.
pub(crate) async fn welcome(
    incoming: Incoming,
    front: Rc<Front>,
    server: Arc<Server>,
    handlers: Handlers,
) {
    let Incoming { accepted, admin } = incoming;
    let stream = Stream::from_accepted(accepted);
    let config = server.settings.config();
    prepare(&stream, &config);
    let tls = demanded_tls(&stream, admin, &config, &server);
    if is_denied(&config, stream.peer_addr(), admin) {
        Counters::add(&server.counters.rejected, 1);
        Counters::add(&server.counters.denied, 1);
        return refuse(stream, tls.is_some(), PROTECTED).await;
    }
    let executor = front.me.0;
    let Some(client) = server.clients.enter(&stream, executor, admin, places(&config)) else {
        Counters::add(&server.counters.rejected, 1);
        return refuse(stream, tls.is_some(), TOO_MANY).await;
    };
    let mut unread = Vec::new();
    let transport = match tls {
        None => Transport::plain(stream),
        Some(tls) => match Box::pin(secure(stream, &tls, &client, &server, &mut unread)).await {
            Ok(transport) => transport,
            Err(Unsecured { stream, why }) => {
                Counters::add(&server.counters.tls_failed, 1);
                if is_about_certificate(&why) {
                    server.turned_away.by_certificate(client.peer.parse().ok(), &why.to_string());
                } else {
                    tracing::debug!("{} ended before it began: {why}", client.peer);
                }
                server.clients.leave(&client);
                return drop(stream);
            }
        },
    };
    if client.spare && !Box::pin(is_replica(&transport, &mut unread)).await {
        Counters::add(&server.counters.rejected, 1);
        let telling = transport.write_all(TOO_MANY.as_bytes());
        let _ = Patience::of(SPARE_MAX).within(telling).await;
        transport.close().await;
        return server.clients.leave(&client);
    }
    client.enter_stage(Stage::Client);
    let speaks_http = admin || config.primary_port_http_enabled;
    match first_line(&transport, &client, &server, speaks_http, &mut unread).await {
        // In boxes: until it is known who speaks, a connection takes no more than that needs.
        First::Command => {
            Box::pin(connection::serve(transport, front, server, handlers, client, unread)).await;
        }
        First::Page => {
            client.enter_stage(Stage::Http);
            Box::pin(serve_http(&transport, &client, &front, &server, unread)).await;
            server.clients.leave(&client);
        }
        First::Nothing => {
            transport.close().await;
            server.clients.leave(&client);
        }
    }
}

fn prepare(stream: &Stream, config: &Config) {
    let _ = stream.set_nodelay(config.tcp_nodelay);
    let _ = stream.set_keepalive(config.tcp_keepalive.as_secs().min(KEEPALIVE_MAX) as u32);
    if !config.tcp_user_timeout.is_zero() {
        let _ = stream.set_user_timeout(Some(config.tcp_user_timeout));
    }
}

/// There are too many connections.
const TOO_MANY: &str = "-ERR max number of clients reached\r\n";

/// Tells a connection why it cannot be a client. Where TLS is demanded nothing could be said that would be
/// understood, as in Redis.
async fn refuse(stream: Stream, is_tls: bool, why: &str) {
    if !is_tls {
        // Few bytes on a fresh socket: this does not wait for the other side.
        let _ = stream.write_all(why.as_bytes()).await;
    }
    let _ = stream.shutdown_write();
}

/// What TLS is spoken with, where it is. A Unix socket stays on this machine and is always plain.
fn demanded_tls(
    stream: &Stream,
    admin: bool,
    config: &Config,
    server: &Server,
) -> Option<Arc<ServerTls>> {
    let plain = (admin && config.no_tls_on_admin_port) || stream.peer() == Peer::Local;
    if plain { None } else { server.tls.current().server }
}

/// A connection that is none. The socket must outlive its place in the map of clients.
struct Unsecured {
    stream: Option<Stream>,
    why: io::Error,
}

/// Finds out whether TLS is spoken, and finishes its handshake.
async fn secure(
    stream: Stream,
    tls: &ServerTls,
    client: &Client,
    server: &Server,
    unread: &mut Vec<u8>,
) -> Result<Transport, Unsecured> {
    let idle = client.idle_limit(&server.settings.config()).unwrap_or(HANDSHAKE_MAX);
    let mut patience = Patience::of(HANDSHAKE_MAX.min(idle));
    let first = match in_time(patience.within(first_bytes(&stream)).await) {
        Ok(first) => first,
        Err(why) => return Err(Unsecured { stream: Some(stream), why }),
    };
    if looks_like_tls(&first) == Some(true) {
        let session = match TlsSession::server(tls) {
            Ok(session) => session,
            Err(error) => {
                let why = io::Error::other(error.to_string());
                return Err(Unsecured { stream: Some(stream), why });
            }
        };
        let transport = Transport::tls(stream, session);
        Counters::add(&server.counters.tls_started, 1);
        return match in_time(patience.within(transport.handshake_after(&first)).await) {
            Ok(plaintext) => {
                Counters::add(&server.counters.tls_completed, 1);
                let resumed = u64::from(transport.is_resumed());
                Counters::add(&server.counters.tls_resumed, resumed);
                *unread = plaintext;
                Ok(transport)
            }
            Err(why) => Err(Unsecured { stream: Some(transport.into_stream()), why }),
        };
    }
    let loopback = stream.peer_addr().is_none_or(|peer| peer.ip().to_canonical().is_loopback());
    if client.admin && loopback && server.settings.config().admin_plaintext_loopback {
        *unread = first;
        return Ok(Transport::plain(stream));
    }
    let telling = stream.write_all(BAD_TLS_HEADER.as_bytes());
    let told = in_time(Patience::of(HTTP_MAX).within(telling).await);
    let _ = stream.shutdown_write();
    let why = told.err().unwrap_or_else(|| io::Error::other("it does not speak TLS"));
    Err(Unsecured { stream: Some(stream), why })
}

/// What came of a wait, or an error when patience was over.
fn in_time<T>(outcome: Result<io::Result<T>, Elapsed>) -> io::Result<T> {
    outcome.unwrap_or(Err(io::ErrorKind::TimedOut.into()))
}

/// Enough bytes to tell TLS from anything else.
async fn first_bytes(stream: &Stream) -> io::Result<Vec<u8>> {
    let mut first = Vec::new();
    let mut buffer = [0; 512];
    while looks_like_tls(&first).is_none() {
        match stream.read(&mut buffer).await? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            read => first.extend_from_slice(&buffer[..read]),
        }
    }
    Ok(first)
}

/// Whether the first requests of a connection are those of a replica, which sends them all at once.
async fn is_replica(transport: &Transport, unread: &mut Vec<u8>) -> bool {
    let mut patience = Patience::of(SPARE_MAX);
    loop {
        match replica_begins(unread) {
            Some(begins) => return begins,
            None if unread.len() > READ_SIZE => return false,
            None => {}
        }
        let reading = transport.read(unread, READ_SIZE);
        if !matches!(patience.within(reading).await, Ok(Ok(read)) if read > 0) {
            return false;
        }
    }
}

/// Whether these requests are a replica's: the password and a PING may stand before the word that is
/// nobody else's. `None`: the rest of a request is still to come.
fn replica_begins(mut bytes: &[u8]) -> Option<bool> {
    if bytes.is_empty() {
        return None;
    }
    while !bytes.is_empty() {
        let mut parser = Parser::new();
        match parser.next(bytes, &Limits::STANDARD) {
            Ok(Parsed::Request { consumed }) => {
                let name = parser.args(bytes).get(0).to_ascii_lowercase();
                match name.as_slice() {
                    b"replconf" | b"dfly" => return Some(true),
                    b"auth" | b"ping" => bytes = &bytes[consumed..],
                    _ => return Some(false),
                }
            }
            Ok(Parsed::Incomplete { .. } | Parsed::Long { .. }) => return None,
            Ok(Parsed::Empty { .. }) | Err(_) => return Some(false),
        }
    }
    Some(false)
}

/// Who speaks.
enum First {
    /// Somebody who sends commands, or may yet.
    Command,
    /// Somebody who wants a page.
    Page,
    /// Nobody.
    Nothing,
}

/// Reads until the first line tells who speaks, and no more.
async fn first_line(
    transport: &Transport,
    client: &Client,
    server: &Server,
    speaks_http: bool,
    unread: &mut Vec<u8>,
) -> First {
    if !speaks_http {
        return First::Command;
    }
    let mut patience = Patience::of(FIRST_LINE_MAX);
    loop {
        match http::sniff(unread) {
            http::Sniff::Http => return First::Page,
            http::Sniff::NotHttp => return First::Command,
            http::Sniff::NeedMore => {}
        }
        let silent = unread.is_empty();
        let idle = client.idle_limit(&server.settings.config());
        let reading = client.read(transport, &server.settings, idle, unread, READ_SIZE);
        let read = match silent {
            true => reading.await,
            false => in_time(patience.within(reading).await),
        };
        let read = match read {
            Ok(None) => {
                Counters::add(&server.counters.timed_out, 1);
                return First::Nothing;
            }
            Ok(Some(read)) => read,
            // It goes on so slowly that it may be somebody at a terminal.
            Err(error) if error.kind() == io::ErrorKind::TimedOut => return First::Command,
            Err(_) => return First::Nothing,
        };
        match read {
            0 if silent => return First::Nothing,
            // What stands there without an end may be a command to somebody.
            0 => return First::Command,
            _ => {}
        }
    }
}

/// After a change of `timeout`, ends those who have been silent for too long already.
pub(crate) async fn watch_silence(server: Arc<Server>) {
    /// Nobody's `timeout` is finer than that.
    const LOOK_EVERY: Duration = Duration::from_secs(1);
    let mut reader = Reader::new(server.settings.clone());
    let at_start = reader.config().timeout;
    let mut changed = false;
    let mut watched = Duration::ZERO;
    loop {
        let began = rt::monotonic();
        rt::sleep(LOOK_EVERY).await;
        let took = began.elapsed();
        // A process that was stopped has seen nobody's silence: it begins to watch anew.
        watched = if took > 2 * LOOK_EVERY { Duration::ZERO } else { watched + took };
        if watched > LINK_MAX {
            server.clients.end_spare(LINK_MAX);
        }
        listeners::end_slow(&server);
        let timeout = reader.config().timeout;
        changed |= timeout != at_start;
        if changed && !timeout.is_zero() && watched > timeout {
            let ended = server.clients.end_silent(timeout);
            Counters::add(&server.counters.timed_out, ended);
        }
    }
}

async fn serve_http(
    transport: &Transport,
    client: &Client,
    front: &Rc<Front>,
    server: &Arc<Server>,
    mut unread: Vec<u8>,
) {
    let mut patience = Patience::of(HTTP_MAX);
    let mut goes_on = true;
    while goes_on {
        let answer = match http::parse(&unread) {
            http::Parsed::Request(request, used) => {
                unread.drain(..used);
                client.asked();
                let state = observe::state(front, server, &request, client.admin).await;
                goes_on = request.keep_alive;
                http::respond(&request, &state)
            }
            http::Parsed::Refused(status) => {
                goes_on = false;
                status.refusal()
            }
            http::Parsed::NeedMore => {
                let idle = client.idle_limit(&server.settings.config());
                let reading =
                    client.read(transport, &server.settings, idle, &mut unread, READ_SIZE);
                match in_time(patience.within(reading).await) {
                    Ok(Some(read)) if read > 0 => {
                        Counters::add(&server.counters.input_bytes, read as u64);
                        continue;
                    }
                    _ => break,
                }
            }
        };
        patience = Patience::of(HTTP_MAX);
        if in_time(patience.within(transport.write_all(&answer)).await).is_err() {
            break;
        }
        Counters::add(&server.counters.output_bytes, answer.len() as u64);
        patience = Patience::of(HTTP_MAX);
    }
    transport.close().await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_replica_is_known_by_its_first_requests() {
        let check = |bytes: &str, expected: Option<bool>| {
            assert_eq!(replica_begins(bytes.as_bytes()), expected, "{bytes:?}");
        };
        check("", None);
        check("*1\r\n$4\r\nPING\r\n", Some(false));
        check("*1\r\n$4\r\nPING\r\n*3\r\n$8\r\nREPL", None);
        check("*2\r\n$4\r\nAUTH\r\n$1\r\np\r\n*2\r\n$4\r\nDFLY\r\n$4\r\nFLOW\r\n", Some(true));
        check("PING\r\nreplconf listening-port 1\r\n", Some(true));
        check("PING\r\nSET k v\r\nREPLCONF\r\n", Some(false));
        check("GET / HTTP/1.1\r\n", Some(false));
        check("*1\r\n$-5\r\n", Some(false));
    }

    use crate::config::Settings;

    #[test]
    fn protected_mode_keeps_other_machines_out_while_there_is_no_password() {
        let check = |pairs: &[(&str, &str)], peer: Option<&str>, denied: [bool; 2]| {
            let settings = Settings::defaults();
            for (name, value) in pairs {
                settings.set(&[(name.as_bytes(), value.as_bytes())], |_| Ok(())).expect(name);
            }
            let mut config = Config::clone(&settings.config());
            let peer = peer.map(|peer| peer.parse().expect("an address"));
            config.admin_nopass = true;
            let got = [false, true].map(|admin| is_denied(&config, peer, admin));
            assert_eq!(got, denied, "{pairs:?} {peer:?}");
        };
        let on = ("protected-mode", "yes");
        check(&[], Some("10.0.0.2:5000"), [false, false]);
        check(&[on], Some("10.0.0.2:5000"), [true, true]);
        check(&[on], Some("[::ffff:10.0.0.2]:5000"), [true, true]);
        check(&[on], Some("127.0.0.1:5000"), [false, false]);
        check(&[on], Some("[::1]:5000"), [false, false]);
        check(&[on], Some("[::ffff:127.0.0.1]:5000"), [false, false]);
        check(&[on], None, [false, false]);
        check(&[on, ("requirepass", "p")], Some("10.0.0.2:5000"), [false, true]);
    }
}
