//! README and docs say what is so: the two commands, the links, and no more than is true.

mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace").to_owned()
}

fn read(name: &str) -> String {
    fs::read_to_string(root().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// README.md and every page of docs/.
fn pages() -> Vec<PathBuf> {
    fn collect(directory: &Path, found: &mut Vec<PathBuf>) {
        let entries = fs::read_dir(directory).expect("a directory of docs");
        for path in entries.map(|entry| entry.expect("an entry").path()) {
            if path.is_dir() {
                collect(&path, found);
            } else if path.extension().is_some_and(|extension| extension == "md") {
                found.push(path);
            }
        }
    }
    let mut found = vec![root().join("README.md")];
    collect(&root().join("docs"), &mut found);
    assert!(found.len() > 10, "the pages were found: {found:?}");
    found
}

#[test]
fn the_demo_shows_a_master_and_its_replica_and_ends_with_0() {
    let output = Command::new(env!("CARGO_BIN_EXE_damselfly"))
        .arg("demo")
        .stdin(Stdio::null())
        .output()
        .expect("the program can be run");
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(0), "{printed}\n{errors}");
    for part in ["REPLICAOF", "stable_sync", "lag=", "partial sync", "NO ONE", "exit code 0"] {
        assert!(printed.contains(part), "'{part}' is missing in\n{printed}");
    }
}

#[test]
fn the_two_commands_are_one_line_each_and_the_gate_runs_the_same_tests() {
    let readme = read("README.md");
    let mut lines = readme.lines();
    let mut command = |what: &str| {
        let found = lines.find(|line| line.contains(what) && line.starts_with(".ci/run packages"));
        found.unwrap_or_else(|| panic!("README.md has no line with {what}")).to_owned()
    };
    let demo = command("cargo run");
    assert!(demo.ends_with("&& cargo run --release --locked -- demo"), "{demo}");
    let test = command("cargo test");
    let test = test.split("&& ").nth(1).expect("two parts");
    assert!(read(".ci/run").contains(test), "the gate does not run: {test}");
}

#[test]
fn every_link_leads_somewhere() {
    for page in pages() {
        let text = fs::read_to_string(&page).expect("a page");
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let file = link.split('#').next().unwrap_or_default();
            if file.is_empty() || link.contains("://") {
                continue;
            }
            let target = page.parent().expect("a folder").join(file);
            assert!(target.exists(), "{}: {link}", page.display());
        }
    }
}

/// Sockets are read and written with plain `recv` and `send`; nobody is to be told otherwise.
#[test]
fn no_page_says_that_io_uring_moves_the_bytes_of_sockets() {
    for page in pages() {
        let text = fs::read_to_string(&page).expect("a page");
        for sentence in text.split(['.', '\n']).filter(|text| text.contains("io_uring")) {
            for word in
                [" reads ", " writes ", "zero-copy", "zero copy", "socket I/O", "network I/O"]
            {
                assert!(!sentence.contains(word), "{}: {sentence}", page.display());
            }
        }
    }
}

#[test]
fn every_room_has_its_page() {
    for room in fs::read_dir(root().join("engine/src")).expect("the engine") {
        let path = room.expect("an entry").path();
        let name = path.file_stem().and_then(|name| name.to_str()).expect("a name").to_owned();
        let is_room = path.is_dir();
        let page = root().join("docs/internals").join(format!("{name}.md"));
        assert!(!is_room || page.exists(), "docs/internals/{name}.md is missing");
    }
}

#[test]
fn the_change_log_has_the_agreed_shape() {
    let text = read("docs/CHANGELOG.md");
    let headings: Vec<&str> = text.lines().filter(|line| line.starts_with("## ")).collect();
    assert_eq!(headings.first(), Some(&"## Unreleased"), "{headings:?}");
    for heading in text.lines().filter_map(|line| line.strip_prefix("### ")) {
        let known = ["Breaking", "Added", "Faster", "Fixed", "Inside"];
        assert!(known.contains(&heading), "{heading}");
    }
}
