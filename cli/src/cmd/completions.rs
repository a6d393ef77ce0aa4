//! `leasehold completions` prints completions, generated from the definition of the command line.

use clap::CommandFactory;

use crate::args::{Args, CompletionsArgs};
use crate::io::exit::Failure;
use crate::io::stdout::print;

pub(crate) fn completions(args: &CompletionsArgs) -> Result<u8, Failure> {
    let mut text = Vec::new();
    clap_complete::generate(args.shell, &mut Args::command(), "leasehold", &mut text);
    print(&String::from_utf8_lossy(&text))?;
    Ok(0)
}
