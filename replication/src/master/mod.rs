//! Feeding replicas.

pub mod flow;
pub mod lag;
pub mod session;
