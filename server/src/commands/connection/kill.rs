//! CLIENT KILL: by address (the old form), or by filters.
//!
//! A connection that kills itself ends after its reply, inside MULTI after EXEC's. A link of replication is
//! meant only by its id, its address or its type; it is made anew by the replica and continues where it
//! was, so to end it for good is REPLICAOF NO ONE. It counts once, however many flows it has.

use super::common::{FrontCommand, Handler, OTHERS, declare, integer, over_all};
use super::listing::{
    Class, MASTER_LINK_ID, is_link_id, is_link_of, master_address, replica_address,
};
use crate::clients::Client;
use crate::connection::Session;
use engine::command::{Args, Outcome, Refusal};
use engine::resp::number::parse_i64;
use engine::resp::{Output, ReplyWriter};
use replication::info::{Replica, Upstream};
use replication::{Linked, Request};
use std::time::Duration;

pub(super) static KILL: FrontCommand = over_all(declare(
    "client|kill",
    "CLIENT KILL <ip:port | filter value [filter value ...]> [filter value ...]",
    "Ends connections.",
    "2.4.0",
    OTHERS,
    "",
    Handler::Later(|session, args, out| Box::pin(kill(session, args, out))),
));

/// Which connections are meant: all that no filter excludes.
#[derive(Default)]
struct Filter<'a> {
    id: Option<u64>,
    peer: Option<&'a [u8]>,
    local: Option<&'a [u8]>,
    class: Option<Class>,
    /// `USER default`: everybody.
    user: bool,
    max_age: Option<Duration>,
    spares_me: bool,
}

impl<'a> Filter<'a> {
    fn read(mut args: Args<'a>) -> Result<Filter<'a>, Refusal> {
        let mut filter = Filter { spares_me: true, ..Filter::default() };
        args.seek(2);
        while let Some(name) = args.next() {
            let value = args.required()?;
            match name.to_ascii_lowercase().as_slice() {
                b"id" => {
                    let id = parse_i64(value).filter(|id| *id > 0);
                    let id = id.ok_or(Refusal::fixed("ERR client-id should be greater than 0"))?;
                    filter.id = Some(id as u64);
                }
                b"addr" => filter.peer = Some(value),
                b"laddr" => filter.local = Some(value),
                b"type" => filter.class = Some(Class::parse(value)?),
                b"user" if value == b"default" => filter.user = true,
                b"user" => {
                    return Err(Refusal::quoting("ERR No such user '", value, "'"));
                }
                b"skipme" if value.eq_ignore_ascii_case(b"yes") => filter.spares_me = true,
                b"skipme" if value.eq_ignore_ascii_case(b"no") => filter.spares_me = false,
                b"maxage" => {
                    let age = integer(value, "ERR maxage is not an integer or out of range")?;
                    let age = u64::try_from(age).ok().filter(|age| *age > 0);
                    let age = age.ok_or(Refusal::fixed("ERR maxage should be greater than 0"))?;
                    filter.max_age = Some(Duration::from_secs(age));
                }
                _ => return Err(Refusal::Syntax),
            }
        }
        Ok(filter)
    }

    fn has(&self, client: &Client) -> bool {
        self.id.is_none_or(|id| id == client.id)
            && self.peer.is_none_or(|peer| peer == client.peer.as_bytes())
            && self.local.is_none_or(|local| local == client.local.as_bytes())
            && self.class.is_none_or(|class| class == Class::of(client))
            && self.max_age.is_none_or(|age| client.since.elapsed() >= age)
    }

    /// The links of replication that are meant. They have to be meant by name, not by way of "everybody":
    /// by their id, their address or their type.
    async fn links(&self, session: &Session) -> Vec<Linked> {
        let is_named = self.id.is_some_and(is_link_id)
            || (self.id.is_none() && self.peer.is_some())
            || matches!(self.class, Some(Class::Replica | Class::Master));
        // What links have none of: a user, an address of ours that is shown, a time that is known.
        if !is_named || self.user || self.local.is_some() || self.max_age.is_some() {
            return Vec::new();
        }
        let info = session.server.replication.info(&session.front).await;
        let master = info.upstream.filter(|upstream| self.is_master(upstream));
        let replicas = info.replicas.iter().filter(|replica| self.is_replica(replica));
        let replicas = replicas.map(|replica| Linked::Replica(replica.session));
        master.map(|_| Linked::Master).into_iter().chain(replicas).collect()
    }

    /// Whether this replica's links are meant.
    fn is_replica(&self, replica: &Replica) -> bool {
        self.id.is_none_or(|id| is_link_of(replica, id))
            && self.peer.is_none_or(|peer| peer == replica_address(replica).as_bytes())
            && self.class.is_none_or(|class| class == Class::Replica)
    }

    /// Whether the link to this master is meant.
    fn is_master(&self, upstream: &Upstream) -> bool {
        self.id.is_none_or(|id| id == MASTER_LINK_ID)
            && self.peer.is_none_or(|peer| peer == master_address(upstream).as_bytes())
            && self.class.is_none_or(|class| class == Class::Master)
    }
}

async fn kill(session: &mut Session, args: Args<'_>, out: &mut Output) -> Outcome {
    let is_old = args.len() == 3;
    let filter = if is_old {
        Filter { peer: Some(args.get(2)), ..Filter::default() }
    } else {
        Filter::read(args)?
    };
    let mut count = 0;
    for link in filter.links(session).await {
        let ended = session.server.replication.ask(&session.front, Request::End(link)).await;
        count += i64::from(ended);
        if is_old && ended {
            ReplyWriter::new(out, session.protocol).ok();
            return Ok(());
        }
    }
    for client in session.server.clients.all() {
        if !filter.has(&client) || (filter.spares_me && client.id == session.client.id) {
            continue;
        }
        // As in Dragonfly: who came in by the admin port is ended only by its like.
        if client.admin && !session.client.admin {
            continue;
        }
        count += 1;
        if client.id == session.client.id {
            session.close = true;
        } else {
            session.server.clients.kill(&client);
        }
        if is_old {
            break;
        }
    }
    let mut reply = ReplyWriter::new(out, session.protocol);
    match (is_old, count) {
        (true, 0) => return Err(Refusal::fixed("ERR No such client")),
        (true, _) => reply.ok(),
        (false, count) => reply.integer(count),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use engine::command::OwnedArgs;

    fn check(request: &str, expected: &str) {
        let args: OwnedArgs = request.split(' ').map(str::as_bytes).collect();
        let read = Filter::read(args.view());
        let text = read.map_or_else(|refusal| refusal.text().into_owned(), |_| "good".to_owned());
        assert_eq!(text, expected, "{request}");
    }

    #[test]
    fn filters_are_read_and_refused_as_redis_does() {
        check("CLIENT KILL ID 5 TYPE normal USER default SKIPME no MAXAGE 10", "good");
        check("CLIENT KILL addr 127.0.0.1:1 laddr 127.0.0.1:2 type slave", "good");
        check("CLIENT KILL ID 0", "ERR client-id should be greater than 0");
        check("CLIENT KILL ID x", "ERR client-id should be greater than 0");
        check("CLIENT KILL ID 5 TYPE", "ERR syntax error");
        check("CLIENT KILL FOO 1", "ERR syntax error");
        check("CLIENT KILL SKIPME maybe", "ERR syntax error");
        check("CLIENT KILL TYPE foo", "ERR Unknown client type 'foo'");
        check("CLIENT KILL USER foo", "ERR No such user 'foo'");
        check("CLIENT KILL MAXAGE 0", "ERR maxage should be greater than 0");
        check("CLIENT KILL MAXAGE x", "ERR maxage is not an integer or out of range");
    }
}
