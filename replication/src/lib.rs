//! The same data on other nodes.

pub mod tls;
