//! What is installed beside the program fits the program: the unit file and the sample flagfile.

use std::collections::HashMap;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use server::config::{Settings, Start, start};

fn packaged(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging").join(name)
}

fn start_with(arguments: &[String]) -> Result<Box<Settings>, String> {
    let program = OsString::from("damselfly");
    let arguments = std::iter::once(program).chain(arguments.iter().map(OsString::from));
    match start(arguments.collect::<Vec<_>>(), Vec::new(), "test") {
        Start::Run(settings) => Ok(settings),
        Start::Say { text, .. } => Err(text),
    }
}

/// Sections, keys and values of a unit file, as systemd reads them: a key may stand several times.
fn read_unit(text: &str) -> HashMap<(String, String), Vec<String>> {
    let mut section = String::new();
    let mut entries: HashMap<(String, String), Vec<String>> = HashMap::new();
    for (index, line) in text.lines().enumerate() {
        if line.is_empty() || line.starts_with(['#', ';']) {
            continue;
        }
        let at = index + 1;
        if let Some(name) = line.strip_prefix('[') {
            section =
                name.strip_suffix(']').unwrap_or_else(|| panic!("line {at}: {line}")).to_owned();
            continue;
        }
        let (key, value) = line.split_once('=').unwrap_or_else(|| panic!("line {at}: {line}"));
        assert!(!section.is_empty(), "line {at} stands before any section");
        assert!(key.chars().all(|c| c.is_ascii_alphanumeric()), "line {at}: {key}");
        assert!(!value.ends_with('\\') && value == value.trim(), "line {at}: {value}");
        entries.entry((section.clone(), key.to_owned())).or_default().push(value.to_owned());
    }
    entries
}

#[test]
fn the_unit_file_says_what_the_program_needs() {
    let text = fs::read_to_string(packaged("damselfly.service")).expect("the unit file");
    let unit = read_unit(&text);
    let one = |key: &str| {
        let values = unit.get(&("Service".to_owned(), key.to_owned())).expect(key);
        assert_eq!(values.len(), 1, "{key} stands {} times", values.len());
        values[0].as_str()
    };
    assert_eq!(one("Type"), "notify");
    assert_eq!(one("LimitMEMLOCK"), "infinity");
    assert_eq!(one("Restart"), "on-failure");
    assert_eq!(one("RestartPreventExitStatus"), "1");
    assert_eq!(one("User"), "damselfly");
    assert_eq!(one("NoNewPrivileges"), "true");
    let stop: u64 = one("TimeoutStopSec").parse().expect("a finite number of seconds");
    let files: u64 = one("LimitNOFILE").parse().expect("a number of files");

    let exec: Vec<String> = one("ExecStart").split(' ').map(str::to_owned).collect();
    assert_eq!(exec[0], "/usr/bin/damselfly");
    let sample = packaged("damselfly.conf").display().to_string();
    let flags: Vec<String> = exec[1..]
        .iter()
        .map(|flag| flag.replace("/etc/damselfly/damselfly.conf", &sample))
        .collect();
    assert!(flags.iter().any(|flag| flag.contains(&sample)), "{exec:?}");
    let config = start_with(&flags).expect("the unit's command line").config();
    assert!(stop > config.shutdown_timeout.as_secs(), "killed before the replicas have everything");
    assert!(files > u64::from(config.maxclients), "fewer files than clients");
}

#[test]
fn the_sample_flagfile_is_taken_with_and_without_its_comments() {
    let path = packaged("damselfly.conf");
    let settings = start_with(&[format!("--flagfile={}", path.display())]).expect("the sample");
    assert_eq!(settings.config().bind, ["127.0.0.1", "-::1"]);
    assert_eq!(settings.flagfile(), Some(path.as_path()));

    let text = fs::read_to_string(&path).expect("the sample");
    let offered = text.lines().filter_map(|line| line.strip_prefix("#--"));
    let offered: Vec<String> = offered.map(|flag| format!("--{flag}")).collect();
    assert!(offered.len() >= 7, "{offered:?}");
    let config = start_with(&offered).expect("what the sample offers").config();
    assert!(config.tls && config.tls_replication && config.replicaof.is_some());
}
