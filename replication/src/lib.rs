//! The same data on other nodes.

pub mod status;
pub mod tls;
pub mod transport;
