//! `leasehold man` prints manual pages, generated from the definition of the command line.

use std::path::Path;

use clap::CommandFactory;
use clap_mangen::Man;

use crate::args::{Args, ManArgs};
use crate::io::exit::{FAILED, Failure};
use crate::io::stdout::print;

pub(crate) fn man(args: &ManArgs) -> Result<u8, Failure> {
    let mut command = Args::command();
    command.build();
    match (&args.dir, &args.command) {
        (Some(dir), _) => write_all(command, dir)?,
        (None, None) => print(&page(command)?)?,
        (None, Some(name)) => {
            let found = command.find_subcommand(name).cloned().ok_or_else(|| {
                let names = command.get_subcommands().map(clap::Command::get_name);
                let names: Vec<_> = names.filter(|name| *name != "help").collect();
                Failure::usage(format!(
                    "unknown command {name:?}; the commands are {}",
                    names.join(", ")
                ))
            })?;
            print(&page(with_full_name(found))?)?;
        }
    }
    Ok(0)
}

fn page(command: clap::Command) -> Result<String, Failure> {
    let mut text = Vec::new();
    Man::new(command).render(&mut text)?;
    Ok(String::from_utf8_lossy(&text).into_owned())
}

/// Returns a subcommand with its name for `man`, such as `leasehold-run`.
fn with_full_name(command: clap::Command) -> clap::Command {
    let name = format!("leasehold-{}", command.get_name());
    command.name(name).version(env!("CARGO_PKG_VERSION"))
}

fn write_all(command: clap::Command, dir: &Path) -> Result<(), Failure> {
    let write = |name: &str, text: String| {
        let path = dir.join(format!("{name}.1"));
        std::fs::write(&path, text).map_err(|error| {
            Failure::new(FAILED, format!("cannot write {}: {error}", path.display()))
        })
    };
    for subcommand in command.get_subcommands().filter(|one| one.get_name() != "help") {
        let subcommand = with_full_name(subcommand.clone());
        let name = subcommand.get_name().to_owned();
        write(&name, page(subcommand)?)?;
    }
    write("leasehold", page(command)?)
}
