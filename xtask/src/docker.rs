//! Makes sure that a Docker Engine responds, and runs `docker`.

use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::setup;

/// The files that an engine that died may leave behind, and that prevent the next one from
/// starting.
const PID_FILES: [&str; 2] = ["/var/run/docker.pid", "/var/run/docker/containerd/containerd.pid"];

const START_LIMIT: Duration = Duration::from_secs(60);

/// The label of the containers of `test-servers`.
const LABEL: &str = "label=leasehold.test";

/// Makes sure that an engine responds: installs one on Debian and Ubuntu, and starts it.
pub(crate) fn ensure() -> Result<()> {
    if answers() {
        return Ok(());
    }
    if !setup::runs("dockerd", &["--version"]) {
        if !setup::runs("apt-get", &["--version"]) {
            bail!("no Docker Engine responds; install one, or leave backends out with --skip");
        }
        setup::program("dockerd", "Docker Engine", &["docker.io", "iptables", "ca-certificates"])?;
    }
    if answers() {
        return Ok(());
    }
    start()
}

fn answers() -> bool {
    setup::runs("docker", &["info"])
}

fn start() -> Result<()> {
    if Path::new("/run/systemd/system").exists() && setup::runs("systemctl", &["start", "docker"]) {
        return wait();
    }
    for file in PID_FILES {
        remove_stale_pid_file(Path::new(file))?;
    }
    let log = std::env::temp_dir().join("dockerd.log");
    eprintln!("starting dockerd, which writes to {}", log.display());
    let out = File::create(&log).with_context(|| format!("cannot write {}", log.display()))?;
    Command::new("dockerd")
        .stdin(Stdio::null())
        .stdout(out.try_clone()?)
        .stderr(out)
        // Ctrl-C at the terminal must not stop it.
        .process_group(0)
        .spawn()
        .context("cannot run dockerd")?;
    wait().with_context(|| format!("see {}; are you root?", log.display()))
}

/// Removes a pid file whose process has ended, or whose number now belongs to another process.
fn remove_stale_pid_file(file: &Path) -> Result<()> {
    let Ok(text) = fs::read_to_string(file) else { return Ok(()) };
    let command = fs::read_to_string(format!("/proc/{}/comm", text.trim())).unwrap_or_default();
    if !matches!(command.trim(), "dockerd" | "containerd") {
        eprintln!("removing {}, which belongs to an engine that has ended", file.display());
        fs::remove_file(file).with_context(|| format!("cannot remove {}", file.display()))?;
    }
    Ok(())
}

fn wait() -> Result<()> {
    let deadline = Instant::now() + START_LIMIT;
    while !answers() {
        if Instant::now() > deadline {
            bail!("the Docker Engine does not respond");
        }
        std::thread::sleep(Duration::from_millis(200));
    }
    Ok(())
}

/// Removes the containers of earlier runs that were killed.
pub(crate) fn remove_leftovers() -> Result<()> {
    let found = Command::new("docker")
        .args(["ps", "--all", "--quiet", "--filter", LABEL])
        .output()
        .context("cannot run docker")?;
    let found = String::from_utf8_lossy(&found.stdout).into_owned();
    let containers: Vec<_> = found.split_whitespace().collect();
    if !containers.is_empty() {
        eprintln!("removing {} containers that an earlier run left", containers.len());
        run(&[&["rm", "--force", "--volumes"], &containers[..]].concat())?;
    }
    Ok(())
}

/// Runs `docker`, and fails if it fails.
pub(crate) fn run(arguments: &[&str]) -> Result<()> {
    let line = format!("docker {}", arguments.join(" "));
    // The classic builder is part of every engine; its successor is a plug-in that may be missing.
    let done = Command::new("docker")
        .args(arguments)
        .env("DOCKER_BUILDKIT", "0")
        .output()
        .context("cannot run docker")?;
    if !done.status.success() {
        let output =
            [done.stdout, done.stderr].map(|output| String::from_utf8_lossy(&output).into_owned());
        bail!("{line} failed ({}):\n{}", done.status, output.concat());
    }
    Ok(())
}
