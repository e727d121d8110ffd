//! The pages that operators read are true: their `sh` blocks run, in order, in one shell, and print
//! what the `text` block behind each says.

mod support;

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Stdio};
use support::node::free_port;

/// One `sh` block and the `text` block behind it.
#[derive(Debug, Default)]
struct Step {
    commands: String,
    printed: Vec<String>,
}

fn steps(page: &str) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    let mut fence: Option<&str> = None;
    for line in page.lines() {
        match (fence, line.strip_prefix("```")) {
            (None, Some(kind)) => {
                fence = Some(kind);
                if kind == "sh" {
                    steps.push(Step::default());
                }
            }
            (Some(_), Some(_)) => fence = None,
            (Some("sh"), None) => {
                let step = steps.last_mut().expect("a block has begun");
                step.commands.push_str(line);
                step.commands.push('\n');
            }
            (Some("text"), None) => {
                let step = steps.last_mut().expect("output stands behind commands");
                step.printed.push(line.to_owned());
            }
            _ => {}
        }
    }
    steps
}

/// Stands before the output of each step.
const MARK: &str = "@@@ step";

/// Everything that the page names as a port becomes a free one. In one pass: a free port may contain the
/// digits of one that the page names.
fn with_free_ports(text: &str, ports: &[(String, String)]) -> String {
    let mut replaced = String::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let found = ports.iter().find(|(from, _)| rest.starts_with(from));
        replaced.push_str(found.map_or(&rest[..first.len_utf8()], |(_, to)| to));
        rest = &rest[found.map_or(first.len_utf8(), |(from, _)| from.len())..];
    }
    replaced
}

/// What the page's nodes said, whichever directory is theirs.
fn logs(directory: &Path) -> String {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    entries
        .map(|entry| entry.path())
        .map(|path| match path.file_name().is_some_and(|name| name == "log") {
            _ if path.is_dir() => logs(&path),
            true => fs::read_to_string(&path).unwrap_or_default(),
            false => String::new(),
        })
        .collect()
}

fn check_page(name: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/operating").join(name);
    let page = fs::read_to_string(&path).expect("the page");
    let ports: Vec<(String, String)> =
        (6379..=6382).map(|port: u16| (port.to_string(), free_port().to_string())).collect();
    let page = with_free_ports(&page, &ports);
    let steps = steps(&page);
    assert!(steps.len() >= 4, "{name} has {} blocks of commands", steps.len());

    let directory = tempfile::tempdir().expect("a directory");
    let program = env!("CARGO_BIN_EXE_damselfly");
    symlink(program, directory.path().join("damselfly")).expect("a link to the program");
    // What is started in the background ends with the shell, however that ends. `kill` may find
    // that a page has stopped its nodes itself.
    let mut script = String::from(
        "set -uo pipefail\nset -m\ntrap 'kill -9 $(jobs -p) 2>/dev/null' EXIT\nexec 2>&1\n",
    );
    for (index, step) in steps.iter().enumerate() {
        script.push_str(&format!("echo '{MARK} {index}'\n{}", step.commands));
    }
    script.push_str(&format!("echo '{MARK} end'\n"));
    let path = std::env::var("PATH").unwrap_or_default();
    let mut command = Command::new("timeout");
    command
        .args(["--kill-after=10", "240", "bash", "-c", &script])
        .current_dir(directory.path())
        .env("PATH", format!("{}:{path}", directory.path().display()))
        .env("DFLY_logfile", "log")
        .env("DFLY_pin", "off")
        .stdin(Stdio::null());
    let output = command.output().expect("bash runs");
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        printed.contains(&format!("{MARK} end")),
        "{name} does not come to its end:\n{printed}\nits nodes said:\n{}",
        logs(directory.path())
    );
    for (index, step) in steps.iter().enumerate() {
        let mark = format!("{MARK} {index}\n");
        let own = printed.split(&mark).nth(1).and_then(|rest| rest.split(MARK).next());
        let mut lines = own.expect("the step's output").lines().map(str::trim_end);
        for expected in &step.printed {
            assert!(
                lines.any(|line| line == expected.trim_end()),
                "{name}: '{expected}' is not printed by\n{}\n{printed}",
                step.commands
            );
        }
    }
}

#[test]
fn the_page_about_replication_is_true() {
    check_page("replication.md");
}

#[test]
fn the_page_about_tls_is_true() {
    check_page("tls.md");
}

#[test]
fn the_page_about_migration_is_true() {
    check_page("migration.md");
}

#[test]
fn ports_are_replaced_once() {
    let ports = [("6379", "16380"), ("6380", "20001")].map(|(a, b)| (a.to_owned(), b.to_owned()));
    assert_eq!(with_free_ports("a 6379, b 6380", &ports), "a 16380, b 20001");
}

#[test]
fn commands_and_their_output_are_found_in_a_page() {
    let page =
        "a\n```sh\none\ntwo\n```\n```text\nout\n```\nb\n```sh\nthree\n```\n```toml\nx\n```\n";
    let found: Vec<(String, usize)> =
        steps(page).into_iter().map(|step| (step.commands, step.printed.len())).collect();
    assert_eq!(found, [("one\ntwo\n".to_owned(), 1), ("three\n".to_owned(), 0)]);
}
