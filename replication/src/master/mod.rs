//! Feeding replicas.

pub mod feed;
pub mod flow;
pub mod lag;
pub mod machine;
pub mod reason;
pub mod session;
