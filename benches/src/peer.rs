//! A server process, ours or a peer's, started for a measurement and ended with it.

use std::fs;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use crate::client::Client;

/// Longest wait for a fresh server's first PONG; it may have a snapshot to load.
const START_TIMEOUT: Duration = Duration::from_secs(120);

/// Which program, and so which flags.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Program {
    /// A redis-server at this path.
    Redis(PathBuf),
    /// A damselfly at this path, with so many shards.
    Damselfly(PathBuf, usize),
    /// The floor at this path: it can nothing but answer.
    Floor(PathBuf),
}

impl Program {
    /// What the table calls it.
    pub fn name(&self) -> &'static str {
        match self {
            Program::Redis(_) => "redis-server",
            Program::Damselfly(..) => "damselfly",
            Program::Floor(_) => "floor",
        }
    }

    /// Whether there is no use in filling it with keys.
    pub fn keeps_nothing(&self) -> bool {
        matches!(self, Program::Floor(_))
    }
}

/// Certificates for replication over TLS: one authority and one certificate for both ends.
#[derive(Clone, Debug)]
pub struct Certificates {
    /// The authority's certificate.
    pub authority: PathBuf,
    /// The certificate that both ends show.
    pub certificate: PathBuf,
    /// Its key.
    pub key: PathBuf,
}

impl Certificates {
    /// Makes them with `openssl` in `directory`.
    pub fn make(directory: &Path) -> io::Result<Certificates> {
        fs::create_dir_all(directory)?;
        let path = |name: &str| directory.join(name);
        let text = |name: &str| path(name).display().to_string();
        let extensions = path("extensions");
        fs::write(&extensions, "subjectAltName=IP:127.0.0.1,DNS:localhost\n")?;
        let key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];
        let (ca_key, ca, node_key) = (text("ca.key"), text("ca.pem"), text("node.key"));
        let (request, node) = (text("node.csr"), text("node.pem"));
        let extensions = extensions.display().to_string();
        let request_ca = ["req", "-x509", "-days", "30", "-subj", "/CN=bench authority"];
        openssl(&[&request_ca[..], &key, &["-keyout", &ca_key, "-out", &ca]].concat())?;
        let request_node = ["req", "-subj", "/CN=localhost"];
        openssl(&[&request_node[..], &key, &["-keyout", &node_key, "-out", &request]].concat())?;
        openssl(&[
            "x509",
            "-req",
            "-days",
            "30",
            "-in",
            &request,
            "-CA",
            &ca,
            "-CAkey",
            &ca_key,
            "-CAcreateserial",
            "-extfile",
            &extensions,
            "-out",
            &node,
        ])?;
        Ok(Certificates {
            authority: path("ca.pem"),
            certificate: path("node.pem"),
            key: path("node.key"),
        })
    }
}

fn openssl(arguments: &[&str]) -> io::Result<()> {
    let output = Command::new("openssl").args(arguments).output()?;
    if output.status.success() {
        return Ok(());
    }
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    Err(io::Error::other(format!("openssl {}: {text}", arguments[0])))
}

/// A running server; ends when dropped.
pub struct Server {
    child: Child,
    /// Where clients without TLS are served.
    pub address: SocketAddr,
    /// Where replicas connect: another port if replication is encrypted.
    pub replication_port: u16,
    directory: PathBuf,
}

impl Server {
    /// Starts `program` on free ports, in a fresh directory, and waits until it answers.
    pub fn start(
        program: &Program,
        tls: Option<&Certificates>,
        extra: &[String],
    ) -> io::Result<Server> {
        static STARTED: AtomicU32 = AtomicU32::new(0);
        let number = STARTED.fetch_add(1, Ordering::Relaxed);
        let name = format!("damselfly-bench-{}-{number}", std::process::id());
        let directory = std::env::temp_dir().join(name);
        fs::create_dir_all(&directory)?;
        let (port, replication_port) = free_ports(tls.is_some())?;
        let (path, arguments) = arguments(program, tls, port, replication_port);
        let arguments = without_overridden(arguments, extra);
        let log = fs::File::create(directory.join("log"))?;
        let child = Command::new(path)
            .args(arguments)
            .args(extra)
            .current_dir(&directory)
            .stdin(Stdio::null())
            .stderr(log.try_clone()?)
            .stdout(log)
            .spawn()
            .map_err(|error| {
                io::Error::new(error.kind(), format!("{}: {error}", path.display()))
            })?;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let mut server = Server { child, address, replication_port, directory };
        server.await_pong()?;
        Ok(server)
    }

    fn await_pong(&mut self) -> io::Result<()> {
        let deadline = Instant::now() + START_TIMEOUT;
        loop {
            if let Ok(mut client) = self.client()
                // The floor says OK to everything.
                && client.ask(&["PING"]).is_ok_and(|reply| reply.error().is_none())
            {
                return Ok(());
            }
            let ended = self.child.try_wait()?;
            if ended.is_some() || Instant::now() > deadline {
                let log = fs::read_to_string(self.directory.join("log")).unwrap_or_default();
                let state = ended.map_or("does not answer".into(), |status| status.to_string());
                return Err(io::Error::other(format!("the server {state}; it said:\n{log}")));
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// The process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// A connection for questions.
    pub fn client(&self) -> io::Result<Client> {
        Client::connect(self.address)
    }

    /// Makes it follow `master`, and returns at once.
    pub fn follow(&self, master: &Server) -> io::Result<()> {
        let port = master.replication_port.to_string();
        self.client()?.demand(&["REPLICAOF", "127.0.0.1", &port]).map(drop)
    }

    /// Whether the link to the master stands and no full sync is under way.
    pub fn is_in_sync(client: &mut Client) -> io::Result<bool> {
        let link = client.info("replication", "master_link_status")?;
        let syncing = client.info("replication", "master_sync_in_progress")?;
        Ok(link.as_deref() == Some("up") && syncing.is_none_or(|syncing| syncing == "0"))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It holds nothing worth keeping, so it is not asked to save and end.
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.directory);
    }
}

/// Ports that were free a moment ago: one, or two.
fn free_ports(two: bool) -> io::Result<(u16, u16)> {
    let first = TcpListener::bind("127.0.0.1:0")?;
    let port = first.local_addr()?.port();
    if !two {
        return Ok((port, port));
    }
    let second = TcpListener::bind("127.0.0.1:0")?;
    Ok((port, second.local_addr()?.port()))
}

/// A flag is given once: further ones stand in place of the usual.
fn without_overridden(arguments: Vec<String>, extra: &[String]) -> Vec<String> {
    let is_named = |argument: &String| {
        let name = argument.split('=').next().unwrap_or_default();
        argument.contains('=') && extra.iter().any(|one| one.split('=').next() == Some(name))
    };
    arguments.into_iter().filter(|argument| !is_named(argument)).collect()
}

fn arguments<'a>(
    program: &'a Program,
    tls: Option<&Certificates>,
    port: u16,
    replication_port: u16,
) -> (&'a Path, Vec<String>) {
    let mut out: Vec<String> = Vec::new();
    let path = match program {
        Program::Floor(path) => {
            out.push(port.to_string());
            path
        }
        Program::Redis(path) => {
            out.extend(["--port", &port.to_string(), "--bind", "127.0.0.1"].map(String::from));
            out.extend(["--save", "", "--appendonly", "no"].map(String::from));
            // Without these a replica waits five seconds by default, and is dropped under load.
            out.extend(["--repl-diskless-sync-delay", "0"].map(String::from));
            out.extend(["--client-output-buffer-limit", "replica 0 0 0"].map(String::from));
            if let Some(tls) = tls {
                out.extend(["--tls-port".into(), replication_port.to_string()]);
                out.extend(["--tls-replication", "yes"].map(String::from));
                out.extend(["--tls-ca-cert-file".into(), tls.authority.display().to_string()]);
                out.extend(["--tls-cert-file".into(), tls.certificate.display().to_string()]);
                out.extend(["--tls-key-file".into(), tls.key.display().to_string()]);
            }
            path
        }
        Program::Damselfly(path, shards) => {
            out.push(format!("--proactor_threads={shards}"));
            out.extend(["--dbfilename=".into(), "--bind=127.0.0.1".into()]);
            match tls {
                None => out.push(format!("--port={port}")),
                Some(tls) => {
                    // Clients without TLS come in through the admin port.
                    out.push(format!("--port={replication_port}"));
                    out.push(format!("--admin_port={port}"));
                    out.extend(["--no_tls_on_admin_port".into(), "--tls".into()]);
                    out.push("--tls_replication".into());
                    out.push(format!("--tls_ca_cert_file={}", tls.authority.display()));
                    out.push(format!("--tls_cert_file={}", tls.certificate.display()));
                    out.push(format!("--tls_key_file={}", tls.key.display()));
                }
            }
            path
        }
    };
    (path, out)
}
