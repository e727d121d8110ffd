//! The server to look at, as a URL: `redis://[user:password@]host[:port]`, `rediss://` with TLS.

use crate::config::{Config, Upstream};

/// Where it is, and who we are there.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Address {
    /// Name or address; an IPv6 address without its brackets.
    pub(super) host: String,
    /// Its port.
    pub(super) port: u16,
    /// Empty is the default user.
    pub(super) user: String,
    /// Empty is none.
    pub(super) password: String,
    /// Whether TLS is spoken.
    pub(super) tls: bool,
}

const PORT: u16 = 6379;

impl Address {
    /// Reads a URL; what it does not say the node's settings do.
    pub(super) fn read(text: &str, config: &Config) -> Result<Address, String> {
        let (scheme, rest) = text.split_once("://").ok_or("an address begins with redis://")?;
        let is_secure = match scheme {
            "redis" => false,
            "rediss" => true,
            other => return Err(format!("'{other}://' is neither redis:// nor rediss://")),
        };
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (rest, path) = rest.split_once('/').unwrap_or((rest, ""));
        if !query.is_empty() || !path.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err("nothing but a host and a port belongs into the address: all databases are looked at".to_owned());
        }
        let (who, place) = match rest.rsplit_once('@') {
            Some((who, place)) => (Some(who), place),
            None => (None, rest),
        };
        let has_port = place.rsplit_once(':').is_some_and(|(_, port)| !port.ends_with(']'));
        let place = if has_port { place.to_owned() } else { format!("{place}:{PORT}") };
        let upstream = Upstream::parse_setting(&place)?.ok_or("the address names no host")?;
        let (user, password) = match who {
            Some(who) => {
                let (user, password) = who
                    .split_once(':')
                    .ok_or("a password stands behind a colon: redis://:password@host")?;
                (decoded(user)?, decoded(password)?)
            }
            None => (config.masteruser.clone(), config.masterauth.clone()),
        };
        let tls = is_secure || config.tls_replication;
        Ok(Address { host: upstream.host, port: upstream.port, user, password, tls })
    }
}

/// `%40` is `@`, and so on.
fn decoded(text: &str) -> Result<String, String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        if *first != b'%' {
            bytes.push(*first);
            continue;
        }
        let digits = after.get(..2).and_then(|digits| std::str::from_utf8(digits).ok());
        let byte = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok());
        bytes
            .push(byte.ok_or("behind a % in the address stand two hexadecimal digits (%25 is %)")?);
        rest = &after[2..];
    }
    String::from_utf8(bytes).map_err(|_| "user and password are not valid UTF-8".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Start, start};
    use std::ffi::OsString;

    fn read(text: &str, flags: &[&str]) -> Result<Address, String> {
        let flags = std::iter::once(&"damselfly").chain(flags).map(OsString::from);
        let Start::Run(settings) = start(flags.collect::<Vec<_>>(), [], "test") else {
            panic!("flags are refused")
        };
        Address::read(text, &settings.config())
    }

    fn shown(text: &str, flags: &[&str]) -> String {
        let Address { host, port, user, password, tls } = read(text, flags).expect(text);
        format!("{host} {port} '{user}' '{password}' {tls}")
    }

    #[test]
    fn addresses_are_read() {
        assert_eq!(shown("redis://example.org", &[]), "example.org 6379 '' '' false");
        assert_eq!(shown("redis://example.org:7000/0", &[]), "example.org 7000 '' '' false");
        assert_eq!(shown("rediss://ada:a%40b%3A%25@h:1", &[]), "h 1 'ada' 'a@b:%' true");
        assert_eq!(shown("redis://:p:q@[::1]", &[]), "::1 6379 '' 'p:q' false");
        assert_eq!(
            shown("redis://[::1]:7", &["--masteruser=u", "--masterauth=p"]),
            "::1 7 'u' 'p' false"
        );
        let tls = ["--tls_replication", "--masterauth=p"];
        assert_eq!(shown("redis://h", &tls), "h 6379 '' 'p' true");
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for text in [
            "http://h",
            "redis://",
            "redis://h:0",
            "redis://h:x",
            "redis://p@h",
            "redis://:%4@h",
            "redis://:%zz@h",
            "redis://h/a",
            "redis://h?db=1",
            "redis://::1",
        ] {
            assert!(read(text, &[]).is_err(), "{text}");
        }
    }
}
