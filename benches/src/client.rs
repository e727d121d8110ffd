//! One blocking connection: ask, and read the answer.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use engine::resp::{Reply, ReplyLimits, ReplyReader, encode_command};

/// Longest wait for an answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);

/// A connection without TLS.
pub struct Client {
    socket: TcpStream,
    reader: ReplyReader,
    input: Vec<u8>,
}

impl Client {
    /// Connects.
    pub fn connect(address: SocketAddr) -> io::Result<Client> {
        let socket = TcpStream::connect_timeout(&address, Duration::from_secs(5))?;
        socket.set_nodelay(true)?;
        socket.set_read_timeout(Some(ANSWER_TIMEOUT))?;
        let reader = ReplyReader::new(ReplyLimits::default());
        Ok(Client { socket, reader, input: Vec::new() })
    }

    /// Sends a command and waits for its answer; the server's error is an answer too.
    pub fn ask(&mut self, words: &[&str]) -> io::Result<Reply> {
        let words: Vec<&[u8]> = words.iter().map(|word| word.as_bytes()).collect();
        let mut request = Vec::new();
        encode_command(&mut request, &words);
        self.socket.write_all(&request)?;
        loop {
            let found = self.reader.take(&mut self.input);
            if let Some(reply) =
                found.map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?
            {
                return Ok(reply);
            }
            let mut piece = [0; 16 * 1024];
            match self.socket.read(&mut piece)? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                length => self.input.extend_from_slice(&piece[..length]),
            }
        }
    }

    /// Sends a command that must not be answered by an error.
    pub fn demand(&mut self, words: &[&str]) -> io::Result<Reply> {
        let reply = self.ask(words)?;
        match reply.error() {
            Some(text) => {
                let text = String::from_utf8_lossy(text);
                Err(io::Error::other(format!("{}: {text}", words.join(" "))))
            }
            None => Ok(reply),
        }
    }

    /// One field of a section of INFO.
    pub fn info(&mut self, section: &str, field: &str) -> io::Result<Option<String>> {
        let reply = self.demand(&["INFO", section])?;
        let text = String::from_utf8_lossy(reply.bytes().unwrap_or_default());
        let value = text.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
        Ok(value.map(str::to_owned))
    }
}
