//! This module starts a server in a container.

use std::fmt::Display;
use std::future::Future;
use std::net::TcpListener;
use std::time::Duration;

use leasehold_core::{Error, ErrorKind, Result};
use testcontainers::core::{ExecCommand, IntoContainerPort};
use testcontainers::runners::AsyncRunner;
use testcontainers::{ContainerAsync, GenericImage, ImageExt};
use tokio::time::{Instant, sleep};

use super::Image;

/// These containers have this label in `docker ps`, by which stale ones can be found.
const LABEL: (&str, &str) = ("leasehold.test", "server");

/// A server must respond within this time.
const START_LIMIT: Duration = Duration::from_secs(120);

/// This server runs in a container, which is removed when this value is dropped.
#[derive(Debug)]
pub struct Server {
    container: ContainerAsync<GenericImage>,
    port: u16,
}

fn broken(source: impl Display) -> Error {
    Error::new(ErrorKind::Unavailable, format!("docker failed: {source}"))
        .with_fix("does `docker info` answer? `cargo xtask images` builds the images")
}

impl Server {
    /// Starts a container of that image, reachable at a free port of the loopback interface.
    ///
    /// The server in it may take longer to start: see [`until_ready`].
    ///
    /// # Errors
    /// Returns an error if there is no Docker Engine or no such image.
    pub async fn start(image: &Image) -> Result<Self> {
        Self::start_with(image, &[]).await
    }

    /// Does the same as [`start`](Self::start), with more arguments for the server.
    ///
    /// # Errors
    /// Returns the errors of [`start`](Self::start).
    pub async fn start_with(image: &Image, more: &[&str]) -> Result<Self> {
        Self::start_with_files(image, more, &[]).await
    }

    /// Does the same as [`start_with`](Self::start_with), with files that exist from the start,
    /// each given as its path and its content. They belong to root, and every user may read them.
    ///
    /// # Errors
    /// Returns the errors of [`start`](Self::start).
    pub async fn start_with_files(
        image: &Image,
        more: &[&str],
        files: &[(&str, &str)],
    ) -> Result<Self> {
        let mut tries = 0;
        loop {
            tries += 1;
            match Self::start_once(image, more, files).await {
                // Another program took the port in the meantime, which happens on a busy machine.
                Err(error) if tries < 5 && format!("{error:?}").contains("already") => {}
                started => return started,
            }
        }
    }

    async fn start_once(image: &Image, more: &[&str], files: &[(&str, &str)]) -> Result<Self> {
        let (name, tag) = image.chosen();
        // The port is fixed, because Docker would give a restarted container another one.
        let port = free_port().map_err(broken)?;
        let mut request = GenericImage::new(name, tag)
            .with_mapped_port(port, image.port.tcp())
            .with_startup_timeout(START_LIMIT)
            .with_labels([LABEL]);
        for (key, value) in image.environment {
            request = request.with_env_var(*key, *value);
        }
        for (path, text) in files {
            request = request.with_copy_to(*path, text.as_bytes().to_vec());
        }
        if !image.command.is_empty() || !more.is_empty() {
            request = request.with_cmd(image.command.iter().chain(more).copied());
        }
        Ok(Self { container: request.start().await.map_err(broken)?, port })
    }

    /// Returns its address on this machine.
    #[must_use]
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Stops the server in an orderly way, as an operator would.
    ///
    /// # Errors
    /// Returns the error of Docker.
    pub async fn stop(&self) -> Result<()> {
        self.container.stop_with_timeout(Some(20)).await.map_err(broken)
    }

    /// Starts the server again, with its data and at the same address.
    ///
    /// # Errors
    /// Returns the error of Docker.
    pub async fn start_again(&self) -> Result<()> {
        self.container.start().await.map_err(broken)
    }

    /// Freezes the server: it replies to nothing until it is resumed.
    ///
    /// # Errors
    /// Returns the error of Docker.
    pub async fn freeze(&self) -> Result<()> {
        self.container.pause().await.map_err(broken)
    }

    /// Resumes the frozen server.
    ///
    /// # Errors
    /// Returns the error of Docker.
    pub async fn resume(&self) -> Result<()> {
        self.container.unpause().await.map_err(broken)
    }

    /// Returns the last lines of the server's standard error, for the report of a failure.
    ///
    /// # Errors
    /// Returns the error of Docker.
    pub async fn last_lines(&self) -> Result<String> {
        let printed = self.container.stderr_to_vec().await.map_err(broken)?;
        let printed = String::from_utf8_lossy(&printed);
        let lines: Vec<_> = printed.lines().collect();
        Ok(lines[lines.len().saturating_sub(30)..].join("\n"))
    }

    /// Returns whether the container has that program.
    ///
    /// # Errors
    /// Returns the error of Docker.
    pub async fn has(&self, program: &str) -> Result<bool> {
        Ok(self.run(&["which", program]).await?.contains(program))
    }

    /// Runs a command in the container and returns its output.
    ///
    /// # Errors
    /// Returns the error of Docker, but not the failure of the command itself.
    pub async fn run(&self, command: &[&str]) -> Result<String> {
        let command = ExecCommand::new(command.iter().copied());
        let mut done = self.container.exec(command).await.map_err(broken)?;
        let said = done.stdout_to_vec().await.map_err(broken)?;
        Ok(String::from_utf8_lossy(&said).into_owned())
    }
}

fn free_port() -> std::io::Result<u16> {
    Ok(TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port())
}

/// Repeats `attempt` until it succeeds, for as long as a server may take to start.
///
/// # Errors
/// Returns the error of the last attempt.
pub async fn until_ready<T, E, F>(mut attempt: impl FnMut() -> F) -> Result<T>
where
    E: Display,
    F: Future<Output = std::result::Result<T, E>>,
{
    let give_up = Instant::now() + START_LIMIT;
    loop {
        match attempt().await {
            Ok(value) => return Ok(value),
            Err(error) if Instant::now() >= give_up => {
                let message = format!("the server is not ready after {START_LIMIT:?}: {error}");
                return Err(Error::new(ErrorKind::Unavailable, message));
            }
            Err(_) => sleep(Duration::from_millis(100)).await,
        }
    }
}
