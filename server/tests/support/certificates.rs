//! An authority and one certificate for the loopback, made by `openssl`: small keys, quick handshakes.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

/// Key, certificate and authority in a directory that goes with it.
pub(crate) struct Certificates {
    directory: PathBuf,
}

impl Certificates {
    /// Makes them. Without `openssl` the test fails: skipping would leave TLS untested unnoticed.
    pub(crate) fn make() -> Certificates {
        let name = format!("damselfly-tls-{}-{}", std::process::id(), fastrand::u32(..));
        let directory = std::env::temp_dir().join(name);
        fs::create_dir_all(&directory).expect("a directory for certificates");
        let made = Certificates { directory };
        let key = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes";
        made.openssl(&format!("req -x509 {key} -keyout ca.key -out ca.crt -days 2 -subj /CN=ca"));
        made.openssl(&format!("req {key} -keyout node.key -out node.csr -subj /CN=localhost"));
        let names = "subjectAltName=DNS:localhost,IP:127.0.0.1\n";
        fs::write(made.directory.join("names"), names).expect("a file of names");
        made.openssl(
            "x509 -req -in node.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 2 -extfile names \
             -out node.crt",
        );
        made
    }

    fn openssl(&self, line: &str) {
        let mut command = Command::new("openssl");
        let output = command.args(line.split_whitespace()).current_dir(&self.directory).output();
        let output = output.expect("openssl is needed for this test");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "openssl {line}: {said}");
    }

    /// A file beside them.
    pub(crate) fn path(&self, name: &str) -> String {
        self.directory.join(name).display().to_string()
    }

    /// What a node is started with: TLS for clients and towards its master, each with this
    /// certificate.
    pub(crate) fn flags(&self) -> Vec<String> {
        let path = |name: &str| self.path(name);
        vec![
            "--tls".to_owned(),
            "--tls_replication".to_owned(),
            format!("--tls_key_file={}", path("node.key")),
            format!("--tls_cert_file={}", path("node.crt")),
            format!("--tls_ca_cert_file={}", path("ca.crt")),
        ]
    }
}

impl Drop for Certificates {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.directory);
    }
}
