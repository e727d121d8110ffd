//! Feeding replicas.

pub mod feed;
pub mod flow;
pub mod lag;
mod listening;
pub mod machine;
pub mod reason;
pub mod returning;
pub mod run;
pub mod session;
pub mod sessions;
mod walking;
mod writing;
