//! What the configuration says that a link goes by, without the rest of it.

use crate::settings::Settings;
use std::time::Duration;

/// What the configuration says that a link goes by.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    /// For each step of the first attempt.
    pub connect: Duration,
    /// For each step of later ones.
    pub reconnect: Duration,
    /// The longest pause between attempts.
    pub pause_max: Duration,
    /// A silence that is longer breaks the link.
    pub timeout: Duration,
    /// The longest time between two acknowledgements while records arrive.
    pub acks_interval: Duration,
}

impl Rules {
    /// Those of the configuration.
    pub fn of(settings: &Settings) -> Rules {
        Rules {
            connect: settings.connect_timeout,
            reconnect: settings.reconnect_timeout,
            pause_max: settings.reconnect_pause,
            timeout: settings.timeout,
            acks_interval: settings.acks_interval,
        }
    }
}
