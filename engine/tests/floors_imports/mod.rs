//! Who imports whom: the paths in a crate's sources, resolved to the files that own the names.
//!
//! ```text
//!   text ─► words ─► use trees, and paths in code ─► the file that defines the name, through `pub use`
//! ```
//!
//! A module that hands on a name of another file (`pub use`) is a door, not an importer: who takes the name
//! through the door imports from the file behind it. `mod child;` imports nothing.

mod circles;
mod words;

pub(crate) use circles::circles;
use std::collections::BTreeMap;
use words::{Kind, Word, words};

/// A module by the segments of its path; the crate's root has none.
pub(crate) type Module = Vec<String>;

/// One file takes a name from another.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Import {
    /// Who takes it.
    pub(crate) from: Module,
    /// From whom.
    pub(crate) to: Module,
    /// Where it says so.
    pub(crate) line: usize,
    /// What it says.
    pub(crate) path: String,
}

/// A use tree's leaf.
struct Binding {
    path: Vec<String>,
    name: String,
    line: usize,
    is_door: bool,
}

struct File {
    bindings: Vec<Binding>,
    /// Paths outside of use trees.
    paths: Vec<(Vec<String>, usize)>,
}

/// The sources of one crate.
pub(crate) struct Crate {
    files: BTreeMap<Module, File>,
}

/// The module of a file below `src`.
pub(crate) fn module_of(file: &str) -> Module {
    let path = file.trim_end_matches(".rs");
    let path = path.strip_suffix("/mod").unwrap_or(path);
    match path {
        "lib" => Vec::new(),
        path => path.split('/').map(str::to_owned).collect(),
    }
}

impl Crate {
    /// From files, as paths below `src`, and their texts.
    pub(crate) fn of<'a>(files: impl IntoIterator<Item = (&'a str, &'a str)>) -> Crate {
        let files = files.into_iter().map(|(file, text)| (module_of(file), read(text)));
        Crate { files: files.collect() }
    }

    /// All modules that have a file.
    pub(crate) fn modules(&self) -> impl Iterator<Item = &Module> {
        self.files.keys()
    }

    /// All imports between files of the crate, each pair once for a line.
    pub(crate) fn imports(&self) -> Vec<Import> {
        let mut imports = Vec::new();
        for (module, file) in &self.files {
            let uses = file.bindings.iter().filter_map(|binding| {
                let path = self.absolute(module, &binding.path)?;
                // A name for a module imports nothing; what is taken by that name does.
                let is_module = self.files.contains_key(&path);
                let is_own_door = binding.is_door && path.starts_with(module);
                (!is_module && !is_own_door).then_some((path, binding.line, &binding.path))
            });
            let paths = file.paths.iter().filter_map(|(path, line)| {
                let path_from_root = self.named(module, path)?;
                Some((path_from_root, *line, path))
            });
            for (path, line, said) in uses.chain(paths) {
                let to = self.owner(&path, 0);
                if to != *module {
                    let path = said.join("::");
                    imports.push(Import { from: module.clone(), to, line, path });
                }
            }
        }
        imports.sort();
        imports.dedup();
        imports
    }

    /// A path of `module` from the crate's root; none where it leads into another crate.
    fn absolute(&self, module: &Module, path: &[String]) -> Option<Vec<String>> {
        let supers = path.iter().take_while(|segment| *segment == "super").count();
        let (base, rest) = match path.first().map(String::as_str) {
            Some("crate") => (&[][..], &path[1..]),
            Some("self") => (&module[..], &path[1..]),
            Some("super") => (&module[..module.len().checked_sub(supers)?], &path[supers..]),
            Some(first) if self.has_child(module, first) => (&module[..], path),
            _ => return None,
        };
        Some(base.iter().chain(rest).cloned().collect())
    }

    /// As `absolute`, of a path in code, whose first segment may be a name that the file imports.
    fn named(&self, module: &Module, path: &[String]) -> Option<Vec<String>> {
        if let Some(path) = self.absolute(module, path) {
            return Some(path);
        }
        let file = self.files.get(module)?;
        let binding = file.bindings.iter().find(|binding| Some(&binding.name) == path.first())?;
        let mut whole = self.absolute(module, &binding.path)?;
        // What is below a name that is no module belongs to that name's import.
        self.files.contains_key(&whole).then(|| {
            whole.extend_from_slice(&path[1..]);
            whole
        })
    }

    fn has_child(&self, module: &Module, name: &str) -> bool {
        let mut child = module.clone();
        child.push(name.to_owned());
        self.files.contains_key(&child)
    }

    /// The file that defines what a path from the root names, behind all doors.
    fn owner(&self, path: &[String], doors: usize) -> Module {
        /// More doors than these, one behind the other, lead in a circle.
        const DOORS_MAX: usize = 8;
        let mut at = Module::new();
        for (index, segment) in path.iter().enumerate() {
            if self.has_child(&at, segment) {
                at.push(segment.clone());
                continue;
            }
            let bindings = self.files.get(&at).map(|file| &file.bindings[..]).unwrap_or_default();
            let door = bindings.iter().find(|binding| binding.is_door && binding.name == *segment);
            let behind = door.and_then(|door| self.absolute(&at, &door.path));
            return match behind {
                Some(mut behind) if doors < DOORS_MAX => {
                    behind.extend_from_slice(&path[index + 1..]);
                    self.owner(&behind, doors + 1)
                }
                _ => at,
            };
        }
        at
    }
}

/// The use trees and the paths of a source.
fn read(text: &str) -> File {
    let words = words(text);
    let mut file = File { bindings: Vec::new(), paths: Vec::new() };
    let (mut at, mut is_door) = (0, false);
    while at < words.len() {
        let word = &words[at];
        match (word.kind, word.text) {
            (Kind::Name, "pub") => {
                is_door = true;
                at += 1;
                if words.get(at).is_some_and(|word| word.text == "(") {
                    at += words[at..].iter().take_while(|word| word.text != ")").count() + 1;
                }
                continue;
            }
            // Not `+ use<'a>`.
            (Kind::Name, "use") if words.get(at + 1).is_some_and(|word| word.text != "<") => {
                at += 1;
                read_tree(&words, &mut at, &[], is_door, &mut file.bindings);
            }
            (Kind::Name, _) => {
                let start = at;
                let mut path = vec![word.text.to_owned()];
                at += 1;
                while at + 1 < words.len()
                    && words[at].text == "::"
                    && words[at + 1].kind == Kind::Name
                {
                    path.push(words[at + 1].text.to_owned());
                    at += 2;
                }
                let begins = start == 0 || !["::", "."].contains(&words[start - 1].text);
                if path.len() > 1 && begins {
                    file.paths.push((path, word.line));
                }
            }
            _ => at += 1,
        }
        is_door = false;
    }
    file
}

/// A use tree from `at` on: its leaves with their whole paths and the names that they get.
fn read_tree(
    words: &[Word<'_>],
    at: &mut usize,
    prefix: &[String],
    is_door: bool,
    bindings: &mut Vec<Binding>,
) {
    let mut path = prefix.to_vec();
    let line = words.get(*at).map_or(0, |word| word.line);
    while let Some(word) = words.get(*at) {
        match word.text {
            "{" => {
                *at += 1;
                while words.get(*at).is_some_and(|word| !["}", ";"].contains(&word.text)) {
                    read_tree(words, at, &path, is_door, bindings);
                    if words.get(*at).is_some_and(|word| word.text == ",") {
                        *at += 1;
                    }
                }
                *at += 1;
                return;
            }
            "," | "}" | ";" => break,
            "as" => break,
            "::" => {}
            text => path.push(text.to_owned()),
        }
        *at += 1;
    }
    if path.len() > 1 && path.last().is_some_and(|last| last == "self") {
        path.pop();
    }
    let mut name = path.last().cloned().unwrap_or_default();
    if words.get(*at).is_some_and(|word| word.text == "as") {
        name = words.get(*at + 1).map(|word| word.text.to_owned()).unwrap_or_default();
        *at += 2;
    }
    bindings.push(Binding { path, name, line, is_door });
}
