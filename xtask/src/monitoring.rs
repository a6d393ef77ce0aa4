//! Checks the example alert rules with Prometheus's promtool.

use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::setup;
use crate::workspace::root;

/// Checks the rules and the configuration, and that each alert fires when it should and only then.
pub(crate) fn check() -> Result<()> {
    setup::program("promtool", "Prometheus", &["prometheus"])?;
    promtool(&["check", "rules", "alerts.yml"])?;
    promtool(&["check", "config", "prometheus.yml"])?;
    promtool(&["test", "rules", "alerts_test.yml"])
}

fn promtool(arguments: &[&str]) -> Result<()> {
    let line = format!("promtool {}", arguments.join(" "));
    eprintln!("\n$ {line}");
    let status = Command::new("promtool")
        .args(arguments)
        .current_dir(root()?.join("examples/monitoring"))
        .status()
        .with_context(|| format!("cannot run {line}"))?;
    if !status.success() {
        bail!("{line} failed ({status})");
    }
    Ok(())
}
