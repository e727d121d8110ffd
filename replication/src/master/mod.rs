//! Feeding replicas.

pub mod feed;
pub mod flow;
pub mod lag;
pub mod session;
