//! Certificates for the tests, made by the real `openssl` with the lines that people use.
#![allow(dead_code, reason = "each test program uses its own part")]

use std::path::PathBuf;
use std::process::Command;

use replication::tls::{Passphrase, TlsSettings};
use zeroize::Zeroizing;

/// A directory of keys and certificates; gone when dropped.
pub(crate) struct Workshop {
    directory: PathBuf,
    /// Owns the directory, unless another process does.
    _owned: Option<tempfile::TempDir>,
}

impl Workshop {
    pub(crate) fn new() -> Workshop {
        let owned = tempfile::tempdir().expect("a directory for certificates");
        Workshop { directory: owned.path().to_owned(), _owned: Some(owned) }
    }

    /// The workshop of the process that started this one.
    pub(crate) fn at(directory: &str) -> Workshop {
        Workshop { directory: directory.into(), _owned: None }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    pub(crate) fn write(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        std::fs::write(self.path(name), bytes).expect("write a test file");
        self.path(name)
    }

    pub(crate) fn bytes(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.path(name)).expect("read a test file")
    }

    /// Runs one `openssl` line in the directory. Without openssl the test fails: skipping would
    /// leave the seed's walk-through untested without anybody noticing.
    pub(crate) fn openssl(&self, line: &str) -> String {
        let output = Command::new("openssl")
            .args(line.split_whitespace())
            .current_dir(&self.directory)
            .output()
            .expect("openssl is needed for this test");
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "openssl {line}: {told}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// A self-signed authority as `openssl req -x509` makes it: v3, marked as an authority.
    pub(crate) fn authority(&self, name: &str, subject: &str) {
        self.openssl(&format!(
            "req -x509 -newkey rsa:2048 -nodes -keyout {name}-key.pem -out {name}-cert.pem \
             -days 365 -subj {subject}"
        ));
    }

    /// A key and a request, by the seed's line (with 2048 bits, to be quick).
    pub(crate) fn request(&self, name: &str, subject: &str, more: &str) {
        self.openssl(&format!(
            "req -newkey rsa:2048 -nodes -keyout {name}-key.pem -out {name}-req.pem \
             -subj {subject} {more}"
        ));
    }

    /// A certificate for a request, by the seed's line: v1 unless `more` brings extensions.
    pub(crate) fn sign(&self, name: &str, authority: &str, more: &str) {
        self.openssl(&format!(
            "x509 -req -in {name}-req.pem -days 365 -CA {authority}-cert.pem \
             -CAkey {authority}-key.pem -CAcreateserial -out {name}-cert.pem {more}"
        ));
    }

    /// Key, request and certificate.
    pub(crate) fn certificate(&self, name: &str, subject: &str, authority: &str) {
        self.request(name, subject, "");
        self.sign(name, authority, "");
    }

    /// The same with alternative names, thus v3.
    pub(crate) fn certificate_with_names(
        &self,
        name: &str,
        subject: &str,
        authority: &str,
        san: &str,
    ) {
        self.request(name, subject, &format!("-addext subjectAltName={san}"));
        self.sign(name, authority, "-copy_extensions copyall");
    }

    /// Key and certificate that is valid from `start` to `end` (`YYYYMMDDHHMMSSZ`). With
    /// `extensions` it is v3, else v1.
    pub(crate) fn dated(
        &self,
        name: &str,
        authority: &str,
        start: &str,
        end: &str,
        extensions: &str,
    ) {
        self.request(name, "/CN=localhost", "");
        self.write("index.txt", "");
        self.write("serial", "1000\n");
        self.write(
            "ca.cnf",
            format!(
                "[ca]\ndefault_ca=d\n[d]\ndatabase=index.txt\nnew_certs_dir=.\nserial=serial\n\
                 default_md=sha256\npolicy=p\nunique_subject=no\n{}\n[p]\ncommonName=supplied\n\
                 [x]\n{extensions}\n",
                if extensions.is_empty() { "" } else { "x509_extensions=x" }
            ),
        );
        self.openssl(&format!(
            "ca -batch -notext -config ca.cnf -startdate {start} -enddate {end} \
             -in {name}-req.pem -out {name}-cert.pem -cert {authority}-cert.pem \
             -keyfile {authority}-key.pem"
        ));
    }

    /// Settings with the files of `name`, and the authority's, unless its name is empty.
    pub(crate) fn settings(&self, name: &str, authority: &str) -> TlsSettings {
        let mut settings = TlsSettings { tls: true, tls_replication: true, ..Default::default() };
        if !name.is_empty() {
            settings.key_file = Some(self.path(&format!("{name}-key.pem")));
            settings.cert_file = Some(self.path(&format!("{name}-cert.pem")));
        }
        if !authority.is_empty() {
            settings.ca_cert_file = Some(self.path(&format!("{authority}-cert.pem")));
        }
        settings
    }
}

pub(crate) fn passphrase(text: &str) -> Option<Passphrase> {
    Some(Passphrase::Value(Zeroizing::new(text.to_owned())))
}
