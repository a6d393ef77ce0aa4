//! Every test.

use anyhow::Result;

use crate::{cargo, setup};

/// Sets up what the tests need and runs them all; the documentation's examples are among them.
pub(crate) fn test() -> Result<()> {
    setup::c_compiler()?;
    cargo(&["test", "--workspace", "--all-features", "--no-fail-fast"], &[])?;
    // Without features a URL must say which one to add.
    cargo(&["test", "--package", "leasehold", "--no-default-features"], &[])?;
    eprintln!("\nall tests passed");
    Ok(())
}
