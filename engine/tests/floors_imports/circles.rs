//! Files that import each other, directly or over others (Tarjan's strongly connected components).

use super::{Import, Module};
use std::collections::{BTreeMap, BTreeSet};

struct Search<'a> {
    to: BTreeMap<&'a Module, BTreeSet<&'a Module>>,
    /// The number of each file that was seen.
    seen: BTreeMap<&'a Module, usize>,
    path: Vec<&'a Module>,
    found: Vec<Vec<Module>>,
}

/// All circles, each with its files in order.
pub(crate) fn circles(imports: &[Import]) -> Vec<Vec<Module>> {
    let mut to: BTreeMap<&Module, BTreeSet<&Module>> = BTreeMap::new();
    for import in imports {
        to.entry(&import.from).or_default().insert(&import.to);
    }
    let starts: Vec<&Module> = to.keys().copied().collect();
    let mut search = Search { to, seen: BTreeMap::new(), path: Vec::new(), found: Vec::new() };
    for start in starts {
        if !search.seen.contains_key(start) {
            search.visit(start);
        }
    }
    search.found
}

impl<'a> Search<'a> {
    /// Answers with the lowest number that `file` leads back to.
    fn visit(&mut self, file: &'a Module) -> usize {
        let number = self.seen.len();
        self.seen.insert(file, number);
        self.path.push(file);
        let mut lowest = number;
        for next in self.to.get(file).cloned().unwrap_or_default() {
            let reached = match self.seen.get(next) {
                None => self.visit(next),
                Some(number) if self.path.contains(&next) => *number,
                Some(_) => continue,
            };
            lowest = lowest.min(reached);
        }
        if lowest == number {
            let start = self.path.iter().position(|on_path| *on_path == file).unwrap_or_default();
            let mut members: Vec<Module> =
                self.path.split_off(start).into_iter().cloned().collect();
            if members.len() > 1 {
                members.sort();
                self.found.push(members);
            }
        }
        lowest
    }
}
