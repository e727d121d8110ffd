//! A small client: sends requests, reads replies, with a deadline on every read.

use engine::resp::ReplyLimits;
use engine::resp::client::{Reply, ReplyReader, encode_command};
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// The longest time a reply may take.
const REPLY_LIMIT: Duration = Duration::from_secs(60);

/// A connection to a node.
pub(crate) struct Client {
    stream: TcpStream,
    received: Vec<u8>,
    start: usize,
    reader: ReplyReader,
}

impl Client {
    /// Connects to a port of the loopback.
    pub(crate) fn connect(port: u16) -> io::Result<Client> {
        let stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(REPLY_LIMIT))?;
        stream.set_write_timeout(Some(REPLY_LIMIT))?;
        let reader = ReplyReader::new(ReplyLimits::default());
        Ok(Client { stream, received: Vec::new(), start: 0, reader })
    }

    /// The socket, for what a well-behaved client does not do.
    pub(crate) fn stream(&self) -> &TcpStream {
        &self.stream
    }

    /// Changes the longest time a reply may take.
    pub(crate) fn set_reply_limit(&mut self, limit: Duration) {
        let set = self.stream.set_read_timeout(Some(limit));
        set.expect("a positive timeout can be set");
    }

    /// Sends bytes as they are.
    pub(crate) fn send_raw(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)
    }

    /// Reads one reply.
    pub(crate) fn read(&mut self) -> io::Result<Reply> {
        loop {
            let next = self.reader.next(&self.received[self.start..]);
            if let Some((reply, used)) =
                next.map_err(|error| io::Error::other(format!("{error:?}")))?
            {
                self.start += used;
                if self.start == self.received.len() {
                    self.received.clear();
                    self.start = 0;
                }
                return Ok(reply);
            }
            if self.start > 0 {
                self.received.drain(..self.start);
                self.start = 0;
            }
            let mut buffer = [0; 64 * 1024];
            match self.stream.read(&mut buffer)? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                read => self.received.extend_from_slice(&buffer[..read]),
            }
        }
    }

    /// One request and its reply.
    pub(crate) fn try_call<A: AsRef<[u8]>>(&mut self, request: &[A]) -> io::Result<Reply> {
        let arguments: Vec<&[u8]> = request.iter().map(AsRef::as_ref).collect();
        let mut out = Vec::new();
        encode_command(&mut out, &arguments);
        self.send_raw(&out)?;
        self.read()
    }

    /// One request and its reply; fails the test if the connection breaks.
    pub(crate) fn call<A: AsRef<[u8]>>(&mut self, request: &[A]) -> Reply {
        let shown = || {
            let words = request.iter().map(|word| String::from_utf8_lossy(word.as_ref()));
            words.collect::<Vec<_>>().join(" ")
        };
        self.try_call(request).unwrap_or_else(|error| panic!("{}: {error}", shown()))
    }

    /// A request whose reply must not be an error.
    pub(crate) fn must<A: AsRef<[u8]>>(&mut self, request: &[A]) -> Reply {
        let reply = self.call(request);
        assert!(reply.error().is_none(), "{reply:?}");
        reply
    }

    /// Many requests at once; their replies in order.
    pub(crate) fn try_pipeline(&mut self, requests: &[Vec<Vec<u8>>]) -> io::Result<Vec<Reply>> {
        let mut out = Vec::new();
        for request in requests {
            let arguments: Vec<&[u8]> = request.iter().map(Vec::as_slice).collect();
            encode_command(&mut out, &arguments);
        }
        self.send_raw(&out)?;
        requests.iter().map(|_| self.read()).collect()
    }

    /// Many requests at once; fails the test if the connection breaks.
    pub(crate) fn pipeline(&mut self, requests: &[Vec<Vec<u8>>]) -> Vec<Reply> {
        self.try_pipeline(requests).unwrap_or_else(|error| panic!("a pipeline: {error}"))
    }
}

/// A request from words.
pub(crate) fn request<A: AsRef<[u8]>>(words: &[A]) -> Vec<Vec<u8>> {
    words.iter().map(|word| word.as_ref().to_vec()).collect()
}

/// The text of a reply, or of each of its elements with a space between.
pub(crate) fn text(reply: &Reply) -> String {
    match reply {
        Reply::Error(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        Reply::Integer(number) => number.to_string(),
        Reply::Nil => "(nil)".to_owned(),
        other => match (other.bytes(), other.elements()) {
            (Some(bytes), _) => String::from_utf8_lossy(bytes).into_owned(),
            (_, Some(elements)) => elements.iter().map(text).collect::<Vec<_>>().join(" "),
            _ => format!("{other:?}"),
        },
    }
}
