//! The shape of the house: rooms import only downwards, files and functions fit, sources are ASCII.

use std::path::{Path, PathBuf};

const FILE_LINES_MAX: usize = 800;
const FUNCTION_LINES_MAX: usize = 70;

/// All Rust sources of the workspace, with their paths from its root.
fn sources() -> Vec<(PathBuf, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("a crate of the workspace");
    let mut found = Vec::new();
    for crate_dir in ["engine", "replication", "server", "benches"] {
        collect(&root.join(crate_dir), root, &mut found);
    }
    assert!(found.len() > 50, "the sources were found");
    found
}

fn collect(dir: &Path, root: &Path, found: &mut Vec<(PathBuf, String)>) {
    let Ok(entries) = std::fs::read_dir(dir) else { return };
    for path in entries.map(|entry| entry.expect("a directory can be read").path()) {
        if path.is_dir() && !path.ends_with("target") {
            collect(&path, root, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = std::fs::read_to_string(&path).expect("a source is text");
            found.push((path.strip_prefix(root).expect("below the root").to_owned(), text));
        }
    }
}

fn is_test(path: &Path) -> bool {
    let name = path.file_stem().and_then(|name| name.to_str()).unwrap_or_default();
    path.components().any(|part| part.as_os_str() == "tests")
        || name == "tests"
        || name == "testing"
        || name.ends_with("_tests")
}

/// The source without the tests at its foot.
fn without_tests(text: &str) -> &str {
    text.find("\n#[cfg(test)]\nmod tests {").map_or(text, |end| &text[..end])
}

/// The rooms as the crate's front page lists them: each line is a floor.
fn floors() -> Vec<Vec<String>> {
    let lib = include_str!("../src/lib.rs");
    let list = lib.split("```text").nth(1).and_then(|rest| rest.split("```").next());
    let line = |line: &str| {
        let names = line
            .trim_start_matches("//!")
            .trim_start_matches(|c: char| c == ' ' || c.is_ascii_digit());
        let names = names.split("  ").next().unwrap_or_default();
        names.split_whitespace().map(str::to_owned).collect::<Vec<String>>()
    };
    let floors: Vec<_> = list
        .expect("lib.rs lists the rooms")
        .lines()
        .map(line)
        .filter(|names| !names.is_empty())
        .collect();
    assert!(floors.len() >= 8, "the list was understood: {floors:?}");
    floors
}

/// The rooms that a source names as `crate::room`, or in `crate::{room, ...}`, comments left out.
fn imports(text: &str) -> Vec<String> {
    let mut rooms = Vec::new();
    let code: Vec<&str> =
        text.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
    for after in code.join("\n").split("crate::").skip(1) {
        let word = |text: &str| {
            text.chars().take_while(|c| c.is_ascii_lowercase() || *c == '_').collect::<String>()
        };
        match after.strip_prefix('{') {
            None => rooms.push(word(after)),
            Some(list) => {
                let list = list.split(';').next().unwrap_or_default();
                rooms.extend(list.split(',').map(|item| word(item.trim())));
            }
        }
    }
    rooms
}

#[test]
fn rooms_of_the_engine_import_only_from_lower_floors() {
    let floors = floors();
    let floor = |room: &str| floors.iter().position(|names| names.iter().any(|name| name == room));
    let mut wrong = Vec::new();
    for (path, text) in sources() {
        let Ok(inside) = path.strip_prefix("engine/src") else { continue };
        if is_test(&path) || inside == Path::new("lib.rs") {
            continue;
        }
        let first = inside.components().next().expect("a file has a name").as_os_str();
        let room = first.to_str().expect("ASCII").trim_end_matches(".rs");
        let Some(mine) = floor(room) else {
            wrong.push(format!("{} is in a room that lib.rs does not list", path.display()));
            continue;
        };
        for import in imports(without_tests(&text)) {
            if let Some(theirs) = floor(&import)
                && theirs > mine
            {
                wrong.push(format!("{} imports from {import}, above it", path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn lower_crates_do_not_name_higher_ones() {
    for (path, text) in sources() {
        let forbidden: &[&str] = match path.components().next().and_then(|c| c.as_os_str().to_str())
        {
            Some("engine") => &["replication::", "server::", "benches::"],
            Some("replication") => &["server::", "benches::"],
            Some("server") => &["benches::"],
            _ => &[],
        };
        for name in forbidden {
            let uses = format!("use {name}");
            assert!(
                !text.contains(&uses) || path.ends_with("floors.rs"),
                "{}: {uses}",
                path.display()
            );
        }
    }
}

#[test]
fn only_the_runtime_names_glommio() {
    for (path, text) in sources() {
        let allowed = path.starts_with("engine/src/rt") || is_test(&path);
        let named = without_tests(&text)
            .lines()
            .any(|line| !line.trim_start().starts_with("//") && line.contains("glommio::"));
        assert!(allowed || !named, "{} names glommio", path.display());
    }
}

#[test]
fn files_and_functions_fit() {
    let mut wrong = Vec::new();
    for (path, text) in sources() {
        let lines = without_tests(&text).lines().count();
        if lines > FILE_LINES_MAX && !is_test(&path) {
            wrong.push(format!("{}: {lines} lines", path.display()));
        }
        for (name, lines) in functions(&text) {
            if lines > FUNCTION_LINES_MAX {
                wrong.push(format!("{}: {name} has {lines} lines", path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Functions with the lines of their bodies. Formatted sources: a function ends at the first brace in the
/// column in which it begins.
fn functions(text: &str) -> Vec<(String, usize)> {
    let lines: Vec<&str> = text.lines().collect();
    let indent = |line: &str| line.len() - line.trim_start().len();
    let mut found = Vec::new();
    for (start, line) in lines.iter().enumerate() {
        let code = line.trim_start();
        let Some(at) = code.find("fn ").filter(|&at| {
            let before = &code[..at];
            before.split_whitespace().all(|word| {
                word.starts_with("pub")
                    || ["const", "async", "unsafe", "extern"].contains(&word)
                    || word.ends_with(')')
            })
        }) else {
            continue;
        };
        let name: String =
            code[at + 3..].chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
        let body =
            lines[start..].iter().position(|line| line.ends_with('{') || line.ends_with("}"));
        let Some(body) = body else { continue };
        let end = lines[start + body..]
            .iter()
            .position(|other| indent(other) == indent(line) && other.trim_start().starts_with('}'));
        found.push((name, end.map_or(1, |end| end.saturating_sub(1))));
    }
    found
}

#[test]
fn sources_are_ascii_but_for_pictures_in_comments() {
    for (path, text) in sources() {
        for (number, line) in text.lines().enumerate() {
            let comment = line.trim_start().starts_with("//");
            let fits = |c: char| c.is_ascii() || (comment && is_drawn(c));
            let strange = line.chars().find(|&c| !fits(c));
            assert!(strange.is_none(), "{}:{}: {strange:?}", path.display(), number + 1);
        }
    }
}

/// Lines, corners and arrow heads.
fn is_drawn(c: char) -> bool {
    ('\u{2500}'..='\u{25ff}').contains(&c)
}
