//! HTTP/1.1 for those who look: metrics, health, a small status page. No sockets in here.
//!
//! A connection on a Redis port becomes HTTP when its first bytes are an HTTP request line; then the
//! caller feeds what has arrived to [`parse`], answers with [`respond`], and drops the bytes used:
//!
//! ```text
//!   bytes ---> sniff ---> parse ---> respond(request, state) ---> bytes to send, close or keep
//! ```
//!
//! Requests are bounded: 64 KiB until it is clear that it is HTTP, 8 KiB of head, 64 KiB of body (which
//! is skipped). What is larger or wrong gets its status code and the connection is closed.
//!
//! Metrics and probes hold no data of users and ask for no password, as in Dragonfly. The status page
//! asks for the one of `requirepass`, as its console does: HTTP's basic authentication, user `default`.

use crate::secret::is_same;
use std::fmt::Write;

/// Within so many bytes the first line must have ended: no inline command is longer either, so until
/// then it may be one or the other.
pub const SNIFF_BYTES_MAX: usize = 64 * 1024;
/// The most bytes of a request's line and headers.
pub const HEAD_BYTES_MAX: usize = 8 * 1024;
/// The most headers; a scraper sends about ten.
const HEADERS_MAX: usize = 64;
/// The most bytes of a request's body, which nobody needs.
const BODY_BYTES_MAX: usize = 64 * 1024;

/// The methods that make a first line HTTP. None of them is a Redis command.
const METHODS: [&[u8]; 9] = [
    b"GET ",
    b"POST ",
    b"HEAD ",
    b"PUT ",
    b"DELETE ",
    b"OPTIONS ",
    b"PATCH ",
    b"TRACE ",
    b"CONNECT ",
];

/// What the first bytes of a connection are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Sniff {
    /// An HTTP request line.
    Http,
    /// Something else: Redis's protocol.
    NotHttp,
    /// Too few bytes to say.
    NeedMore,
}

/// Says whether a connection's first bytes are HTTP. An inline Redis command `GET key` is not: the
/// line must end in `HTTP/1.x`. A line too long for both is HTTP's when a path stands in it.
pub fn sniff(bytes: &[u8]) -> Sniff {
    let begins = |method: &[u8]| {
        let length = method.len().min(bytes.len());
        method[..length] == bytes[..length]
    };
    if !METHODS.iter().any(|method| begins(method)) {
        return Sniff::NotHttp;
    }
    let line = &bytes[..bytes.len().min(SNIFF_BYTES_MAX)];
    match line.iter().position(|&byte| byte == b'\n') {
        Some(end) => {
            let line = line[..end].strip_suffix(b"\r").unwrap_or(&line[..end]);
            match line.ends_with(b" HTTP/1.1") || line.ends_with(b" HTTP/1.0") {
                true => Sniff::Http,
                false => Sniff::NotHttp,
            }
        }
        None if bytes.len() >= SNIFF_BYTES_MAX => {
            let path = line.iter().position(|&byte| byte == b' ').and_then(|at| line.get(at + 1));
            if path == Some(&b'/') { Sniff::Http } else { Sniff::NotHttp }
        }
        None => Sniff::NeedMore,
    }
}

/// A request, as far as it matters here.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Request {
    /// `GET`, `HEAD`, ...
    pub method: String,
    /// The path without host and query, percent-decoded; never empty.
    pub path: String,
    /// What stands behind `?`, as it came; empty without one.
    pub query: String,
    /// The client waits for more answers on this connection.
    pub keep_alive: bool,
    /// Who asks: the header `Authorization` as it came; empty without one.
    pub authorization: Vec<u8>,
}

impl Request {
    /// Whether it shows this password of the user `default`.
    pub fn shows_password(&self, password: &str) -> bool {
        let Some((scheme, given)) = self.authorization.split_at_checked(BASIC.len()) else {
            return false;
        };
        let expected = base64(format!("default:{password}").as_bytes());
        scheme.eq_ignore_ascii_case(BASIC) && is_same(given.trim_ascii(), expected.as_bytes())
    }
}

/// The one scheme of HTTP's authentication that is understood.
const BASIC: &[u8] = b"basic ";

/// The standard alphabet, padded.
fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for three in bytes.chunks(3) {
        let bits = three.iter().fold(0u32, |bits, &byte| bits << 8 | u32::from(byte));
        let bits = bits << (8 * (3 - three.len()));
        for place in 0..4 {
            let sextet = bits >> (18 - 6 * place) & 63;
            let letter = ALPHABET[sextet as usize];
            text.push(if place <= three.len() { char::from(letter) } else { '=' });
        }
    }
    text
}

/// What the bytes of a connection hold.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Parsed {
    /// A request, and how many bytes it took.
    Request(Request, usize),
    /// It has not all arrived.
    NeedMore,
    /// It cannot be answered but by this status; then the connection is to be closed.
    Refused(Status),
}

/// The status of an answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Status {
    /// 200
    Ok,
    /// 400
    BadRequest,
    /// 401
    Unauthorized,
    /// 404
    NotFound,
    /// 405
    MethodNotAllowed,
    /// 413
    ContentTooLarge,
    /// 414
    UriTooLong,
    /// 431
    HeaderTooLarge,
    /// 501
    NotImplemented,
    /// 503
    Unavailable,
}

impl Status {
    fn line(self) -> &'static str {
        match self {
            Status::Ok => "200 OK",
            Status::BadRequest => "400 Bad Request",
            Status::Unauthorized => "401 Unauthorized",
            Status::NotFound => "404 Not Found",
            Status::MethodNotAllowed => "405 Method Not Allowed",
            Status::ContentTooLarge => "413 Content Too Large",
            Status::UriTooLong => "414 URI Too Long",
            Status::HeaderTooLarge => "431 Request Header Fields Too Large",
            Status::NotImplemented => "501 Not Implemented",
            Status::Unavailable => "503 Service Unavailable",
        }
    }

    /// The whole answer to a request that was refused; the connection is to be closed after it.
    pub fn refusal(self) -> Vec<u8> {
        let body = format!("{}\n", self.line());
        answer(self, TEXT, &body, Sending { body: true, keep_alive: false })
    }
}

/// Reads a request from all bytes that have arrived and are not used yet.
pub fn parse(bytes: &[u8]) -> Parsed {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut request = httparse::Request::new(&mut headers);
    let bounded = &bytes[..bytes.len().min(HEAD_BYTES_MAX)];
    let head = match request.parse(bounded) {
        Ok(httparse::Status::Complete(head)) => head,
        Ok(httparse::Status::Partial)
            if bytes.len() >= HEAD_BYTES_MAX && !bounded.contains(&b'\n') =>
        {
            return Parsed::Refused(Status::UriTooLong);
        }
        Ok(httparse::Status::Partial) if bytes.len() >= HEAD_BYTES_MAX => {
            return Parsed::Refused(Status::HeaderTooLarge);
        }
        Ok(httparse::Status::Partial) => return Parsed::NeedMore,
        Err(httparse::Error::TooManyHeaders) => return Parsed::Refused(Status::HeaderTooLarge),
        Err(_) => return Parsed::Refused(Status::BadRequest),
    };
    let body = match body_length(request.headers) {
        Ok(body) => body,
        Err(status) => return Parsed::Refused(status),
    };
    if bytes.len() < head + body {
        return Parsed::NeedMore;
    }
    let keep_alive = keeps_alive(request.version == Some(1), request.headers);
    let target = origin_form(request.path.unwrap_or("/"));
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let path = if path.is_empty() { "/" } else { path };
    let Some(path) = percent_decoded(path) else { return Parsed::Refused(Status::BadRequest) };
    let authorization = request
        .headers
        .iter()
        .find(|header| header.name.eq_ignore_ascii_case("authorization"))
        .map_or_else(Vec::new, |header| header.value.to_vec());
    let request = Request {
        authorization,
        method: request.method.unwrap_or_default().to_owned(),
        path,
        query: query.to_owned(),
        keep_alive,
    };
    Parsed::Request(request, head + body)
}

/// What a request is for without the scheme and the host, which a proxy's requests name: every server has
/// to take that form.
fn origin_form(target: &str) -> &str {
    let without = |scheme: &str| {
        let (given, rest) = target.split_at_checked(scheme.len())?;
        given.eq_ignore_ascii_case(scheme).then_some(rest)
    };
    match without("http://").or_else(|| without("https://")) {
        Some(rest) => rest.find(['/', '?']).map_or("", |at| &rest[at..]),
        None => target,
    }
}

/// With `%41` as `A`; nothing where a `%` stands before something else, or for what is no text.
fn percent_decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let mut digit = || rest.next().and_then(|byte| char::from(byte).to_digit(16));
        let (high, low) = (digit()?, digit()?);
        bytes.push((high * 16 + low) as u8);
    }
    String::from_utf8(bytes).ok()
}

fn body_length(headers: &[httparse::Header<'_>]) -> Result<usize, Status> {
    let mut length: Option<usize> = None;
    for header in headers {
        if header.name.eq_ignore_ascii_case("transfer-encoding") {
            return Err(Status::NotImplemented);
        }
        if header.name.eq_ignore_ascii_case("content-length") {
            let text = std::str::from_utf8(header.value).map_err(|_| Status::BadRequest)?;
            let plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
            let value = match plain {
                true => text.parse().unwrap_or(usize::MAX),
                false => return Err(Status::BadRequest),
            };
            // Two lengths that differ are how requests are smuggled past a proxy.
            if length.is_some_and(|other| other != value) {
                return Err(Status::BadRequest);
            }
            length = Some(value);
        }
    }
    match length.unwrap_or(0) {
        length if length > BODY_BYTES_MAX => Err(Status::ContentTooLarge),
        length => Ok(length),
    }
}

fn keeps_alive(version_1_1: bool, headers: &[httparse::Header<'_>]) -> bool {
    let mut keep = version_1_1;
    for header in headers.iter().filter(|header| header.name.eq_ignore_ascii_case("connection")) {
        for word in header.value.split(|&byte| byte == b',').map(<[u8]>::trim_ascii) {
            keep |= word.eq_ignore_ascii_case(b"keep-alive");
            if word.eq_ignore_ascii_case(b"close") {
                return false;
            }
        }
    }
    keep
}

/// What the server says about itself. Asked only for the page that is wanted: metrics cost a round
/// through all shards, so the caller may gather them before it calls [`respond`].
pub trait HttpState {
    /// The text of `/metrics`.
    fn metrics(&self) -> String;
    /// Whether commands are being answered, or why not (loading, stopping).
    fn health(&self) -> Result<(), String>;
    /// What a replica is, for `/readyz`.
    fn replication(&self) -> Replication;
    /// The lines of the status page, as name and value; `None`: whoever asked may not see it.
    fn status(&self) -> Option<Vec<(String, String)>>;
}

/// This node's own position behind its master.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Replication {
    /// It follows nobody.
    Master,
    /// It follows, and is a copy that lags so far behind.
    Stable {
        /// The largest number of records over the shards; none while the master is silent.
        lag_records: Option<u64>,
    },
    /// It follows a Redis, whose stream is counted in bytes: it has all that came.
    StableByBytes,
    /// It follows, but is not a copy now: the state's name.
    NotStable(String),
}

const TEXT: &str = "text/plain; charset=utf-8";
const PROMETHEUS: &str = "text/plain; version=0.0.4; charset=utf-8";
const HTML: &str = "text/html; charset=utf-8";

/// The whole answer to a request. The connection is kept exactly when the request asked for it.
pub fn respond(request: &Request, state: &dyn HttpState) -> Vec<u8> {
    let sending = Sending { body: request.method != "HEAD", keep_alive: request.keep_alive };
    if !matches!(request.method.as_str(), "GET" | "HEAD") {
        let status = Status::MethodNotAllowed;
        return answer(status, TEXT, "only GET and HEAD\n", sending);
    }
    let (status, kind, body) = match request.path.as_str() {
        "/metrics" => (Status::Ok, PROMETHEUS, state.metrics()),
        "/livez" => (Status::Ok, TEXT, "OK\n".to_owned()),
        "/healthz" => verdict(state.health()),
        "/readyz" => match lag_bound(&request.query) {
            Ok(bound) => verdict(readiness(bound, state)),
            Err(reason) => (Status::BadRequest, TEXT, reason),
        },
        "/" => match state.status() {
            Some(lines) => (Status::Ok, HTML, status_page(&lines)),
            None => (Status::Unauthorized, TEXT, "the password is asked for\n".to_owned()),
        },
        _ => (Status::NotFound, TEXT, "not found; try /, /metrics, /healthz, /readyz\n".to_owned()),
    };
    answer(status, kind, &body, sending)
}

fn verdict(verdict: Result<(), String>) -> (Status, &'static str, String) {
    match verdict {
        Ok(()) => (Status::Ok, TEXT, "OK\n".to_owned()),
        Err(reason) => (Status::Unavailable, TEXT, format!("{}\n", reason.replace('\n', " "))),
    }
}

/// What the query of `/readyz` says. A bound that cannot be read must not count as no bound.
fn lag_bound(query: &str) -> Result<Option<u64>, String> {
    let wrong = || "max_lag_records is not a number\n".to_owned();
    for pair in query.split('&') {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        if percent_decoded(name).as_deref() == Some("max_lag_records") {
            let bound = percent_decoded(value).and_then(|value| value.parse().ok());
            return bound.map(Some).ok_or_else(wrong);
        }
    }
    Ok(None)
}

/// Ready is healthy and, on a replica, a copy that lags at most `max_lag_records`. A master is ready
/// whatever its replicas lag: it has all there is to read, and a slow replica must not take it away from
/// its clients. How far replicas are is for metrics, WAIT and min_replicas_to_write.
fn readiness(bound: Option<u64>, state: &dyn HttpState) -> Result<(), String> {
    state.health()?;
    match (state.replication(), bound) {
        (Replication::Master, _)
        | (Replication::Stable { .. } | Replication::StableByBytes, None) => Ok(()),
        (Replication::StableByBytes, Some(_)) => {
            Err("the master is a Redis, whose stream has no records to count: ask without \
             max_lag_records, and compare slave_repl_offset with its master_repl_offset"
                .to_owned())
        }
        (Replication::Stable { lag_records: None }, Some(_)) => Err(
            "how far the replica lags is not known: its master is silent, or does not know either"
                .to_owned(),
        ),
        (Replication::Stable { lag_records: Some(lag) }, Some(bound)) if lag <= bound => Ok(()),
        (Replication::Stable { lag_records: Some(lag_records) }, Some(bound)) => {
            Err(format!("replica lags {lag_records} records behind its master, more than {bound}"))
        }
        (Replication::NotStable(phase), _) => {
            Err(format!("replica is not in stable sync: {phase}"))
        }
    }
}

fn status_page(lines: &[(String, String)]) -> String {
    let mut page = String::from(
        "<!doctype html><meta charset=utf-8><title>Damselfly</title><h1>Damselfly</h1>\n<table>\n",
    );
    for (name, value) in lines {
        let _ = writeln!(page, "<tr><th align=left>{}<td>{}", escape(name), escape(value));
    }
    page.push_str("</table>\n<p><a href=/metrics>metrics</a> <a href=/healthz>health</a> ");
    page.push_str("<a href=/readyz>readiness</a>\n");
    page
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

struct Sending {
    body: bool,
    keep_alive: bool,
}

fn answer(status: Status, kind: &str, body: &str, sending: Sending) -> Vec<u8> {
    let connection = if sending.keep_alive { "keep-alive" } else { "close" };
    let more = match status {
        Status::MethodNotAllowed => "Allow: GET, HEAD\r\n",
        Status::Unauthorized => "WWW-Authenticate: Basic realm=\"Damselfly\"\r\n",
        _ => "",
    };
    let mut bytes = format!(
        "HTTP/1.1 {}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n{more}Cache-Control: \
         no-store\r\nConnection: {connection}\r\n\r\n",
        status.line(),
        body.len(),
    )
    .into_bytes();
    if sending.body {
        bytes.extend_from_slice(body.as_bytes());
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Fixed {
        health: Result<(), String>,
        replication: Replication,
    }

    impl HttpState for Fixed {
        fn metrics(&self) -> String {
            "dfly_up 1\n".to_owned()
        }
        fn health(&self) -> Result<(), String> {
            self.health.clone()
        }
        fn replication(&self) -> Replication {
            self.replication.clone()
        }
        fn status(&self) -> Option<Vec<(String, String)>> {
            Some(vec![("role".to_owned(), "<b>master</b>".to_owned())])
        }
    }

    const MASTER: Fixed = Fixed { health: Ok(()), replication: Replication::Master };

    fn ask(bytes: &str, state: &Fixed) -> String {
        match parse(bytes.as_bytes()) {
            Parsed::Request(request, used) => {
                assert_eq!(used, bytes.len(), "{bytes:?}");
                String::from_utf8(respond(&request, state)).expect("text")
            }
            Parsed::Refused(status) => String::from_utf8(status.refusal()).expect("text"),
            Parsed::NeedMore => "more".to_owned(),
        }
    }

    #[test]
    fn http_is_told_from_redis_at_every_byte_boundary() {
        let check = |bytes: &[u8], want: Sniff| {
            assert_eq!(sniff(bytes), want, "{:?}", String::from_utf8_lossy(bytes));
            for end in 0..bytes.len() {
                let early = sniff(&bytes[..end]);
                assert!(early == want || early == Sniff::NeedMore, "{early:?} after {end} bytes");
            }
        };
        check(b"GET /metrics HTTP/1.1\r\n", Sniff::Http);
        check(b"GET / HTTP/1.0\n", Sniff::Http);
        check(b"POST /api HTTP/1.1\r\n", Sniff::Http);
        check(b"HEAD / HTTP/1.1\r\n", Sniff::Http);
        check(b"GET key\r\n", Sniff::NotHttp);
        check(b"GET /metrics HTTP/2\r\n", Sniff::NotHttp);
        check(b"*1\r\n$4\r\nPING\r\n", Sniff::NotHttp);
        check(b"get / HTTP/1.1\r\n", Sniff::NotHttp);
        check(b"GETEX k\r\n", Sniff::NotHttp);
        check(b"HELLO 3\r\n", Sniff::NotHttp);
        let long = |before: &[u8], after: &[u8]| [before, &[b'x'; 3000], after].concat();
        check(&long(b"GET /", b" HTTP/1.1\r\n"), Sniff::Http);
        check(&long(b"GET /", b"\r\n"), Sniff::NotHttp);
        let endless = [b'x'; SNIFF_BYTES_MAX];
        assert_eq!(sniff(&[b"GET /".as_slice(), &endless].concat()), Sniff::Http);
        assert_eq!(sniff(&[b"GET ".as_slice(), &endless].concat()), Sniff::NotHttp);
        assert_eq!(sniff(b""), Sniff::NeedMore);
    }

    #[test]
    fn each_page_has_its_answer() {
        let check = |path: &str, want: &[&str]| {
            let got = ask(&format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n"), &MASTER);
            for part in want {
                assert!(got.contains(part), "{path} lacks {part}: {got}");
            }
        };
        check("/metrics", &["HTTP/1.1 200 OK\r\n", "version=0.0.4", "\r\n\r\ndfly_up 1\n"]);
        check("/metrics?x=y", &["200 OK"]);
        check("/healthz", &["200 OK", "\r\n\r\nOK\n", "Connection: keep-alive"]);
        check("/livez", &["200 OK"]);
        // A master is ready, whatever bound is asked for.
        check("/readyz?max_lag_records=0", &["200 OK"]);
        for few in ["few", "", "-1", "5x", "99999999999999999999"] {
            let path = format!("/readyz?max_lag_records={few}");
            check(&path, &["400 Bad Request", "max_lag_records is not a number"]);
        }
        check("/", &["200 OK", "text/html", "&lt;b&gt;master"]);
        check("/nope", &["404 Not Found"]);
    }

    #[test]
    fn a_page_is_found_by_every_form_of_its_name() {
        let check = |target: &str, want: &str| {
            for method in ["GET", "HEAD"] {
                let got = ask(&format!("{method} {target} HTTP/1.1\r\n\r\n"), &MASTER);
                assert!(got.starts_with(&format!("HTTP/1.1 {want}")), "{method} {target}: {got}");
                let body = got.split_once("\r\n\r\n").map(|(_, body)| body.is_empty());
                assert!(body == Some(method == "HEAD") || want == "400 Bad", "{target}: {got}");
            }
        };
        for host in ["", "http://host", "HTTP://host:6379", "https://[::1]:6379", "http://"] {
            for page in ["/metrics", "/m%65trics", "/%6detrics?a=b", "/livez?", "/healthz", "/"] {
                check(&format!("{host}{page}"), "200 OK");
            }
            check(&format!("{host}/nope"), "404 Not Found");
            check(&format!("{host}/readyz?max_lag%5Frecords=%35"), "200 OK");
            check(&format!("{host}/readyz?max_lag%5Frecords=%"), "400");
            check(&format!("{host}/readyz?max_lag_records"), "400");
        }
        for root in ["http://host", "http://host?a=b"] {
            check(root, "200 OK");
        }
        for bad in ["/%", "/%4", "/%zz", "/%ff", "/%+1"] {
            check(bad, "400 Bad");
        }
    }

    #[test]
    fn other_methods_are_told_which_there_are() {
        for method in ["POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "CONNECT"] {
            let request = format!("{method} /metrics HTTP/1.1\r\n\r\n");
            assert_eq!(sniff(request.as_bytes()), Sniff::Http);
            let got = ask(&request, &MASTER);
            assert!(
                got.starts_with("HTTP/1.1 405") && got.contains("Allow: GET, HEAD\r\n"),
                "{got}"
            );
            assert!(got.contains("Connection: keep-alive\r\n"), "{got}");
        }
    }

    #[test]
    fn a_replica_is_ready_when_it_is_a_copy_that_lags_little() {
        let check = |replication: Replication, query: &str, want: &str| {
            let state = Fixed { health: Ok(()), replication };
            let got = ask(&format!("GET /readyz{query} HTTP/1.1\r\n\r\n"), &state);
            assert!(got.contains(want), "{query}: {got}");
        };
        let stable = |lag_records| Replication::Stable { lag_records };
        check(stable(Some(5)), "", "200 OK");
        check(stable(Some(5)), "?max_lag_records=5", "200 OK");
        check(stable(Some(6)), "?a=b&max_lag_records=5", "503 Service Unavailable");
        let more = "lags 6 records behind its master, more than 5\n";
        check(stable(Some(6)), "?max_lag_records=5", more);
        check(stable(None), "", "200 OK");
        check(stable(None), "?max_lag_records=5", "503 Service Unavailable");
        check(stable(None), "?max_lag_records=5", "not known: its master is silent");
        check(Replication::StableByBytes, "", "200 OK");
        check(Replication::StableByBytes, "?max_lag_records=5", "503 Service Unavailable");
        check(Replication::StableByBytes, "?max_lag_records=5", "no records to count");
        let phase = Replication::NotStable("full_sync".to_owned());
        check(phase, "", "replica is not in stable sync: full_sync\n");
    }

    #[test]
    fn a_node_that_is_loading_is_alive_but_neither_healthy_nor_ready() {
        let state = Fixed { health: Err("loading".to_owned()), replication: Replication::Master };
        for (path, want) in [("/healthz", "503"), ("/readyz", "503"), ("/livez", "200")] {
            let got = ask(&format!("GET {path} HTTP/1.1\r\n\r\n"), &state);
            assert!(got.starts_with(&format!("HTTP/1.1 {want}")), "{path}: {got}");
        }
    }

    #[test]
    fn a_password_is_shown_by_basic_authentication() {
        let shows = |header: &str, password: &str| {
            let bytes = format!("GET / HTTP/1.1\r\n{header}\r\n\r\n");
            match parse(bytes.as_bytes()) {
                Parsed::Request(request, _) => request.shows_password(password),
                other => panic!("{other:?}"),
            }
        };
        // As `curl -u default:secret` says it.
        assert!(shows("Authorization: Basic ZGVmYXVsdDpzZWNyZXQ=", "secret"));
        assert!(shows("authorization: bAsIc  ZGVmYXVsdDpzZWNyZXQ= ", "secret"));
        assert!(!shows("Authorization: Basic ZGVmYXVsdDpzZWNyZXQ=", "other"));
        assert!(!shows("Authorization: Basic", "secret"));
        assert!(!shows("Authorization: Basic ", "secret"));
        assert!(!shows("Authorization: Bearer ZGVmYXVsdDpzZWNyZXQ=", "secret"));
        assert!(!shows("X: y", "secret"));
        for (bytes, text) in
            [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg==")]
        {
            assert_eq!(base64(bytes.as_bytes()), text);
        }
    }

    #[test]
    fn a_head_request_gets_the_head_alone() {
        let got = ask("HEAD /metrics HTTP/1.1\r\n\r\n", &MASTER);
        assert!(got.contains("Content-Length: 10\r\n") && got.ends_with("\r\n\r\n"), "{got}");
    }

    #[test]
    fn connections_are_kept_as_the_request_asks() {
        let check = |head: &str, want: &str| {
            let got = ask(&format!("GET /livez {head}\r\n\r\n"), &MASTER);
            assert!(got.contains(&format!("Connection: {want}\r\n")), "{head}: {got}");
        };
        check("HTTP/1.1", "keep-alive");
        check("HTTP/1.0", "close");
        check("HTTP/1.1\r\nConnection: close", "close");
        check("HTTP/1.1\r\nconnection: foo, Close", "close");
        check("HTTP/1.0\r\nConnection: Keep-Alive", "keep-alive");
    }

    #[test]
    fn wrong_and_oversized_requests_are_refused_and_closed() {
        let check = |bytes: &str, want: &str| {
            let got = ask(bytes, &MASTER);
            assert!(got.starts_with(&format!("HTTP/1.1 {want}")), "{got}");
        };
        check("POST / HTTP/1.1\r\nContent-Length: 2\r\n\r\nhi", "405");
        check("GET / HTTP/1.1\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n", "400");
        check("GET / HTTP/1.1\r\nContent-Length: -2\r\n\r\n", "400");
        check("GET / HTTP/1.1\r\nContent-Length: 99999999999999999999999\r\n\r\n", "413");
        check("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", "501");
        check(&format!("GET / HTTP/1.1\r\nA: {}\r\n\r\n", "x".repeat(HEAD_BYTES_MAX)), "431");
        check(&format!("GET /{} HTTP/1.1\r\n\r\n", "x".repeat(3000)), "404");
        check(&format!("GET /{} HTTP/1.1\r\n\r\n", "x".repeat(HEAD_BYTES_MAX)), "414");
        check(&format!("GET / HTTP/1.1\r\n{}\r\n", "A: b\r\n".repeat(HEADERS_MAX + 1)), "431");
        check("GET / HTTP/1.1\r\nno colon\r\n\r\n", "400");
    }

    #[test]
    fn requests_that_arrive_in_pieces_or_together_are_read_one_by_one() {
        let two = b"GET /livez HTTP/1.1\r\n\r\nPOST / HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc";
        let first = match parse(two) {
            Parsed::Request(request, used) => (request.path, used),
            other => panic!("{other:?}"),
        };
        assert_eq!(first, ("/livez".to_owned(), 23));
        let second = &two[23..];
        for end in 0..second.len() {
            assert_eq!(parse(&second[..end]), Parsed::NeedMore, "after {end} bytes");
        }
        assert!(matches!(parse(second), Parsed::Request(_, used) if used == second.len()));
    }
}
