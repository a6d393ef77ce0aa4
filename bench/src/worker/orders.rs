//! Reads the job and the orders from standard input.

use anyhow::{Context, Result, ensure};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines, Stdin};

use super::job::Job;

pub(super) struct Orders(Lines<BufReader<Stdin>>);

impl Orders {
    pub(super) fn from_stdin() -> Self {
        Self(BufReader::new(tokio::io::stdin()).lines())
    }

    pub(super) async fn job(&mut self) -> Result<Job> {
        let line = self.0.next_line().await?.context("a worker reads its job from its input")?;
        Ok(serde_json::from_str(&line)?)
    }

    /// Says that the worker is ready.
    pub(super) async fn ready(&self) -> Result<()> {
        let mut output = tokio::io::stdout();
        output.write_all(b"ready\n").await?;
        output.flush().await?;
        Ok(())
    }

    /// Waits for that order, which is the next.
    pub(super) async fn wait_for(&mut self, order: &str) -> Result<()> {
        let line = self.0.next_line().await?.context("the input of a worker ended")?;
        ensure!(line == order, "the order is \"{line}\" instead of \"{order}\"");
        Ok(())
    }
}
