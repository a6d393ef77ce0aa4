//! This test runs the image that `Dockerfile` describes, with the program under test.
//!
//! Without a Docker Engine or a base image the test says so and passes, unless the environment
//! variable `LEASEHOLD_TEST_DOCKER` is `required`.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

use std::fs;
use std::io::Write;
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

/// `cargo xtask images` builds this base image.
const LOCAL_BASE: &str = "leasehold-test/base:local";

/// The `Dockerfile` names this base image.
const PUBLIC_BASE: &str = "debian:trixie-slim";

/// All test containers have this label, so that the next run removes those of an interrupted one.
const LABEL: &str = "leasehold.test";

/// The `Dockerfile` names this user.
const USER: &str = "65532";

/// The containers are restricted as in `examples/service/kubernetes.yaml`.
const RESTRICTED: [&str; 5] =
    ["--read-only", "--cap-drop", "ALL", "--security-opt", "no-new-privileges"];

/// This script leaves orphans, waits until none of them is a zombie, and ends at SIGTERM.
const LEADER: &str = r"
    trap 'exit 3' TERM
    for n in 1 2 3 4; do (sleep 0.2 &); done
    sleep 0.5
    while grep -qs '^[0-9]* (sleep) Z' /proc/[0-9]*/stat; do sleep 0.1; done
    echo leading
    while :; do sleep 0.1; done";

/// The probes of the manifest request this path, without the token that the metrics need.
const PROBE: &str = "/health/live";

const TOKEN: &str = "LEASEHOLD_ADMIN_TOKEN=0123456789abcdef0123456789abcdef";

/// A container must start within this time, even on a busy machine.
const LIMIT: Duration = Duration::from_secs(120);

fn docker(arguments: &[&str]) -> Output {
    // Every engine has the classic builder; its successor is a plug-in that may be missing.
    Command::new("docker").args(arguments).env("DOCKER_BUILDKIT", "0").output().unwrap()
}

fn succeeds(arguments: &[&str]) -> bool {
    Command::new("docker").args(arguments).output().is_ok_and(|output| output.status.success())
}

/// Runs `docker`, which must succeed, and returns what it prints.
fn docker_succeeds(arguments: &[&str]) -> String {
    let output = docker(arguments);
    let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "docker {arguments:?}: {stdout}{stderr}");
    stdout.trim().to_owned()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Returns the base image that this machine has or can pull, or the reason why there is none.
fn base() -> Result<&'static str, String> {
    if !succeeds(&["info"]) {
        return Err("no Docker Engine responds".to_owned());
    }
    if succeeds(&["image", "inspect", LOCAL_BASE]) {
        return Ok(LOCAL_BASE);
    }
    let available =
        succeeds(&["image", "inspect", PUBLIC_BASE]) || succeeds(&["pull", PUBLIC_BASE]);
    available
        .then_some(PUBLIC_BASE)
        .ok_or_else(|| format!("{PUBLIC_BASE} cannot be pulled, and there is no {LOCAL_BASE}"))
}

/// Returns the status line of the response to a request for that path.
fn http_status(address: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: pod\r\nConnection: close\r\n\r\n").unwrap();
    let response = std::io::read_to_string(stream).unwrap();
    response.lines().next().unwrap_or_default().to_owned()
}

/// The image, its volume and its containers have one name; they are removed when this is dropped.
struct Image {
    name: String,
}

impl Image {
    /// Builds the stage `runtime` of the `Dockerfile`, and adds the program under test.
    fn build(base: &str) -> Self {
        let image = Self { name: format!("leasehold-image-test-{}", std::process::id()) };
        let context = tempfile::tempdir().unwrap();
        let file = |name: &str| context.path().join(name);
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        fs::copy(root.join("Dockerfile"), file("Dockerfile")).unwrap();
        fs::copy(env!("CARGO_BIN_EXE_leasehold"), file("leasehold")).unwrap();
        let program = format!("FROM {}:runtime\nCOPY leasehold /usr/local/bin/\n", image.name);
        fs::write(file("Dockerfile.program"), program).unwrap();

        let context = context.path().to_str().unwrap();
        let (runtime, base) = (format!("{}:runtime", image.name), format!("BASE={base}"));
        let stage = ["build", "--target", "runtime", "--build-arg", &base, "--tag", &runtime];
        docker_succeeds(&[&stage[..], &[context]].concat());
        let dockerfile = format!("{context}/Dockerfile.program");
        docker_succeeds(&["build", "--file", &dockerfile, "--tag", &image.name, context]);
        docker_succeeds(&["volume", "create", "--label", LABEL, &image.name]);
        image
    }

    /// Runs `leasehold` in a container with restricted privileges, with the volume's store.
    fn run(&self, options: &[&str], arguments: &[&str]) -> Output {
        let volume = format!("{}:/var/lib/leasehold", self.name);
        let run = ["run", "--label", LABEL, "--volume", volume.as_str()];
        docker(&[&run[..], &RESTRICTED, options, &[self.name.as_str()], arguments].concat())
    }

    /// Tries once to acquire the lock, and returns the exit status.
    fn try_lock(&self) -> Option<i32> {
        let arguments = ["run", "--lock", "hello", "--wait", "0", "--", "true"];
        self.run(&["--rm"], &arguments).status.code()
    }

    fn container(&self) -> String {
        format!("{}-leader", self.name)
    }
}

impl Drop for Image {
    fn drop(&mut self) {
        docker(&["rm", "--force", &self.container()]);
        docker(&["volume", "rm", "--force", &self.name]);
        docker(&["rmi", "--force", &self.name, &format!("{}:runtime", self.name)]);
    }
}

fn skip(reason: &str) {
    let required = std::env::var("LEASEHOLD_TEST_DOCKER").is_ok_and(|value| value == "required");
    assert!(!required, "the image cannot be tested: {reason}");
    eprintln!("skipped: {reason}");
}

#[test]
fn unprivileged_first_process_releases_its_lock_when_its_container_is_stopped() {
    let base = match base() {
        Ok(base) => base,
        Err(reason) => return skip(&reason),
    };
    let image = Image::build(base);
    let version = image.run(&["--rm"], &["--version"]);
    if text(&version.stderr).contains("GLIBC") {
        return skip("the program needs a later C library than the image has");
    }

    // The exit status and the output are the command's own.
    let arguments = ["run", "--lock", "hello", "--", "sh", "-c", "id -u; exit 7"];
    let output = image.run(&["--rm"], &arguments);
    assert_eq!(output.status.code(), Some(7), "{}", text(&output.stderr));
    assert_eq!(text(&output.stdout).trim(), USER);

    // The lease outlasts the test, so another container acquires the lock only after a release.
    let container = image.container();
    let run = ["run", "--lock", "hello", "--ttl", "1h", "--metrics", "0.0.0.0:9475"];
    let arguments = [&run[..], &["--", "sh", "-c", LEADER]].concat();
    let options = ["--detach", "--publish", "127.0.0.1::9475", "--env", TOKEN, "--name"];
    let started = image.run(&[&options[..], &[container.as_str()]].concat(), &arguments);
    assert!(started.status.success(), "{}", text(&started.stderr));
    let deadline = Instant::now() + LIMIT;
    loop {
        let logs = docker(&["logs", &container]);
        if text(&logs.stdout).trim() == "leading" {
            break;
        }
        assert!(Instant::now() < deadline, "orphans are not reaped: {}", text(&logs.stderr));
        std::thread::sleep(Duration::from_millis(100));
    }
    assert_eq!(image.try_lock(), Some(75));
    let address = docker_succeeds(&["port", &container, "9475/tcp"]);
    assert_eq!(http_status(&address, PROBE), "HTTP/1.1 200 OK");
    assert_eq!(http_status(&address, "/metrics"), "HTTP/1.1 401 Unauthorized");

    docker_succeeds(&["stop", "-t", "60", &container]);
    let format = "{{.State.ExitCode}}";
    assert_eq!(docker_succeeds(&["inspect", "--format", format, &container]), "3");
    assert_eq!(image.try_lock(), Some(0));
}
