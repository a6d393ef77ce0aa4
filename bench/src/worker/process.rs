//! A worker as the process that started it sees it.

use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

use super::ARGUMENT;
use super::campaign::STARTED;
use super::job::{Job, Report};

/// This process is killed when the value is dropped.
pub(crate) struct Worker {
    child: Child,
    input: ChildStdin,
    output: Lines<BufReader<ChildStdout>>,
}

impl Worker {
    /// Starts a worker with that job.
    pub(crate) async fn start(job: &Job) -> Result<Self> {
        let mut child = Command::new(std::env::current_exe()?)
            .arg(ARGUMENT)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .context("cannot start a worker")?;
        let mut input = child.stdin.take().context("a worker has no input")?;
        let output = child.stdout.take().context("a worker has no output")?;
        input.write_all(format!("{}\n", serde_json::to_string(job)?).as_bytes()).await?;
        Ok(Self { child, input, output: BufReader::new(output).lines() })
    }

    /// Waits until the worker is ready.
    pub(crate) async fn ready(&mut self) -> Result<()> {
        let line = self.line().await?;
        ensure!(line == "ready", "a worker says \"{line}\" instead of \"ready\"");
        Ok(())
    }

    /// Waits until a term starts in the worker, and returns when that was.
    pub(crate) async fn started(&mut self) -> Result<Duration> {
        let line = self.line().await?;
        let nanos = line.strip_prefix(STARTED).and_then(|nanos| nanos.trim().parse().ok());
        nanos.map(Duration::from_nanos).with_context(|| format!("a worker says \"{line}\""))
    }

    /// Kills the process, which cannot notice it.
    pub(crate) async fn kill(mut self) -> Result<()> {
        Ok(self.child.kill().await?)
    }

    /// Gives an order.
    pub(crate) async fn order(&mut self, order: &str) -> Result<()> {
        self.input.write_all(format!("{order}\n").as_bytes()).await?;
        Ok(())
    }

    /// Waits for the report and for the end of the process.
    pub(crate) async fn report(mut self) -> Result<Report> {
        let mut line = self.line().await?;
        while line.starts_with(STARTED) {
            line = self.line().await?;
        }
        let report = serde_json::from_str(&line)?;
        let status = self.child.wait().await?;
        ensure!(status.success(), "a worker failed ({status})");
        Ok(report)
    }

    async fn line(&mut self) -> Result<String> {
        self.output.next_line().await?.context("a worker ended early; its message is above")
    }
}
