//! SHUTDOWN and MODULE.

use super::common::{ADMIN, ALWAYS, CONTAINER, FrontCommand, HELP, Handler, declare};
use crate::stopper::Stop;
use engine::command::{Args, Flags, Refusal};
use std::sync::atomic::Ordering;

pub(super) const COMMANDS: &[&FrontCommand] = &[&SHUTDOWN, &MODULE, &MODULE_LIST, &MODULE_HELP];

static SHUTDOWN: FrontCommand = FrontCommand {
    command: declare(
        "shutdown",
        "SHUTDOWN [NOSAVE | SAVE] [NOW] [FORCE] [ABORT]",
        "Ends the program, once its replicas have everything or shutdown_timeout has passed; NOW does \
         not wait for them.",
        "1.0.0",
        ADMIN.union(Flags::NO_MULTI).union(Flags::ALLOW_BUSY),
        "",
    ),
    handler: Handler::Now(|session, args, _| {
        let wish = Wish::of(args)?;
        let stopping = session.server.stopping.load(Ordering::Acquire);
        let stop = match (wish, stopping) {
            (Wish::Abort, false) => {
                return Err(Refusal::fixed("ERR No shutdown in progress."));
            }
            (Wish::Abort, true) => {
                return Err(Refusal::fixed("ERR a shutdown that has begun cannot be aborted"));
            }
            (Wish::Stop(stop), _) => stop,
        };
        tracing::info!("SHUTDOWN by {}", session.client.peer);
        session.server.stopper.stop(stop);
        // As in Redis, success is the end of the connection.
        session.close = true;
        Ok(())
    }),
};

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Wish {
    Stop(Stop),
    Abort,
}

impl Wish {
    fn of(args: Args<'_>) -> Result<Wish, Refusal> {
        let (mut save, mut nosave, mut now, mut force, mut abort) = Default::default();
        for word in args.from(1) {
            let flag: &mut bool = match word.to_ascii_uppercase().as_slice() {
                b"SAVE" => &mut save,
                b"NOSAVE" => &mut nosave,
                b"NOW" => &mut now,
                b"FORCE" => &mut force,
                b"ABORT" => &mut abort,
                _ => return Err(Refusal::Syntax),
            };
            *flag = true;
        }
        if (save && nosave) || (abort && args.len() > 2) {
            return Err(Refusal::Syntax);
        }
        if save {
            return Err(Refusal::fixed(
                "ERR snapshots are not supported yet: SHUTDOWN NOSAVE ends without one",
            ));
        }
        if abort {
            return Ok(Wish::Abort);
        }
        Ok(Wish::Stop(if now { Stop::Now } else { Stop::InOrder }))
    }
}

static MODULE: FrontCommand = FrontCommand {
    command: declare(
        "module",
        "MODULE subcommand [argument ...]",
        "Modules: there are none.",
        "4.0.0",
        Flags::empty(),
        "",
    ),
    handler: CONTAINER,
};

static MODULE_LIST: FrontCommand = FrontCommand {
    command: declare(
        "module|list",
        "MODULE LIST",
        "Returns the modules: none.",
        "4.0.0",
        ADMIN,
        "",
    ),
    handler: Handler::Now(|_, _, reply| {
        reply.array(0);
        Ok(())
    }),
};

static MODULE_HELP: FrontCommand = FrontCommand {
    command: declare("module|help", "MODULE HELP", "Prints this help.", "5.0.0", ALWAYS, ""),
    handler: HELP,
};

#[cfg(test)]
mod tests {
    use super::*;
    use engine::command::OwnedArgs;

    #[test]
    fn shutdown_takes_redis_words_and_never_claims_to_save() {
        let check = |words: &str, expected: Result<Wish, &str>| {
            let args: OwnedArgs = words.split(' ').map(str::as_bytes).collect();
            let wish = Wish::of(args.view()).map_err(|refusal| refusal.text().into_owned());
            assert_eq!(wish, expected.map_err(str::to_owned), "{words}");
        };
        check("SHUTDOWN", Ok(Wish::Stop(Stop::InOrder)));
        check("SHUTDOWN nosave force", Ok(Wish::Stop(Stop::InOrder)));
        check("SHUTDOWN NOSAVE NOW", Ok(Wish::Stop(Stop::Now)));
        check("SHUTDOWN ABORT", Ok(Wish::Abort));
        check("SHUTDOWN ABORT NOW", Err("ERR syntax error"));
        check("SHUTDOWN SAVE NOSAVE", Err("ERR syntax error"));
        check("SHUTDOWN later", Err("ERR syntax error"));
        check(
            "SHUTDOWN SAVE",
            Err("ERR snapshots are not supported yet: SHUTDOWN NOSAVE ends without one"),
        );
    }
}
