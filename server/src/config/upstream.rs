//! The address of the node that this one follows, as flags and flagfiles write it.
//!
//! The name is kept as it was written and is resolved anew at every attempt to connect.

use std::fmt;

/// A host name or address and a port.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Upstream {
    /// Name or address; an IPv6 address without its brackets.
    pub host: String,
    /// Never 0.
    pub port: u16,
}

/// The longest host name that DNS knows is 253 characters; an address is shorter.
const HOST_CHARACTERS_MAX: usize = 255;

impl Upstream {
    /// Reads a setting: nothing, `host:port`, `host port`, `[v6]:port`, or Redis's `no one`.
    /// The texts of refusals are Dragonfly's.
    pub fn parse_setting(text: &str) -> Result<Option<Upstream>, String> {
        let text = text.trim();
        let words: Vec<&str> = text.split_whitespace().collect();
        match words.as_slice() {
            [] => Ok(None),
            [no, one] if no.eq_ignore_ascii_case("no") && one.eq_ignore_ascii_case("one") => {
                Ok(None)
            }
            [host, port] => Upstream::of_parts(unbracketed(host)?, port).map(Some),
            [address] => Upstream::parse_address(address).map(Some),
            _ => Err("expected host:port.".to_owned()),
        }
    }

    fn parse_address(text: &str) -> Result<Upstream, String> {
        if text.starts_with('[') {
            let end = text.find(']').ok_or("unclosed brackets.")?;
            let host = unbracketed(&text[..=end])?;
            let port = text[end + 1..].strip_prefix(':').ok_or("missing ':'.")?;
            return Upstream::of_parts(host, port);
        }
        let (host, port) = text.rsplit_once(':').ok_or("missing ':'.")?;
        if host.contains(':') {
            // `::1:6379` may mean two things; guessing would follow the wrong node.
            return Err("an IPv6 address must stand in brackets: [address]:port.".to_owned());
        }
        Upstream::of_parts(host, port)
    }

    fn of_parts(host: &str, port: &str) -> Result<Upstream, String> {
        if host.is_empty() || port.is_empty() {
            return Err("IP/host or port are empty.".to_owned());
        }
        let strange = |c: char| c.is_control() || c.is_whitespace() || matches!(c, '[' | ']');
        if host.len() > HOST_CHARACTERS_MAX || host.contains(strange) {
            return Err("IP/host is not a name or an address.".to_owned());
        }
        match port.parse::<u16>() {
            Ok(port) if port > 0 => Ok(Upstream { host: host.to_owned(), port }),
            _ => Err("port is out of range".to_owned()),
        }
    }
}

/// The host inside `[...]`; a text without brackets as it is.
fn unbracketed(text: &str) -> Result<&str, String> {
    let Some(rest) = text.strip_prefix('[') else {
        return Ok(text);
    };
    let inside = rest.strip_suffix(']').ok_or("unclosed brackets.")?;
    match inside.len() {
        0 | 1 => Err("IPv6 host name is too short".to_owned()),
        _ => Ok(inside),
    }
}

impl fmt::Display for Upstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host.contains(':') {
            true => write!(f, "[{}]:{}", self.host, self.port),
            false => write!(f, "{}:{}", self.host, self.port),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_in_every_spelling_are_read_and_written_back() {
        let check = |text: &str, want: &str| {
            let got = Upstream::parse_setting(text).expect(text).map(|up| up.to_string());
            assert_eq!(got.unwrap_or_default(), want, "{text:?}");
        };
        check("", "");
        check("no one", "");
        check("NO ONE", "");
        check("localhost:6379", "localhost:6379");
        check("localhost 6379", "localhost:6379");
        check(" 10.0.0.1:6379 ", "10.0.0.1:6379");
        check("[::1]:6379", "[::1]:6379");
        check("[::1] 6379", "[::1]:6379");
        check("::1 6379", "[::1]:6379");
        check("[fe80::1%eth0]:6379", "[fe80::1%eth0]:6379");
    }

    #[test]
    fn wrong_addresses_are_refused_in_the_words_of_dragonfly() {
        let check = |text: &str, want: &str| {
            assert_eq!(Upstream::parse_setting(text), Err(want.to_owned()), "{text:?}");
        };
        check("foo", "missing ':'.");
        check(":6379", "IP/host or port are empty.");
        check("foo:", "IP/host or port are empty.");
        check("[::1:6379", "unclosed brackets.");
        check("[]:6379", "IPv6 host name is too short");
        check("[::1]6379", "missing ':'.");
        check("foo:0", "port is out of range");
        check("foo:65536", "port is out of range");
        check("foo:abc", "port is out of range");
        check("::1:6379", "an IPv6 address must stand in brackets: [address]:port.");
        check("a b c", "expected host:port.");
    }
}
