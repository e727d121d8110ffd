//! Commands about the client's own connection, and about those of others: one file per family.
//!
//! ```text
//!   basic    PING ECHO SELECT QUIT RESET       listing  CLIENT LIST, INFO
//!   login    AUTH HELLO                        kill     CLIENT KILL
//!   client   what a client says of itself      pause    CLIENT PAUSE, UNPAUSE
//! ```
//!
//! Nothing here blocks and nobody is tracked, so CLIENT TRACKING and its kin are unknown subcommands.

mod basic;
mod client;
mod common;
mod kill;
mod listing;
mod login;
mod pause;

use super::declare::FrontCommand;

pub(super) const COMMANDS: &[&FrontCommand] = &[
    &login::AUTH,
    &client::CLIENT,
    &client::GETNAME,
    &client::GETREDIR,
    &client::HELP,
    &client::ID,
    &listing::INFO,
    &kill::KILL,
    &listing::LIST,
    &client::NO_EVICT,
    &client::NO_TOUCH,
    &pause::PAUSE,
    &client::REPLY,
    &client::SETINFO,
    &client::SETNAME,
    &client::UNBLOCK,
    &pause::UNPAUSE,
    &basic::ECHO,
    &login::HELLO,
    &basic::PING,
    &basic::QUIT,
    &basic::RESET,
    &basic::SELECT,
];
