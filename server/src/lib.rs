//! Who may ask, and how: flags, listeners, connections, and the commands about the node itself.

pub mod config;
pub mod http;
pub mod log;
pub mod observe;
