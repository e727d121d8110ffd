//! The pages that are written from tables say what the tables say. `UPDATE=1` writes them anew.

use std::fs;
use std::path::PathBuf;

fn check(page: &str, want: &str) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../docs/operating").join(page);
    if std::env::var_os("UPDATE").is_some() {
        let folder = path.parent().expect("docs/operating");
        fs::create_dir_all(folder).expect("a folder for the page");
        fs::write(&path, want).expect("a page that can be written");
    }
    let got = fs::read_to_string(&path).unwrap_or_default();
    assert!(want.is_ascii(), "{page} is not plain ASCII");
    assert!(
        got == want,
        "{page} is not what the table says; write it anew with\n\
         UPDATE=1 cargo test -p server --test config_docs"
    );
}

#[test]
fn the_page_of_flags_is_the_table_of_settings() {
    check("flags.md", &server::config::flags_page());
}

#[test]
fn the_page_of_metrics_is_the_table_of_metrics() {
    check("metrics.md", &server::observe::metrics::metrics_page());
}
