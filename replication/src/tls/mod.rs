//! TLS for client connections and for replication links, without any socket.
//!
//! ```text
//!   TlsSettings --load--> ServerTls --+                      +-- feed(ciphertext) <-- recv
//!   (plain values,        ClientTls --+-> TlsSession (rustls) --|
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
//! - A reload under way is seen by nobody: the pair of key and certificate is judged when it is loaded, and
//!   an error says whether it is about that pair alone ([`TlsError::is_about_pair`]).
//!
//! What it does not do: open sockets, read configuration files, check revocation lists.

mod ciphers;
mod explain;
mod files;
mod load;
mod pem;
mod session;
mod settings;
mod tickets;
mod trust;
mod verify;
mod x509;

use std::fmt;

pub use ciphers::judge_ciphers;
pub use files::Files;
pub use load::{
    ClientTls, Identity, NO_AUTHENTICATION, NO_IDENTITY, ServerTls, TlsContexts, TlsStore,
};
pub use session::{BAD_TLS_HEADER, SessionState, TlsSession, looks_like_tls};
pub use settings::{AuthClients, Passphrase, Protocols, TlsSettings};

/// Why TLS settings or a TLS session were refused: one sentence for a log line or a reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsError {
    text: String,
    about: About,
}

/// What a refusal is about, for those who do more than repeat its text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum About {
    /// A key and its certificate: everything else was found to be right.
    Pair,
    /// The certificate of one of the two sides of a session, or that there is none.
    Certificate,
    /// Anything else.
    Else,
}

impl TlsError {
    pub(crate) fn new(text: impl Into<String>) -> TlsError {
        TlsError { text: text.into(), about: About::Else }
    }

    pub(crate) fn of_pair(text: impl Into<String>) -> TlsError {
        TlsError { text: text.into(), about: About::Pair }
    }

    /// Why a session with somebody ended: `error`, in these words.
    pub(crate) fn of_session(text: impl Into<String>, error: &rustls::Error) -> TlsError {
        let is_certificate = explain::is_about_certificate(error);
        let about = if is_certificate { About::Certificate } else { About::Else };
        TlsError { text: text.into(), about }
    }

    /// Whether a session ended for the certificate of one of its sides, or for want of one.
    pub fn is_about_certificate(&self) -> bool {
        self.about == About::Certificate
    }

    /// Whether everything but a key and its certificate was found to be right: what is to be expected
    /// between the replacing of the one and of the other.
    pub fn is_about_pair(&self) -> bool {
        self.about == About::Pair
    }
}

impl fmt::Display for TlsError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.text)
    }
}

impl std::error::Error for TlsError {}
