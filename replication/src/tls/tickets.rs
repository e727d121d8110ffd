//! Sessions that clients keep and bring back: a second connection costs no signature.
//!
//! A ticket is the session itself, encrypted for us: nothing is kept here, whatever clients come. Its key
//! lives for the lifetime and as long again for reading, and goes with the configuration: a resumed
//! session skips the client's certificate, so no ticket may outlive the authorities under which it was
//! made.

use std::sync::Arc;

use rustls::crypto::GetRandomFailed;
use rustls::crypto::aws_lc_rs;
use rustls::server::ProducesTickets;
use rustls::ticketer::TicketRotator;

use super::TlsError;

/// The source of tickets of one configuration.
pub(crate) fn tickets(lifetime_seconds: u32) -> Result<Arc<dyn ProducesTickets>, TlsError> {
    let rotator = TicketRotator::new(lifetime_seconds, || Ok(Box::new(OneKey::new()?)));
    let rotator = rotator.map_err(|error| TlsError::new(format!("TLS: tickets: {error}")))?;
    Ok(Arc::new(rotator))
}

/// rustls' own tickets, whose key is replaced sooner than they would do it.
#[derive(Debug)]
struct OneKey(Arc<dyn ProducesTickets>);

impl OneKey {
    fn new() -> Result<OneKey, GetRandomFailed> {
        aws_lc_rs::Ticketer::new().map(OneKey).map_err(|_| GetRandomFailed)
    }
}

impl ProducesTickets for OneKey {
    fn enabled(&self) -> bool {
        self.0.enabled()
    }

    fn lifetime(&self) -> u32 {
        self.0.lifetime()
    }

    fn encrypt(&self, plain: &[u8]) -> Option<Vec<u8>> {
        self.0.encrypt(plain)
    }

    fn decrypt(&self, cipher: &[u8]) -> Option<Vec<u8>> {
        self.0.decrypt(cipher)
    }
}
