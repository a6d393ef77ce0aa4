//! The path of this program, with which it starts itself.

use std::path::PathBuf;

/// Returns a path to this very program, even if its file was replaced or deleted meanwhile.
pub(super) fn this_program() -> std::io::Result<PathBuf> {
    if cfg!(target_os = "linux") {
        Ok(PathBuf::from("/proc/self/exe"))
    } else {
        std::env::current_exe()
    }
}
