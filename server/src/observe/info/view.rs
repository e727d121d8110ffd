//! What a section looks at, and the lines that it writes.

use crate::observe::Picture;
use crate::server::Server;
use std::fmt::{Display, Write};

/// Everything that a section may look at.
pub struct View<'a> {
    /// What was gathered.
    pub picture: &'a Picture,
    /// What all executors share.
    pub server: &'a Server,
    /// Whoever asks came in over the admin port: `managed_service_info` hides nothing.
    pub admin: bool,
}

impl View<'_> {
    /// Whether what concerns only the operator of a managed service is left out.
    pub(super) fn hides(&self) -> bool {
        self.picture.config.managed_service_info && !self.admin
    }
}

/// Lines under way.
#[derive(Default)]
pub struct Lines(pub(super) String);

impl Lines {
    /// One field.
    pub(super) fn put(&mut self, name: impl Display, value: impl Display) {
        let _ = write!(self.0, "{name}:");
        let start = self.0.len();
        let _ = write!(self.0, "{value}");
        // A line break in a value would begin another field.
        if self.0[start..].contains(['\r', '\n']) {
            let clean = self.0[start..].replace(['\r', '\n'], " ");
            self.0.truncate(start);
            self.0.push_str(&clean);
        }
        self.0.push_str("\r\n");
    }

    /// A number of bytes, also for people.
    pub(super) fn put_bytes(&mut self, name: &str, bytes: u64) {
        self.put(name, bytes);
        self.put(format_args!("{name}_human"), human(bytes));
    }
}

/// A number of bytes as Redis writes it for people.
pub fn human(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["K", "M", "G", "T", "P"];
    if bytes < 1024 {
        return format!("{bytes}B");
    }
    let (mut amount, mut unit) = (bytes as f64 / 1024.0, 0);
    while amount >= 1024.0 && unit + 1 < UNITS.len() {
        amount /= 1024.0;
        unit += 1;
    }
    format!("{amount:.2}{}", UNITS[unit])
}
