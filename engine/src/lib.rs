//! One node's data, and how its cores share it.
pub mod resp;
pub mod table;
pub mod journal;
pub mod rt;
pub mod types;
pub mod value;
