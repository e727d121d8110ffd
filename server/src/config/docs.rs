//! `docs/operating/flags.md`, written from the table. A test compares the file with this text.

use std::fmt::Write;

use super::names::settings;
use super::setting::{Effect, Group, Setting};

const HEAD: &str = "# Flags and settings

<!-- Written from the table of settings: UPDATE=1 cargo test -p server --test config_docs -->

Every setting is a flag, a line of a flagfile, a variable, and a name for `CONFIG GET`. *Live* settings
can be changed with `CONFIG SET`; `CONFIG REWRITE` writes what changed back into the flagfile.

| Way | Example |
| --- | --- |
| flag | `--port=7000`, `--port 7000`, `-port=7000`; dashes and underscores are the same |
| switch | `--tls`, `--tls=true`, `--notls`, `--tls=false` |
| flagfile | `--flagfile=/etc/damselfly/damselfly.conf`: one `--flag=value` per line, `#` for comments |
| variable | `DFLY_port=7000`; `DFLY_PASSWORD` is `requirepass`; an unknown `DFLY_` variable is an error |
| redis.conf | `damselfly /etc/redis/redis.conf --port 7000`: as the first argument, see below |

Of two flags for one setting the later one holds, and the lines of a flagfile stand where `--flagfile`
stands. A variable holds only where neither gave a value. Sizes take `kb`, `mb`, `gb` and `tb` in powers
of 1024, and so do `k`, `m`, `g` and `t` in flags, flagfiles and variables, as in Dragonfly; in a redis.conf and in
`CONFIG SET` `1k`, `1m` and `1g` are powers of 1000, as in Redis. Durations take `ms`, `s`, `m`, `h` and `d`, and a bare number counts what the name of the kind
says. Lists and addresses take several words: `--bind 127.0.0.1 ::1`. `--help` shows the flags,
`--help=part` those about something, `--helpfull` all, `--version` the version.

Of a redis.conf, lines whose names are known here are settings, with Redis's quoting, `include` and repeated
lines. Lines that are not known change nothing and are named in the log, as are those that every installed
file has and that ask for what is not here (`daemonize`). Where going on would change
who may come in or what is kept (`appendonly yes`, `user`, `aclfile`, `rename-command`, `cluster-enabled yes`,
`loadmodule`), the program does not start, and names the line. `CONFIG REWRITE` needs a flagfile.
";

const ACCEPTED: &str = "
## Accepted names

Names that unit files and tools carry over from Dragonfly and Redis. Where a value could only be ignored
at the cost of safety, it is refused instead, with the reason below.

| Flag | Also | Taken | Why |
| --- | --- | --- | --- |
";

/// The page's text.
pub fn flags_page() -> String {
    let mut page = HEAD.to_owned();
    let mut group: Option<Group> = None;
    for setting in settings().filter(|setting| setting.effect == Effect::Real) {
        if group != Some(setting.group) {
            group = Some(setting.group);
            let _ = write!(page, "\n## {}\n\n", setting.group.title());
            page.push_str("| Flag | Also | Kind | Default | Live | Meaning |\n");
            page.push_str("| --- | --- | --- | --- | --- | --- |\n");
        }
        let live = if setting.mutable { "yes" } else { "" };
        let _ = writeln!(
            page,
            "| `{}` | {} | {} | {} | {live} | {} |",
            setting.name,
            aliases(setting),
            cell(&setting.kind.placeholder()),
            code(setting.default),
            cell(&setting.reason()),
        );
    }
    page.push_str(ACCEPTED);
    for setting in settings().filter(|setting| setting.effect != Effect::Real) {
        let taken = match setting.effect {
            Effect::Only(values) => {
                let values: Vec<String> = values.iter().map(|value| only(value)).collect();
                format!("only {}", values.join(" or "))
            }
            _ => format!("any {}, no effect", cell(&setting.kind.placeholder())),
        };
        let reason = cell(&setting.reason());
        let _ =
            writeln!(page, "| `{}` | {} | {taken} | {reason} |", setting.name, aliases(setting));
    }
    page
}

fn aliases(setting: &Setting) -> String {
    let names: Vec<String> =
        setting.aliases.iter().map(|alias| format!("`{}`", alias.name)).collect();
    names.join(" ")
}

fn only(value: &str) -> String {
    match value {
        "" => "empty".to_owned(),
        value => format!("`{value}`"),
    }
}

fn code(text: &str) -> String {
    match text {
        "" => String::new(),
        text => format!("`{text}`"),
    }
}

/// A bar would end the cell.
fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}
