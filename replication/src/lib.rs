//! The same data on other nodes.
