//! The working directory, in which snapshots lie (`--dir`).
//!
//! Somebody may remove it while the node runs and make another one of the same name. The process still stands in the one that
//! is gone, where no file can be made: the one of the same name is entered then.

use std::path::PathBuf;
use std::sync::OnceLock;

/// Where the process stood when it had entered it.
static ENTERED: OnceLock<PathBuf> = OnceLock::new();

/// Enters a directory; an empty name is the one that the process was started in.
pub(crate) fn enter(name: &str) -> Result<(), String> {
    if !name.is_empty() {
        std::env::set_current_dir(name)
            .map_err(|error| format!("cannot enter the directory {name}: {error}"))?;
    }
    if let Ok(entered) = std::env::current_dir() {
        let _ = ENTERED.set(entered);
    }
    Ok(())
}

/// Where it is; entered anew where it was removed and there is another one.
pub(crate) fn current() -> Result<PathBuf, String> {
    let gone = match std::env::current_dir() {
        Ok(current) => return Ok(current),
        Err(error) => error,
    };
    let Some(entered) = ENTERED.get() else {
        return Err(format!("cannot find the working directory: {gone}"));
    };
    let shown = entered.display();
    std::env::set_current_dir(entered).map_err(|error| {
        format!("the working directory {shown} was removed ({error}); make it anew")
    })?;
    tracing::warn!("the working directory {shown} was removed and made anew: entering it");
    std::env::current_dir().map_err(|error| format!("cannot find the directory {shown}: {error}"))
}
