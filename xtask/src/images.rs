//! Provides images of the servers that the tests use.
//!
//! Public images are used if they can be pulled. Otherwise `images/<name>` defines an image that is
//! built from Debian's packages, on a base that `debootstrap` makes with the mirror and settings of
//! this machine's apt.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::workspace::root;
use crate::{docker, setup};

/// The servers, each with its public image if Docker's default registry has one.
pub(crate) const SERVERS: [(&str, Option<&str>); 7] = [
    ("postgres", Some("postgres:17")),
    ("mysql", Some("mysql:8.4")),
    ("mariadb", Some("mariadb:11.8")),
    ("redis", Some("redis:8")),
    ("valkey", Some("valkey/valkey:8")),
    ("mongodb", Some("mongo:8")),
    ("etcd", None),
];

const BASE: &str = "leasehold-test/base:local";

/// The base of the command line's `Dockerfile`.
const PUBLIC_BASE: &str = "debian:trixie-slim";

const RELEASE: &str = "trixie";

/// A server that speaks MongoDB's protocol, from crates.io.
const STAND_IN: (&str, &str, &str) = ("secantus-mdb", "0.5.3-beta.193", "secantusd-rs");

/// Makes sure that each of these servers has an image: pulls it, or builds it otherwise.
pub(crate) fn ensure(servers: &[&str]) -> Result<()> {
    let mut missing = Vec::new();
    let mut registry = true;
    for (name, public) in SERVERS.iter().filter(|(name, _)| servers.contains(name)) {
        if is_chosen(name, "IMAGE") || exists(&local(name)) {
            continue;
        }
        let pulled = public.is_some_and(|public| {
            exists(public) || (registry && docker::run(&["pull", "--quiet", public]).is_ok())
        });
        if !pulled {
            // A registry that does not respond is not tried seven times.
            registry &= public.is_none();
            missing.push(*name);
        }
    }
    build(&missing)
}

/// Makes sure that there is a base for the image of the command line: pulls it, or makes it
/// otherwise.
pub(crate) fn ensure_base() -> Result<()> {
    let pulled = || docker::run(&["pull", "--quiet", PUBLIC_BASE]).is_ok();
    if exists(BASE) || exists(PUBLIC_BASE) || pulled() {
        return Ok(());
    }
    base()
}

/// Builds these servers' images from Debian's packages.
pub(crate) fn build(servers: &[&str]) -> Result<()> {
    if servers.is_empty() {
        return Ok(());
    }
    base()?;
    // The stand-in takes minutes to compile; the others are built in the meantime.
    std::thread::scope(|scope| {
        let stand_in = servers.contains(&"mongodb").then(|| scope.spawn(stand_in));
        for server in servers.iter().filter(|server| **server != "mongodb") {
            image(server, &folder(server)?)?;
        }
        match stand_in.map(std::thread::ScopedJoinHandle::join) {
            None => Ok(()),
            Some(Ok(built)) => built,
            Some(Err(_)) => bail!("building the image of mongodb panicked"),
        }
    })
}

/// Returns whether the user has chosen an image or a running server for that server.
pub(crate) fn is_chosen(server: &str, what: &str) -> bool {
    let variable = format!("LEASEHOLD_TEST_{}_{what}", server.to_ascii_uppercase());
    std::env::var_os(variable).is_some_and(|value| !value.is_empty())
}

fn local(server: &str) -> String {
    format!("leasehold-test/{server}:local")
}

fn exists(image: &str) -> bool {
    setup::runs("docker", &["image", "inspect", image])
}

fn folder(server: &str) -> Result<PathBuf> {
    Ok(root()?.join("xtask/images").join(server))
}

/// Returns the folder in which images are built, which git ignores.
fn build_folder() -> Result<PathBuf> {
    let folder = root()?.join("target/images");
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    Ok(folder)
}

fn image(server: &str, context: &Path) -> Result<()> {
    eprintln!("building the image of {server}");
    let context = context.to_str().context("the path of this repository is not UTF-8")?;
    docker::run(&["build", "--tag", &local(server), context])
}

/// Makes an image of a small Debian with the settings of this machine's apt.
fn base() -> Result<()> {
    if exists(BASE) {
        return Ok(());
    }
    setup::program("debootstrap", "debootstrap", &["debootstrap"])?;
    let root = build_folder()?.join(RELEASE);
    if root.exists() {
        fs::remove_dir_all(&root).with_context(|| format!("cannot clear {}", root.display()))?;
    }
    eprintln!("making a base image of Debian {RELEASE}");
    let mirror = mirror()?;
    let made = Command::new("debootstrap")
        .args(["--variant=minbase", RELEASE])
        .arg(&root)
        .arg(&mirror)
        .stdout(Stdio::null())
        .status()
        .context("cannot run debootstrap")?;
    if !made.success() {
        bail!("debootstrap failed ({made}); are you root?");
    }
    fs::write(root.join("etc/apt/apt.conf.d/99-host"), settings()?)?;
    // Packages must not start their servers while the image is built.
    let policy = root.join("usr/sbin/policy-rc.d");
    fs::write(&policy, "#!/bin/sh\nexit 101\n")?;
    run("chmod", &["+x".as_ref(), policy.as_os_str()])?;
    let packed = build_folder()?.join("base.tar");
    run(
        "tar",
        &["-C".as_ref(), root.as_os_str(), "-cf".as_ref(), packed.as_os_str(), ".".as_ref()],
    )?;
    docker::run(&["import", packed.to_str().context("not UTF-8")?, BASE])?;
    fs::remove_file(packed)?;
    fs::remove_dir_all(root)?;
    Ok(())
}

/// Returns the mirror of Debian that this machine's apt uses.
fn mirror() -> Result<String> {
    let format = "$(ORIGIN)|$(LABEL)|$(REPO_URI)";
    let lines = output("apt-get", &["indextargets", "--format", format])?;
    let mirror = lines.lines().find_map(|line| line.strip_prefix("Debian|Debian|"));
    mirror
        .map(str::to_owned)
        .context("this machine's apt has no mirror of Debian (try apt-get update)")
}

/// Returns the settings, such as proxies, with which apt downloads packages on this machine.
fn settings() -> Result<String> {
    let all = output("apt-config", &["dump"])?;
    let wanted = all.lines().filter(|line| {
        line.starts_with("Acquire::http") || line.starts_with("Acquire::Check-Valid-Until")
    });
    Ok(wanted.map(|line| format!("{line}\n")).collect())
}

fn stand_in() -> Result<()> {
    let (package, version, program) = STAND_IN;
    let builds = build_folder()?;
    let (prefix, target) = (builds.join("stand-in"), builds.join("stand-in-target"));
    let built = prefix.join("bin").join(program);
    if !built.exists() {
        setup::program("cmake", "cmake", &["cmake", "make", "g++"])?;
        eprintln!("compiling {package} {version}, which takes minutes");
        let status = Command::new("cargo")
            .args(["install", "--quiet", package, "--version", version, "--ignore-rust-version"])
            .arg("--root")
            .arg(&prefix)
            .arg("--target-dir")
            .arg(&target)
            .status()
            .context("cannot run cargo")?;
        if !status.success() {
            bail!("cargo install {package} failed ({status})");
        }
        fs::remove_dir_all(target)?;
    }
    let context = builds.join("mongodb");
    fs::create_dir_all(&context)?;
    fs::copy(built, context.join(program))?;
    for file in fs::read_dir(folder("mongodb")?)? {
        let file = file?;
        fs::copy(file.path(), context.join(file.file_name()))?;
    }
    image("mongodb", &context)
}

fn run(program: &str, arguments: &[&std::ffi::OsStr]) -> Result<()> {
    let status = Command::new(program)
        .args(arguments)
        .status()
        .with_context(|| format!("cannot run {program}"))?;
    if !status.success() {
        bail!("{program} failed ({status})");
    }
    Ok(())
}

fn output(program: &str, arguments: &[&str]) -> Result<String> {
    let done = Command::new(program)
        .args(arguments)
        .output()
        .with_context(|| format!("cannot run {program}; images are built on Debian and Ubuntu"))?;
    if !done.status.success() {
        bail!("{program} failed ({})", done.status);
    }
    Ok(String::from_utf8(done.stdout)?)
}
