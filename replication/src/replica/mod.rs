//! Following a master: the machine and those who perform what it says. Its states stand in
//! [`machine`], downwards.

pub mod applier;
pub mod dial;
pub mod event;
pub mod gather;
pub mod helm;
mod inflow;
pub mod life;
pub mod link;
pub mod machine;
pub mod pace;
pub mod reason;
mod receive;
mod recut;
pub mod rules;
pub mod running;
pub mod steps;
