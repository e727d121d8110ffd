//! One node's data, and how its cores share it.
pub mod resp;
pub mod table;
pub mod types;
pub mod value;
