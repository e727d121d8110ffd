//! CONFIG REWRITE through a restart: what REPLICAOF and CONFIG SET changed is there again.

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use server::config::{Settings, Start, Upstream, start};

struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Folder {
        let path = std::env::temp_dir().join(format!("damselfly-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).expect("a temporary folder");
        Folder(path)
    }

    fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.join(name);
        fs::write(&path, text).expect("a file");
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn run(flagfile: &Path, more: &[&str], variables: &[(&str, &str)]) -> Box<Settings> {
    let mut arguments = vec![OsString::from("damselfly"), OsString::from("-flagfile")];
    arguments.push(flagfile.into());
    arguments.extend(more.iter().map(OsString::from));
    let variables: Vec<(OsString, OsString)> =
        variables.iter().map(|(name, value)| (name.into(), value.into())).collect();
    match start(arguments, variables, "test") {
        Start::Run(settings) => settings,
        Start::Say { text, .. } => panic!("{text}"),
    }
}

fn upstream(host: &str, port: u16) -> Option<Upstream> {
    Some(Upstream { host: host.to_owned(), port })
}

#[test]
fn what_was_changed_is_there_after_a_restart() {
    let folder = Folder::new("rewrite");
    let path = folder.file("d.conf", "# mine\n--port=7000\n\n--hz=20\n# end\n");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).expect("permissions");
    let settings = run(&path, &["--maxclients=9"], &[]);
    settings.put_replicaof(1, upstream("::1", 6379));
    settings.set(&[(b"hz", b"30"), (b"requirepass", b"a b#c")], |_| Ok(())).expect("valid");
    let done = settings.rewrite().expect("a flagfile");
    assert_eq!((done.settings, done.overruled.as_slice()), (3, [].as_slice()));

    let text = fs::read_to_string(&path).expect("the flagfile");
    assert!(text.starts_with("# mine\n--port=7000\n\n--hz=30\n# end\n"), "{text}");
    assert!(text.contains("\n--replicaof=[::1]:6379\n"), "{text}");
    assert!(!text.contains("maxclients"), "the command line's own: {text}");
    let mode = fs::metadata(&path).expect("the flagfile").permissions().mode();
    assert_eq!(mode & 0o777, 0o640);
    assert_eq!(
        fs::read_dir(&folder.0).expect("the folder").count(),
        1,
        "nothing is left beside it"
    );

    let config = run(&path, &[], &[]).config();
    assert_eq!((config.port, config.hz, config.requirepass.as_str()), (7000, 30, "a b#c"));
    assert_eq!(config.replicaof, upstream("::1", 6379));
}

#[test]
fn a_promotion_survives_a_restart_whoever_named_the_master() {
    let folder = Folder::new("promotion");
    let check = |text: &str, variables: &[(&str, &str)]| {
        let path = folder.file("d.conf", text);
        let settings = run(&path, &[], variables);
        assert!(settings.config().replicaof.is_some(), "{text}");
        settings.put_replicaof(2, None);
        settings.rewrite().expect("a flagfile");
        assert_eq!(run(&path, &[], variables).config().replicaof, None, "{text}");
    };
    check("--replicaof=h:1\n", &[]);
    check("--slaveof h:1\n".replace(' ', "=").as_str(), &[]);
    check("", &[("DFLY_replicaof", "h:1")]);
    let other = folder.file("other.conf", "--replicaof=h:1\n");
    check(&format!("--replicaof=g:1\n--flagfile={}\n", other.display()), &[]);
}

#[test]
fn a_value_that_the_command_line_overrules_is_reported() {
    let folder = Folder::new("overruled");
    let path = folder.file("d.conf", "");
    let settings = run(&path, &["--replicaof", "h:1"], &[]);
    settings.put_replicaof(2, None);
    assert_eq!(settings.rewrite().expect("a flagfile").overruled, ["replicaof"]);
}

#[test]
fn a_link_to_a_flagfile_stays_a_link() {
    let folder = Folder::new("link");
    let path = folder.file("real.conf", "--hz=1\n");
    let link = folder.0.join("d.conf");
    symlink(&path, &link).expect("a link");
    let settings = run(&link, &[], &[]);
    settings.set(&[(b"hz", b"2")], |_| Ok(())).expect("valid");
    settings.rewrite().expect("a flagfile");
    assert!(fs::symlink_metadata(&link).expect("the link").is_symlink());
    assert_eq!(fs::read_to_string(&path).expect("the file"), "--hz=2\n");
}

#[test]
fn without_a_flagfile_or_when_it_is_gone_the_refusal_is_clear() {
    let error = Settings::defaults().rewrite().expect_err("no flagfile");
    assert_eq!(error, "ERR The server is running without a config file");
    let folder = Folder::new("gone");
    let path = folder.file("d.conf", "");
    let settings = run(&path, &[], &[]);
    fs::remove_file(&path).expect("remove");
    let error = settings.rewrite().expect_err("it is gone");
    assert!(error.starts_with("ERR Rewriting config file: "), "{error}");
}

#[test]
fn flagfiles_stand_where_they_are_named_and_mistakes_name_their_line() {
    let folder = Folder::new("order");
    let path = folder.file("d.conf", "# c\n\n--hz=1\n--tls_replication=false\n--nologtostderr\n");
    assert_eq!(run(&path, &["--hz=2"], &[]).config().hz, 2);
    assert_eq!(run(&path, &["--flagfile", path.to_str().expect("text")], &[]).config().hz, 1);
    let before = ["--hz=2".to_owned(), format!("--flagfile={}", path.display())];
    let before: Vec<&str> = before.iter().map(String::as_str).collect();
    assert_eq!(run(&path, &before, &[("DFLY_hz", "3")]).config().hz, 1);

    let check = |text: &str, want: &str| {
        let path = folder.file("bad.conf", text);
        let flag = format!("--flagfile={}", path.display());
        match start(["damselfly".into(), flag.into()], Vec::new(), "test") {
            Start::Say { text, code: 1 } => assert!(text.contains(want), "{text} lacks {want}"),
            other => panic!("{text:?} was taken: {other:?}"),
        }
    };
    check("--hz=1\n--prot=1\n", "bad.conf:2: unknown flag '--prot'");
    check("--port 1\n", "bad.conf:1: unknown flag '--port 1'");
    check("--port\n", "bad.conf:1: --port needs a value: --port=value");
    check("port=1\n", "bad.conf:1: expected --flag=value, found 'port=1'");
    check("#\n--hz=x\n", "bad.conf:2: invalid value 'x' for '--hz'");
    let ring = format!("--flagfile={}\n", folder.0.join("bad.conf").display());
    check(&ring, "too deeply");
}
