//! AUTH and HELLO: who the client is and how it speaks.
//!
//! There is one user, `default`. Its password is `requirepass`; without one every password is right.

use super::client::clean_name;
use super::common::{ALWAYS, FrontCommand, Handler, declare};
use crate::config::REDIS_VERSION;
use crate::connection::Session;
use crate::secret::is_same;
use engine::command::{Args, Flags, Outcome, Refusal};
use engine::resp::{Protocol, ReplyWriter};

const WRONG: Refusal =
    Refusal::fixed("WRONGPASS invalid username-password pair or user is disabled.");

pub(super) static AUTH: FrontCommand = declare(
    "auth",
    "AUTH [username] password",
    "Authenticates the connection.",
    "1.0.0",
    ALWAYS.union(Flags::SENSITIVE),
    "",
    Handler::Now(|session, args, reply| {
        match args.len() {
            2 if session.config.requirepass.is_empty() => {
                return Err(Refusal::fixed(
                    "ERR AUTH <password> called without any password configured for the default \
                     user. Are you sure your configuration is correct?",
                ));
            }
            2 => log_in(session, b"default", args.get(1))?,
            3 => log_in(session, args.get(1), args.get(2))?,
            _ => return Err(Refusal::Syntax),
        }
        reply.ok();
        Ok(())
    }),
);

fn log_in(session: &mut Session, user: &[u8], password: &[u8]) -> Result<(), Refusal> {
    // The newest password counts, also within a read buffer that began before it was set.
    session.refresh();
    let expected = session.config.requirepass.as_bytes();
    let right = is_same(password, expected) || session.needs_no_password();
    if !right || user != b"default" {
        return Err(WRONG);
    }
    session.authenticated = true;
    Ok(())
}

pub(super) static HELLO: FrontCommand = declare(
    "hello",
    "HELLO [protover [AUTH username password] [SETNAME clientname]]",
    "Chooses the protocol, and may authenticate and name the connection.",
    "6.0.0",
    ALWAYS.union(Flags::SENSITIVE),
    "",
    Handler::Now(hello),
);

/// What HELLO asks for.
#[derive(Default)]
struct Wishes<'a> {
    protocol: Option<Protocol>,
    login: Option<(&'a [u8], &'a [u8])>,
    name: Option<&'a str>,
}

impl<'a> Wishes<'a> {
    fn read(mut args: Args<'a>) -> Result<Wishes<'a>, Refusal> {
        let mut wishes = Wishes::default();
        if args.left() == 0 {
            return Ok(wishes);
        }
        let version = args.integer().map_err(|_| {
            Refusal::fixed("ERR Protocol version is not an integer or out of range")
        })?;
        wishes.protocol = Some(match version {
            2 => Protocol::Resp2,
            3 => Protocol::Resp3,
            _ => return Err(Refusal::fixed("NOPROTO unsupported protocol version")),
        });
        while let Some(option) = args.next() {
            if option.eq_ignore_ascii_case(b"auth") && args.left() >= 2 {
                wishes.login = Some((args.required()?, args.required()?));
            } else if option.eq_ignore_ascii_case(b"setname") && args.left() >= 1 {
                wishes.name = Some(clean_name(args.required()?)?);
            } else {
                return Err(Refusal::quoting("ERR Syntax error in HELLO option '", option, "'"));
            }
        }
        Ok(wishes)
    }
}

fn hello(session: &mut Session, args: Args<'_>, reply: &mut ReplyWriter<'_>) -> Outcome {
    let wishes = Wishes::read(args)?;
    if let Some((user, password)) = wishes.login {
        log_in(session, user, password)?;
    }
    if !session.may_ask() {
        return Err(Refusal::fixed(
            "NOAUTH HELLO must be called with the client already authenticated, otherwise the \
             HELLO <proto> AUTH <user> <pass> option can be used to authenticate the client and \
             select the RESP protocol version at the same time",
        ));
    }
    if let Some(name) = wishes.name {
        session.client.words().name = name.to_owned();
    }
    if let Some(protocol) = wishes.protocol {
        session.speak(protocol);
        reply.protocol = protocol;
    }
    reply.map(7);
    reply.bulk("server");
    reply.bulk("redis");
    reply.bulk("version");
    reply.bulk(REDIS_VERSION);
    reply.bulk("proto");
    reply.integer(if session.protocol == Protocol::Resp3 { 3 } else { 2 });
    reply.bulk("id");
    reply.integer(session.client.id as i64);
    reply.bulk("mode");
    reply.bulk("standalone");
    reply.bulk("role");
    reply.bulk(if session.server.status.is_replica() { "replica" } else { "master" });
    reply.bulk("modules");
    reply.array(0);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_the_same_only_when_every_byte_is() {
        for (given, secret, same) in [
            ("", "", true),
            ("a", "", false),
            ("", "a", false),
            ("secret", "secret", true),
            ("secre", "secret", false),
            ("secrett", "secret", false),
            ("secretsecret", "secret", false),
            ("aaaa", "a", false),
            ("Secret", "secret", false),
            ("\u{e9}", "\u{e8}", false),
        ] {
            assert_eq!(is_same(given.as_bytes(), secret.as_bytes()), same, "{given} {secret}");
        }
    }
}
