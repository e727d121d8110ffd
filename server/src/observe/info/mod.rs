//! INFO: sections of `name:value` lines under Redis's names, and ours beside them.
//!
//! A section is one entry of a table and one function that writes its lines out of a [`Picture`].
//! Clients parse these lines (Sentinel, exporters, libraries), so a field that Redis has is there
//! also where its answer is a constant here; what is not known is left out.

mod commands;
pub(crate) mod node;
mod replication;
mod stats;
mod view;

pub use view::{Lines, View, human};

use std::fmt::Write;

/// In which answers a section stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Shown {
    /// Without arguments, and in all the others.
    Default,
    /// In `all` and `everything`.
    All,
    /// In `default` and `everything`, not in `all`: Redis does so with modules.
    NotAll,
}

struct Section {
    title: &'static str,
    shown: Shown,
    write: fn(&View<'_>, &mut Lines),
}

const fn section(title: &'static str, shown: Shown, write: fn(&View<'_>, &mut Lines)) -> Section {
    Section { title, shown, write }
}

/// In the order of Redis.
static SECTIONS: &[Section] = &[
    section("Server", Shown::Default, node::server),
    section("Clients", Shown::Default, node::clients),
    section("Memory", Shown::Default, node::memory),
    section("Persistence", Shown::Default, node::persistence),
    section("Stats", Shown::Default, stats::stats),
    section("Replication", Shown::Default, replication::replication),
    section("CPU", Shown::Default, node::cpu),
    section("Modules", Shown::NotAll, |_, _| {}),
    section("Commandstats", Shown::All, commands::commandstats),
    section("Errorstats", Shown::Default, commands::errorstats),
    section("Latencystats", Shown::All, commands::latencystats),
    section("Cluster", Shown::Default, |_, lines| lines.put("cluster_enabled", 0)),
    section("Keyspace", Shown::Default, stats::keyspace),
    section("TLS", Shown::Default, node::tls),
    section("Debug", Shown::All, stats::debug),
];

/// INFO's answer to these names of sections; none is the default. Unknown names are passed over, as
/// in Redis.
pub fn render(view: &View<'_>, names: &[&[u8]]) -> String {
    let named = |word: &str| names.iter().any(|name| name.eq_ignore_ascii_case(word.as_bytes()));
    let (default, all) = (names.is_empty() || named("default"), named("all"));
    let everything = named("everything");
    let mut text = Lines::default();
    for section in SECTIONS {
        let wanted = everything
            || named(section.title)
            || match section.shown {
                Shown::Default => default || all,
                Shown::All => all,
                Shown::NotAll => default,
            };
        if !wanted {
            continue;
        }
        if !text.0.is_empty() {
            text.0.push_str("\r\n");
        }
        let _ = write!(text.0, "# {}\r\n", section.title);
        (section.write)(view, &mut text);
    }
    text.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_written_as_redis_writes_them() {
        for (bytes, text) in [
            (0, "0B"),
            (1023, "1023B"),
            (1024, "1.00K"),
            (1_536_000, "1.46M"),
            (3 << 30, "3.00G"),
            (u64::MAX, "16384.00P"),
        ] {
            assert_eq!(human(bytes), text);
        }
    }

    #[test]
    fn a_value_cannot_begin_another_field() {
        let mut lines = Lines::default();
        lines.put("last_error", "one\r\nrole:master");
        lines.put(format_args!("db{}", 0), 7);
        assert_eq!(lines.0, "last_error:one  role:master\r\ndb0:7\r\n");
    }

    #[test]
    fn sections_have_one_title_each() {
        for (index, section) in SECTIONS.iter().enumerate() {
            let again = SECTIONS[..index].iter().any(|other| other.title == section.title);
            assert!(!again, "{}", section.title);
        }
    }
}
