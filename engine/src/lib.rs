//! One node's data, and how its cores share it.
pub mod journal;
pub mod types;
