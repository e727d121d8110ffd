//! What this node was told to be: one table of settings and its projections.
//!
//! ```text
//!   table.rs + accepted.rs          the settings, as plain data
//!        |
//!        +-- command_line.rs        --flags, flagfiles, DFLY_ variables; --help, --version
//!        +-- redis_conf.rs          a redis.conf as first argument
//!        +-- settings.rs            the values now: CONFIG GET, CONFIG SET, a Config for each reader
//!        +-- rewrite.rs             CONFIG REWRITE: what changed, back into the flagfile
//!        +-- check.rs               what settings may not be together
//!        +-- cron.rs                minutes of the calendar
//!        +-- docs.rs                docs/operating/flags.md
//! ```
//!
//! Promises: a setting is one entry; the same text means the same value wherever it is given; a
//! refused value changes nothing. It opens no socket, and no file but flagfiles.

mod accepted;
mod check;
mod command_line;
mod cron;
mod docs;
mod names;
mod redis_conf;
mod rewrite;
mod setting;
mod settings;
mod table;
mod typed;
mod upstream;
mod value;

pub use accepted::is_without_effect;
pub use check::Refusal;
pub use command_line::{Start, start};
pub use cron::Cron;
pub use docs::flags_page;
pub use names::{find, settings as all_settings};
pub use rewrite::Rewritten;
pub use setting::{Alias, Effect, Group, Setting};
pub use settings::{Change, Origin, Reader, Settings};
pub use table::Config;
pub use typed::{
    LogLevel, MaxmemoryPolicy, OldestFollower, Pin, PipelineOrder, ReplyStyle, SlowReplicaPolicy,
    TlsAuthClients,
};
pub use upstream::Upstream;
pub use value::{Kind, OutputLimit, OutputLimits, Unit, Value, parse_size};

/// The Redis whose commands and replies these are: clients read it to know what they may use.
pub const REDIS_VERSION: &str = "7.2.5";
