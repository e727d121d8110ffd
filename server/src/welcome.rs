//! The first bytes of a connection: TLS or not, RESP or HTTP, and whether there is room.

use crate::connection;
use crate::http;
use crate::listen::Incoming;
use crate::observe;
use crate::server::{Counters, Server};
use engine::exec::Front;
use engine::rt::{self, Stream};
use replication::tls::{BAD_TLS_HEADER, Session, looks_like_tls};
use replication::transport::Transport;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

/// A connection must finish its TLS handshake within this time.
const HANDSHAKE_MAX: Duration = Duration::from_secs(10);

/// An HTTP request must be complete within this time.
const HTTP_MAX: Duration = Duration::from_secs(30);

/// Serves a fresh connection until it ends.
pub(crate) async fn welcome(incoming: Incoming, front: Rc<Front>, server: Arc<Server>) {
    let Incoming { accepted, admin } = incoming;
    let stream = Stream::from_accepted(accepted);
    let config = server.settings.config();
    let _ = stream.set_nodelay(config.tcp_nodelay);
    let _ = stream.set_keepalive(config.tcp_keepalive.as_secs() as u32);
    if !config.tcp_user_timeout.is_zero() {
        let _ = stream.set_user_timeout(Some(config.tcp_user_timeout));
    }
    let mut unread = Vec::new();
    let transport = match secure(stream, admin, &server, &mut unread).await {
        Ok(Some(transport)) => transport,
        Ok(None) => return,
        Err(error) => return tracing::debug!("a connection ended before it began: {error}"),
    };
    let executor = front.me.0;
    let Some(client) = server.clients.enter(&transport, executor, admin, config.maxclients) else {
        Counters::add(&server.counters.rejected, 1);
        let _ = transport.write_all(b"-ERR max number of clients reached\r\n").await;
        return transport.close().await;
    };
    let speaks_http = (admin || config.primary_port_http_enabled)
        && is_http(&transport, &mut unread).await.unwrap_or(false);
    if speaks_http {
        // Scrapes and probes are not clients.
        server.clients.leave(&client);
        return serve_http(&transport, &front, &server, unread).await;
    }
    connection::serve(transport, front, server.clone(), client.clone(), unread).await;
    server.clients.leave(&client);
}

/// Finds out whether TLS is spoken, and whether it must be. `None`: the connection was told why not.
async fn secure(
    stream: Stream,
    admin: bool,
    server: &Arc<Server>,
    unread: &mut Vec<u8>,
) -> io::Result<Option<Transport>> {
    let config = server.settings.config();
    let Some(tls) = server.tls.current().server else { return Ok(Some(Transport::plain(stream))) };
    if admin && config.no_tls_on_admin_port {
        return Ok(Some(Transport::plain(stream)));
    }
    let first = rt::timeout(HANDSHAKE_MAX, first_bytes(&stream)).await;
    let first = first.unwrap_or(Err(io::ErrorKind::TimedOut.into()))?;
    if looks_like_tls(&first) == Some(true) {
        let session = Session::server(&tls).map_err(|error| io::Error::other(error.to_string()))?;
        let transport = Transport::tls(stream, session);
        Counters::add(&server.counters.tls_started, 1);
        let handshake = rt::timeout(HANDSHAKE_MAX, transport.handshake_after(&first)).await;
        return match handshake {
            Ok(Ok(plaintext)) => {
                Counters::add(&server.counters.tls_completed, 1);
                *unread = plaintext;
                Ok(Some(transport))
            }
            Ok(Err(error)) => Err(error),
            Err(_) => Err(io::ErrorKind::TimedOut.into()),
        };
    }
    let loopback = stream.peer_addr().is_none_or(|peer| peer.ip().to_canonical().is_loopback());
    if admin && loopback && config.admin_plaintext_loopback {
        *unread = first;
        return Ok(Some(Transport::plain(stream)));
    }
    stream.write_all(BAD_TLS_HEADER.as_bytes()).await?;
    let _ = stream.shutdown_write();
    Ok(None)
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

/// Whether the first line is an HTTP request's. Reads no more than it needs to tell.
async fn is_http(transport: &Transport, unread: &mut Vec<u8>) -> io::Result<bool> {
    loop {
        match http::sniff(unread) {
            http::Sniff::Http => return Ok(true),
            http::Sniff::NotHttp => return Ok(false),
            http::Sniff::NeedMore => {
                if transport.read(unread, 16 * 1024).await? == 0 {
                    return Ok(false);
                }
            }
        }
    }
}

async fn serve_http(
    transport: &Transport,
    front: &Rc<Front>,
    server: &Arc<Server>,
    mut unread: Vec<u8>,
) {
    loop {
        let answer = match http::parse(&unread) {
            http::Parsed::Request(request, used) => {
                unread.drain(..used);
                let state = observe::state(front, server, &request).await;
                let answer = http::respond(&request, &state);
                if transport.write_all(&answer).await.is_err() || !request.keep_alive {
                    break;
                }
                continue;
            }
            http::Parsed::Refused(status) => status.refusal(),
            http::Parsed::NeedMore => {
                let reading = transport.read(&mut unread, 16 * 1024);
                match rt::timeout(HTTP_MAX, reading).await {
                    Ok(Ok(read)) if read > 0 => continue,
                    _ => break,
                }
            }
        };
        let _ = transport.write_all(&answer).await;
        break;
    }
    transport.close().await;
}
