//! One message, as all its receivers get it.

use crate::resp::{Protocol, ReplyWriter};

/// Where a message is said: the two kinds of channels have names of their own.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Scope {
    /// PUBLISH.
    Plain,
    /// SPUBLISH.
    Sharded,
}

/// A message, encoded once for all who get it in the same words.
#[derive(Debug)]
pub struct Message {
    /// As an array; the two protocols differ in the first byte.
    bytes: Box<[u8]>,
}

impl Message {
    /// For those who listen to the channel itself.
    pub fn of(scope: Scope, channel: &[u8], payload: &[u8]) -> Message {
        let word = match scope {
            Scope::Plain => b"message".as_slice(),
            Scope::Sharded => b"smessage",
        };
        Message::encode(&[word, channel, payload])
    }

    /// For those who listen to a pattern.
    pub fn of_pattern(pattern: &[u8], channel: &[u8], payload: &[u8]) -> Message {
        Message::encode(&[b"pmessage", pattern, channel, payload])
    }

    fn encode(parts: &[&[u8]]) -> Message {
        /// Around each part: `$`, digits and line ends.
        const AROUND: usize = 25;
        let length: usize = parts.iter().map(|part| AROUND + part.len()).sum();
        let mut bytes = Vec::with_capacity(AROUND + length);
        let mut writer = ReplyWriter::new(&mut bytes, Protocol::Resp2);
        writer.array(parts.len());
        parts.iter().for_each(|part| writer.bulk(part));
        Message { bytes: bytes.into() }
    }

    /// Its bytes.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Never: there is a head.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// The first byte, which says what this is: an array, or something nobody asked for.
    pub fn first(protocol: Protocol) -> u8 {
        if protocol == Protocol::Resp3 { b'>' } else { b'*' }
    }

    /// All bytes behind the first.
    pub fn rest(&self) -> &[u8] {
        &self.bytes[1..]
    }
}
