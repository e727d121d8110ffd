//! TLS for client connections and for replication links, without any socket.
//!
//! ```text
//!   TlsSettings --load--> ServerTls --+                      +-- feed(ciphertext) <-- recv
//!   (plain values,        ClientTls --+-> Session (rustls) --|
//!    files read here)     (swapped whole by TlsStore)        +-- send_with(slices) --> send
//! ```
//!
//! What it promises:
//! - Settings are checked whole before anything is replaced: a reload that fails leaves what runs.
//! - Every error is one sentence that names the file, or the other side, and the step.
//! - The other side of a link is always verified: against the authorities that were given, else
//!   against the system's roots. There is no switch to skip it and no way back to plaintext.
//! - X.509 v1 certificates and certificates that carry their name in the CN alone are accepted when
//!   an authority *that was given by file* signed them directly, because OpenSSL's everyday lines
//!   make such certificates. Public roots never vouch for them.
//!
//! What it does not do: open sockets, read configuration files, check revocation lists.

mod ciphers;
mod explain;
mod pem;
mod session;
mod settings;
mod trust;
mod verify;
mod x509;

use std::fmt;

pub use session::{BAD_TLS_HEADER, Session, SessionState, looks_like_tls};
pub use settings::{
    AuthClients, ClientTls, Identity, Passphrase, Protocols, ServerTls, TlsContexts, TlsSettings,
    TlsStore,
};

/// Why TLS settings or a TLS session were refused: one sentence for a log line or a reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsError(String);

impl TlsError {
    pub(crate) fn new(text: impl Into<String>) -> TlsError {
        TlsError(text.into())
    }
}

impl fmt::Display for TlsError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

impl std::error::Error for TlsError {}
