//! A plain, blocking client of one node: commands, and its metrics over HTTP.

use engine::resp::ReplyLimits;
use engine::resp::client::{Reply, ReplyReader, encode_command};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::time::Duration;

/// A node that is silent for so long is broken.
const SILENCE_MAX: Duration = Duration::from_secs(30);

/// Commands sent before their replies are read: the replies fit into the sockets' buffers.
const PIPELINE: usize = 1000;

/// A connection.
pub(super) struct Client {
    stream: TcpStream,
    unread: Vec<u8>,
}

impl Client {
    pub(super) fn connect(port: u16) -> Result<Client, String> {
        Ok(Client { stream: connect(port)?, unread: Vec::new() })
    }

    /// One command, one reply.
    pub(super) fn ask(&mut self, command: &[&str]) -> Result<Reply, String> {
        let command = command.iter().map(|word| (*word).to_owned()).collect();
        let mut replies = self.ask_all(vec![command])?;
        replies.pop().ok_or_else(|| "no reply".to_owned())
    }

    /// Many commands and their replies, in order.
    pub(super) fn ask_all(&mut self, commands: Vec<Vec<String>>) -> Result<Vec<Reply>, String> {
        let mut replies = Vec::with_capacity(commands.len());
        for commands in commands.chunks(PIPELINE) {
            let mut request = Vec::new();
            for command in commands {
                let words: Vec<&[u8]> = command.iter().map(String::as_bytes).collect();
                encode_command(&mut request, &words);
            }
            self.stream.write_all(&request).map_err(|error| format!("cannot send: {error}"))?;
            for _ in commands {
                replies.push(self.reply()?);
            }
        }
        Ok(replies)
    }

    /// Many commands, each of which must be answered with OK.
    pub(super) fn all_ok(&mut self, commands: Vec<Vec<String>>) -> Result<(), String> {
        match self.ask_all(commands)?.iter().find(|reply| !reply.is_ok()) {
            None => Ok(()),
            Some(reply) => Err(format!("a write was refused: {}", text(reply))),
        }
    }

    fn reply(&mut self) -> Result<Reply, String> {
        let mut reader = ReplyReader::new(ReplyLimits::default());
        loop {
            match reader.take(&mut self.unread) {
                Ok(Some(reply)) => return Ok(reply),
                Ok(None) => {}
                Err(error) => return Err(format!("not a reply: {error}")),
            }
            let mut bytes = [0; 16 * 1024];
            match self.stream.read(&mut bytes) {
                Ok(0) => return Err("the node has closed the connection".to_owned()),
                Ok(read) => self.unread.extend_from_slice(&bytes[..read]),
                Err(error) => return Err(format!("no reply: {error}")),
            }
        }
    }
}

fn connect(port: u16) -> Result<TcpStream, String> {
    let connected = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).and_then(|stream| {
        stream.set_read_timeout(Some(SILENCE_MAX))?;
        stream.set_write_timeout(Some(SILENCE_MAX))?;
        stream.set_nodelay(true)?;
        Ok(stream)
    });
    connected.map_err(|error| format!("cannot connect to port {port}: {error}"))
}

/// A reply on one line, as a person reads it.
pub(super) fn text(reply: &Reply) -> String {
    let many = |replies: &[Reply]| {
        let texts: Vec<String> = replies
            .iter()
            .map(|reply| match reply.elements() {
                Some(_) => format!("[{}]", text(reply)),
                None => text(reply),
            })
            .collect();
        texts.join(" ")
    };
    match reply {
        Reply::Error(error) => format!("(error) {}", String::from_utf8_lossy(error)),
        Reply::Integer(number) => number.to_string(),
        Reply::Nil => "(nil)".to_owned(),
        other => match (other.bytes(), other.elements()) {
            (Some(bytes), _) => String::from_utf8_lossy(bytes).into_owned(),
            (_, Some(elements)) => many(elements),
            _ => format!("{other:?}"),
        },
    }
}

/// The sum of a metric's samples, as Prometheus would scrape them; `None` while it has none.
pub(super) fn metric(port: u16, name: &str) -> Result<Option<f64>, String> {
    let mut stream = connect(port)?;
    let request = "GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    let mut answer = String::new();
    let read = stream
        .write_all(request.as_bytes())
        .and_then(|()| stream.read_to_string(&mut answer).map(drop));
    read.map_err(|error| format!("cannot read the metrics of port {port}: {error}"))?;
    if !answer.starts_with("HTTP/1.1 200") {
        let status = answer.lines().next().unwrap_or("nothing");
        return Err(format!("the metrics of port {port} were answered with {status}"));
    }
    let samples: Vec<f64> = answer
        .lines()
        .filter_map(|line| line.strip_prefix(name))
        .filter(|rest| rest.starts_with(['{', ' ']))
        .filter_map(|rest| rest.rsplit_once(' ')?.1.parse().ok())
        .collect();
    Ok((!samples.is_empty()).then(|| samples.iter().sum()))
}
