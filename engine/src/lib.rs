//! One node's data, and how its cores share it.
pub mod rt;
pub mod types;
