//! `CONFIG REWRITE`: what changed while the program ran, back into the flagfile it was started with.
//!
//! Comments, order and unknown spelling habits stay: a changed setting's last line is replaced in
//! place, and a setting without a line is added at the end. Values are always written out, also
//! when they are the default again: an empty `--replicaof=` must win over a variable.
//! The file is replaced by a rename, so a crash leaves the old one or the new one.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use super::command_line::{Words, named_flag, read_flagfile, split_flag};
use super::setting::Setting;
use super::settings::{Settings, lock};
use super::value::Value;

/// What a rewrite did.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Rewritten {
    /// The flagfile.
    pub path: PathBuf,
    /// How many settings were written.
    pub settings: usize,
    /// Settings that the command line gives as well. Where it does so after `--flagfile`, it wins
    /// at the next start; the log should say so.
    pub overruled: Vec<&'static str>,
}

/// Stands above the lines that a rewrite has added.
const ADDED: &str = "# Added by CONFIG REWRITE";

type Changed<'a> = [(&'static Setting, &'a Value)];

impl Settings {
    /// `CONFIG REWRITE`: what changed while the program ran, into the flagfile. The error is the
    /// reply without its dash. Waits for the disk, and holds up nobody who reads or changes settings.
    pub fn rewrite(&self) -> Result<Rewritten, String> {
        let path = self.rewritable()?;
        let _one = lock(&self.rewriting);
        let (changed, overruled) = self.changed();
        let pairs: Vec<_> = changed.iter().map(|(setting, value)| (*setting, value)).collect();
        rewrite(path, &pairs).map_err(|error| format!("ERR Rewriting config file: {error}"))?;
        Ok(Rewritten { path: path.to_owned(), settings: changed.len(), overruled })
    }
}

/// Writes the changed settings into the flagfile at `path`.
fn rewrite(path: &Path, changed: &Changed<'_>) -> Result<(), String> {
    // A link stays a link: what it points to is replaced.
    let path = fs::canonicalize(path).map_err(|error| error.to_string())?;
    let before = read_flagfile(&path)?;
    let after = rewritten(&path, &before, changed)?;
    match after == before {
        true => Ok(()),
        false => replace(&path, &after).map_err(|error| error.to_string()),
    }
}

/// The new text of a flagfile.
fn rewritten(path: &Path, text: &str, changed: &Changed<'_>) -> Result<String, String> {
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    for (setting, value) in changed {
        let own = |line: &String| {
            let flag = split_flag(line.trim()).and_then(|(name, _)| named_flag(&name));
            flag.is_some_and(|(found, _)| found.setting.name == setting.name)
        };
        if let Some(line) = lines.iter_mut().rev().find(|line| own(line)) {
            *line = setting.as_flag(value);
        }
    }
    // A flagfile named further down may still say something else: then the end of this one decides.
    let missing = missing(path, &lines, changed)?;
    if !missing.is_empty() && !lines.iter().any(|line| line == ADDED) {
        lines.push(ADDED.to_owned());
    }
    lines.extend(missing);
    if let Some(lost) = self::missing(path, &lines, changed)?.first() {
        // A blank at the end of a password, for example: better no new file than a wrong one.
        let name = lost.split('=').next().unwrap_or_default();
        return Err(format!("the value of {name} cannot be written in a flagfile"));
    }
    let mut text = lines.join("\n");
    text.push('\n');
    Ok(text)
}

/// The lines of those settings that a start with `lines` would not have as they are now.
fn missing(path: &Path, lines: &[String], changed: &Changed<'_>) -> Result<Vec<String>, String> {
    let mut words = Words::default();
    words.add_flagfile_text(path, &lines.join("\n"), 0)?;
    let given = words.parse()?;
    let missing = changed.iter().filter(|(setting, value)| {
        given.get(setting.name).is_none_or(|(given, _)| given != *value)
    });
    Ok(missing.map(|(setting, value)| setting.as_flag(value)).collect())
}

/// Replaces a file by a rename, keeping its permissions; both the file and its name are on disk
/// when this returns.
fn replace(path: &Path, text: &str) -> io::Result<()> {
    let folder = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new("."));
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let beside = folder.join(format!(".{name}.{}.rewrite", std::process::id()));
    let _ = fs::remove_file(&beside);
    let written = (|| {
        let permissions = fs::metadata(path)?.permissions();
        // The file may hold passwords: nobody else may open it even for a moment.
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&beside)?;
        file.write_all(text.as_bytes())?;
        file.set_permissions(permissions)?;
        file.sync_all()?;
        fs::rename(&beside, path)?;
        File::open(folder)?.sync_all()
    })();
    if written.is_err() {
        let _ = fs::remove_file(&beside);
    }
    written
}

#[cfg(test)]
mod tests {
    use super::super::names::find;
    use super::*;

    fn check(before: &str, changes: &[&str], after: &str) {
        let values: Vec<(&'static Setting, Value)> = changes
            .iter()
            .map(|change| {
                let (name, text) = change.split_once('=').expect("name=value");
                let setting = find(name).expect(name).setting;
                (setting, setting.parse(text, None).expect("a valid value"))
            })
            .collect();
        let changed: Vec<_> = values.iter().map(|(setting, value)| (*setting, value)).collect();
        let got = rewritten(Path::new("test.conf"), before, &changed).expect("a valid flagfile");
        assert_eq!(got, after);
        let again = rewritten(Path::new("test.conf"), &got, &changed).expect("a valid flagfile");
        assert_eq!(again, got, "a second rewrite changes nothing");
    }

    #[test]
    fn lines_are_replaced_in_place_and_comments_stay() {
        check(
            "# the port\n--port=7000\n\n  # memory\n-maxmemory=1gb\n--notls\n",
            &["maxmemory=2gb"],
            "# the port\n--port=7000\n\n  # memory\n--maxmemory=2147483648\n--notls\n",
        );
        check(
            "--repl-timeout=5\n--hz=1\n",
            &["replication_timeout=7500"],
            "--replication_timeout=7500\n--hz=1\n",
        );
        check("--hz=1\n--hz=2\n", &["hz=3"], "--hz=1\n--hz=3\n");
        check("--replicaof=a:1\n", &["replicaof=[::1]:2"], "--replicaof=[::1]:2\n");
        check("--replicaof=a:1\n", &["replicaof="], "--replicaof=\n");
    }

    #[test]
    fn a_value_that_a_line_cannot_hold_is_refused() {
        let setting = find("requirepass").expect("a setting").setting;
        let value = Value::Text("blank at the end ".to_owned());
        let error = rewritten(Path::new("test.conf"), "", &[(setting, &value)]);
        let want = "the value of --requirepass cannot be written in a flagfile";
        assert_eq!(error, Err(want.to_owned()));
    }

    #[test]
    fn what_is_missing_is_added_once_under_its_own_comment() {
        check("--port=7000", &["hz=50"], "--port=7000\n# Added by CONFIG REWRITE\n--hz=50\n");
        check(
            "--port=7000\n# Added by CONFIG REWRITE\n--hz=50\n",
            &["hz=60", "maxclients=5"],
            "--port=7000\n# Added by CONFIG REWRITE\n--hz=60\n--maxclients=5\n",
        );
        check("", &["hz=50"], "# Added by CONFIG REWRITE\n--hz=50\n");
    }
}
