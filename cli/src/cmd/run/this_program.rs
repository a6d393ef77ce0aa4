//! This program starts itself again by its own path.

use std::path::PathBuf;

/// Returns a path to this program, even if its file has been replaced or deleted.
pub(super) fn this_program() -> std::io::Result<PathBuf> {
    if cfg!(target_os = "linux") {
        Ok(PathBuf::from("/proc/self/exe"))
    } else {
        std::env::current_exe()
    }
}
