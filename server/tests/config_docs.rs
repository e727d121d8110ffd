//! The pages that are written from tables say what the tables say. `UPDATE=1` writes them anew.

use engine::command::Registry;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::path::PathBuf;

fn page(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../docs").join(name)
}

fn check(name: &str, want: &str) {
    let path = page(name);
    if std::env::var_os("UPDATE").is_some() {
        let folder = path.parent().expect("a folder of docs");
        fs::create_dir_all(folder).expect("a folder for the page");
        fs::write(&path, want).expect("a page that can be written");
    }
    let got = fs::read_to_string(&path).unwrap_or_default();
    assert!(want.is_ascii(), "{name} is not plain ASCII");
    assert!(
        got == want,
        "{name} is not what the table says; write it anew with\n\
         UPDATE=1 cargo test -p server --test config_docs"
    );
}

#[test]
fn the_page_of_flags_is_the_table_of_settings() {
    check("operating/flags.md", &server::config::flags_page());
}

#[test]
fn the_page_of_metrics_is_the_table_of_metrics() {
    check("operating/metrics.md", &server::observe::metrics::metrics_page());
}

/// A command as Redis has it.
struct Recorded {
    name: &'static str,
    group: &'static str,
    /// The major and minor version that introduced it.
    since: (u32, u32),
    arity: i32,
}

/// All commands of Redis up to 8.0.
fn recorded() -> Vec<Recorded> {
    let lines = include_str!("data/redis_commands.txt").lines();
    let commands = lines.filter(|line| !line.starts_with('#')).map(|line| {
        let mut words = line.split(' ');
        let mut word = || words.next().unwrap_or_else(|| panic!("{line} has too few words"));
        let (name, group, since, arity) = (word(), word(), word(), word());
        let mut numbers = since.split('.').map(|part| part.parse().expect("a version"));
        let mut number = || numbers.next().expect("two parts of a version");
        let since = (number(), number());
        Recorded { name, group, since, arity: arity.parse().expect("an arity") }
    });
    commands.collect()
}

/// The versions whose commands are looked for, each with what those before it had not.
const VERSIONS: [(u32, u32); 3] = [(7, 2), (7, 4), (8, 0)];

const BEGIN: &str = "<!-- from here on: written by server/tests/config_docs.rs -->\n";
const END: &str = "<!-- up to here -->\n";

/// What is missing of Redis's commands, by group and version.
fn missing(registry: &Registry) -> String {
    let commands = recorded();
    let is_here = |name: &str| registry.find_any(name.as_bytes()).is_some();
    let mut rows: BTreeMap<&str, [Vec<String>; VERSIONS.len()]> = BTreeMap::new();
    for command in &commands {
        let container = command.name.split('|').next().unwrap_or_default();
        // Where a container is missing, so are its subcommands.
        if is_here(command.name) || (container != command.name && !is_here(container)) {
            continue;
        }
        let name = format!("`{}`", command.name.to_ascii_uppercase().replace('|', " "));
        let version = VERSIONS.iter().position(|version| command.since <= *version);
        rows.entry(command.group).or_default()[version.expect("up to 8.0")].push(name);
    }
    let mut text = String::new();
    for (index, version) in VERSIONS.iter().enumerate() {
        let of_version = |command: &&Recorded| {
            command.since <= *version && (index == 0 || command.since > VERSIONS[index - 1])
        };
        let all: Vec<&Recorded> = commands.iter().filter(of_version).collect();
        let here = all.iter().filter(|command| is_here(command.name)).count();
        let (what, (major, minor)) = (if index == 0 { "of" } else { "that came with" }, version);
        let _ = writeln!(
            text,
            "- Of the {} commands and subcommands {what} Redis {major}.{minor}: {here} are here.",
            all.len()
        );
    }
    text.push_str("\n| Group | Missing of 7.2 | of 7.4 | of 8.0 |\n| --- | --- | --- | --- |\n");
    for (group, versions) in rows {
        let cells = versions.map(|names| names.join(" "));
        let _ = writeln!(text, "| {group} | {} |", cells.join(" | "));
    }
    text
}

#[test]
fn the_page_of_what_is_missing_lists_the_commands_that_are() {
    let (registry, _) = server::commands::registry();
    let text = fs::read_to_string(page("compatibility.md")).expect("the page");
    let (before, rest) = text.split_once(BEGIN).expect("where the list begins");
    let (_, after) = rest.split_once(END).expect("where the list ends");
    let list = missing(registry);
    check("compatibility.md", &format!("{before}{BEGIN}\n{list}\n{END}{after}"));
}

#[test]
fn commands_take_as_many_arguments_as_in_redis() {
    let (registry, _) = server::commands::registry();
    for command in recorded() {
        if let Some(entry) = registry.find_any(command.name.as_bytes()) {
            assert_eq!(entry.arity, command.arity, "{}", command.name);
        }
    }
}
