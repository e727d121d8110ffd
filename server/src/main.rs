//! The `damselfly` program.

use server::config::{self, Start};
use std::io::Write;
use std::process::ExitCode;
use std::sync::Arc;

#[global_allocator]
static ALLOCATOR: server::memory::Counting = server::memory::Counting;

/// The allocator gets its memory before it is asked for any.
// SAFETY: what the loader calls before `main` stands in this section; it allocates nothing and cannot panic.
#[used]
#[unsafe(link_section = ".init_array")]
static BEFORE_MAIN: extern "C" fn() = server::memory::ahead::prepare;

fn main() -> ExitCode {
    if let Some(code) = subcommand() {
        return code;
    }
    // Before anything is allocated that stays.
    server::memory::begin_with_small_pages();
    let version = concat!("damselfly ", env!("CARGO_PKG_VERSION"));
    match config::start(std::env::args_os(), std::env::vars_os(), version) {
        Start::Run(settings) => match server::start::run(Arc::new(*settings)) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                let _ = writeln!(std::io::stderr(), "damselfly: {error}");
                ExitCode::FAILURE
            }
        },
        Start::Say { text, code: 0 } => {
            let _ = std::io::stdout().write_all(text.as_bytes());
            ExitCode::SUCCESS
        }
        Start::Say { text, code } => {
            let _ = std::io::stderr().write_all(text.as_bytes());
            ExitCode::from(code as u8)
        }
    }
}

/// Two words are no flags: `damselfly demo` and `damselfly check-source`.
fn subcommand() -> Option<ExitCode> {
    let mut arguments = std::env::args_os().skip(1);
    let first = arguments.next()?;
    if first == "check-source" {
        let arguments = std::env::args_os().take(1).chain(arguments).collect();
        return Some(server::check_source::run(server::commands::registry().0, arguments));
    }
    if first != "demo" {
        return None;
    }
    let outcome = match arguments.next() {
        None => server::demo::run(),
        Some(more) => Err(format!("demo takes no arguments, found '{}'", more.to_string_lossy())),
    };
    Some(match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "damselfly: demo: {error}");
            ExitCode::FAILURE
        }
    })
}
