//! The shape of the house: rooms import only downwards, files do not import each other, files and functions
//! fit, sources are ASCII.
//!
//! The front page of each crate (`src/lib.rs`) lists its rooms: a line is a floor, and a room imports only
//! from the lines above its own. What cannot be so yet stands below, with its reason.

mod floors_imports;

use floors_imports::{Crate, Import, Module, circles, module_of};
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
    let is_foot = |(at, mark): &(usize, &str)| {
        let line = text[at + mark.len()..].lines().next().unwrap_or_default();
        line.ends_with("mod tests {")
    };
    let foot = text.match_indices("\n#[cfg(test)]\n").find(is_foot);
    foot.map_or(text, |(end, _)| &text[..end])
}

/// Circles of files that are known: the crate, the rooms that they run through, and why they are there. An
/// entry without a circle does not pass.
const KNOWN_CIRCLES: &[(&str, &[&str], &str)] = &[];

/// Imports from the same or a higher floor that are known: crate, file, room imported, and why.
const KNOWN_CLIMBS: &[(&str, &str, &str, &str)] = &[];

const CRATES: [&str; 4] = ["engine", "replication", "server", "benches"];

/// The sources of one crate that its rooms consist of, without tests and programs, by their paths below `src`.
fn rooms_of<'a>(name: &str, sources: &'a [(PathBuf, String)]) -> Vec<(&'a str, &'a str)> {
    let src = format!("{name}/src");
    let inside = |(path, text): &'a (PathBuf, String)| {
        let inside = path.strip_prefix(&src).ok().filter(|_| !is_test(path))?.to_str()?;
        let is_program = inside == "main.rs" || inside.starts_with("bin/");
        (!is_program).then(|| (inside, without_tests(text)))
    };
    sources.iter().filter_map(inside).collect()
}

/// The rooms as a crate's front page lists them: each line is a floor.
fn floors(front_page: &str) -> Vec<Vec<String>> {
    let list = front_page.split("from the ground up").nth(1);
    let list = list.and_then(|rest| rest.split("```text").nth(1));
    let list = list.and_then(|rest| rest.split("```").next());
    let line = |line: &str| {
        let names = line
            .trim_start_matches("//!")
            .trim_start_matches(|c: char| c == ' ' || c.is_ascii_digit());
        let names = names.split("  ").next().unwrap_or_default();
        names.split_whitespace().map(str::to_owned).collect::<Vec<String>>()
    };
    list.unwrap_or_default().lines().map(line).filter(|names| !names.is_empty()).collect()
}

/// What is wrong with who imports whom in a crate of these files, `lib.rs` among them.
fn faults(
    name: &str,
    files: &[(&str, &str)],
    known_circles: &[(&str, &[&str], &str)],
    known_climbs: &[(&str, &str, &str, &str)],
) -> Vec<String> {
    let front_page = files.iter().find(|(file, _)| *file == "lib.rs").map_or("", |(_, text)| text);
    let (floors, house) = (floors(front_page), Crate::of(files.iter().copied()));
    let imports = house.imports();
    let mut wrong = climbs(name, &floors, &house, &imports, known_climbs);
    let found = circles(&imports);
    let known: Vec<&[&str]> =
        known_circles.iter().filter(|(of, ..)| *of == name).map(|(_, rooms, _)| *rooms).collect();
    for circle in found.iter().filter(|circle| !known.contains(&&rooms_in(circle)[..])) {
        wrong.push(format!("{name}: {} files import each other:", circle.len()));
        for import in &imports {
            if circle.contains(&import.from) && circle.contains(&import.to) {
                wrong.push(format!("  {}", told(import)));
            }
        }
    }
    for rooms in known {
        if !found.iter().any(|circle| rooms_in(circle) == rooms) {
            wrong.push(format!("{name}: there is no circle through {} any more", rooms.join(", ")));
        }
    }
    wrong
}

/// The rooms of a circle, each once, in order.
fn rooms_in(circle: &[Module]) -> Vec<&str> {
    let mut rooms: Vec<&str> =
        circle.iter().filter_map(|module| module.first()).map(String::as_str).collect();
    rooms.dedup();
    rooms
}

/// Imports that do not go down.
fn climbs(
    name: &str,
    floors: &[Vec<String>],
    house: &Crate,
    imports: &[Import],
    known: &[(&str, &str, &str, &str)],
) -> Vec<String> {
    let floor = |room: &str| floors.iter().position(|names| names.iter().any(|name| name == room));
    let mut wrong = Vec::new();
    for room in house.modules().filter_map(|module| module.first()) {
        if floor(room).is_none() {
            wrong.push(format!("{name}: the front page does not list {room}"));
        }
    }
    let mut met = vec![false; known.len()];
    for import in imports {
        let Some(room) = import.from.first() else { continue };
        // What the front page itself owns lies above everything.
        let theirs = import.to.first().map_or(Some(floors.len()), |room| floor(room));
        if import.to.first() == Some(room) || theirs < floor(room) {
            continue;
        }
        let place = known.iter().position(|(of, file, to, _)| {
            let is_to = import.to.first().is_some_and(|room| room == to);
            *of == name && module_of(file) == import.from && is_to
        });
        match place {
            Some(place) => met[place] = true,
            None => wrong.push(format!("{name}: does not go down: {}", told(import))),
        }
    }
    for ((_, file, to, _), _) in known.iter().zip(met).filter(|((of, ..), met)| *of == name && !met)
    {
        wrong.push(format!("{name}: {file} imports nothing from {to} any more"));
    }
    wrong.dedup();
    wrong
}

fn told(import: &Import) -> String {
    let Import { from, to, line, path } = import;
    format!("{} -> {} (line {line}: {path})", from.join("/"), to.join("/"))
}

#[test]
fn rooms_import_only_from_lower_floors_and_files_not_in_circles() {
    let sources = sources();
    let mut wrong = Vec::new();
    for name in CRATES {
        let files = rooms_of(name, &sources);
        wrong.extend(faults(name, &files, KNOWN_CIRCLES, KNOWN_CLIMBS));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// A house of two floors, with these files instead of its own.
fn planted(files: &[(&str, &str)]) -> Vec<String> {
    planted_but_for(files, &[], &[])
}

fn planted_but_for(
    files: &[(&str, &str)],
    known_circles: &[(&str, &[&str], &str)],
    known_climbs: &[(&str, &str, &str, &str)],
) -> Vec<String> {
    const FRONT: &str = "//! The rooms, from the ground up:\n//!\n//! ```text\n\
        //!   0 low    below\n//!   1 high wing   above\n//! ```\npub mod low;\npub mod high;\n";
    let mut tree = vec![
        ("lib.rs", FRONT),
        ("low.rs", "pub struct Low;"),
        ("high/mod.rs", "//! Above.\npub mod a;\nmod b;\npub use b::B;"),
        ("high/a.rs", "use crate::low::Low;\npub struct A(Low);"),
        ("high/b.rs", "use super::a::A;\npub struct B(A);"),
        ("wing.rs", "pub fn wing() {}"),
    ];
    tree.retain(|(file, _)| files.iter().all(|(other, _)| other != file));
    tree.extend_from_slice(files);
    faults("planted", &tree, known_circles, known_climbs)
}

#[test]
fn a_house_that_imports_downwards_passes() {
    assert_eq!(planted(&[]), Vec::<String>::new());
    let text = "//! Not crate::high::A, nor\n/* use crate::high::A; */\npub const LOW: &str = \"crate::high::A\";";
    assert_eq!(planted(&[("low.rs", text)]), Vec::<String>::new());
}

#[test]
fn imports_that_climb_are_told() {
    for (file, text, told) in [
        ("low.rs", "use crate::high::B;", "low -> high/b (line 1: crate::high::B)"),
        (
            "low.rs",
            "\nfn f() {\n    crate::high::a::f();\n}",
            "low -> high/a (line 3: crate::high::a::f)",
        ),
        (
            "low.rs",
            "use crate::{\n    high::{self, a},\n};\nfn f() { a::f() }",
            "low -> high/a (line 4: a::f)",
        ),
        ("low.rs", "use crate::high as h;\nfn f(_: h::B) {}", "low -> high/b (line 2: h::B)"),
        ("low.rs", "use super::high::a::*;", "low -> high/a (line 1: super::high::a::*)"),
        ("low.rs", "pub use crate::high::B;", "low -> high/b (line 1: crate::high::B)"),
        (
            "low.rs",
            "const C: char = '\"';\nuse crate::high::B;",
            "low -> high/b (line 2: crate::high::B)",
        ),
        ("wing.rs", "use crate::high::B;", "wing -> high/b (line 1: crate::high::B)"),
        ("low.rs", "use crate::FRONT;", "low ->  (line 1: crate::FRONT)"),
    ] {
        let found = planted(&[(file, text)]);
        assert!(found.contains(&format!("planted: does not go down: {told}")), "{text}: {found:?}");
    }
    assert_eq!(planted(&[("attic.rs", "")]), ["planted: the front page does not list attic"]);
}

#[test]
fn files_that_import_each_other_are_told() {
    let circle = [("high/a.rs", "use super::B;\npub struct A(B);")];
    let found = planted(&circle);
    assert_eq!(
        found,
        [
            "planted: 2 files import each other:",
            "  high/a -> high/b (line 1: super::B)",
            "  high/b -> high/a (line 1: super::a::A)",
        ]
    );
    // A room's front that needs its files, and is needed by them.
    let over = planted(&[
        ("high/mod.rs", "pub mod a;\nuse a::A;\npub struct H(A);"),
        ("high/a.rs", "use super::H;"),
        ("high/b.rs", ""),
    ]);
    assert_eq!(over.len(), 3, "{over:?}");
}

#[test]
fn what_is_known_passes_as_long_as_it_is_so() {
    let circle = [("high/a.rs", "use super::B;\npub struct A(B);")];
    let known: &[(&str, &[&str], &str)] = &[("planted", &["high"], "why")];
    assert_eq!(planted_but_for(&circle, known, &[]), Vec::<String>::new());
    assert_eq!(
        planted_but_for(&[], known, &[]),
        ["planted: there is no circle through high any more"]
    );
    let climb = [("low.rs", "use crate::high::a::A;"), ("high/a.rs", "pub struct A;")];
    let known: &[(&str, &str, &str, &str)] = &[("planted", "low.rs", "high", "why")];
    assert_eq!(planted_but_for(&climb, &[], known), Vec::<String>::new());
    assert_eq!(
        planted_but_for(&[], &[], known),
        ["planted: low.rs imports nothing from high any more"]
    );
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
fn the_files_that_the_architecture_names_are_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("a crate of the workspace");
    let page = include_str!("../../docs/ARCHITECTURE.md");
    let quoted = page.split('`').skip(1).step_by(2);
    let is_file =
        |name: &&str| name.contains("/src/") && name.ends_with(".rs") && !name.contains('<');
    let files: Vec<&str> = quoted.filter(is_file).collect();
    assert!(files.len() > 30, "the page was understood: {files:?}");
    for file in files {
        assert!(root.join(file).exists(), "docs/ARCHITECTURE.md names {file}");
    }
}

/// A file of some tool's had slipped in beside the README.
#[test]
fn the_top_level_is_what_it_is() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("a crate of the workspace");
    let known = ["Cargo.lock", "Cargo.toml", "LICENSE", "README.md"];
    let rooms = ["benches", "docs", "engine", "replication", "server"];
    // What .gitignore names: built things, and the snapshot of a node that was started here.
    let is_ours = |name: &&String| {
        let is_built = *name == "target" || name.ends_with(".rdb");
        !name.starts_with('.') && !is_built
    };
    let names = std::fs::read_dir(root).expect("the workspace can be read").map(|entry| {
        entry.expect("an entry can be read").file_name().to_string_lossy().into_owned()
    });
    let all: Vec<String> = names.collect();
    let mut found: Vec<&String> = all.iter().filter(is_ours).collect();
    found.sort();
    assert_eq!(found, [known.as_slice(), rooms.as_slice()].concat());
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
        let body = lines[start..].iter().position(|line| line.ends_with(['{', '}', ';']));
        // What a trait asks for has none.
        let Some(body) = body.filter(|body| !lines[start + body].ends_with(';')) else { continue };
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
