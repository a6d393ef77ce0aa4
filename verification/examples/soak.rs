//! Runs a soak of locks and elections: `soak [--minutes M] [--store URL]…`. By default it uses
//! memory and an SQLite file.

use std::process::ExitCode;
use std::time::Duration;

use leasehold_verification::soak::{Load, growth, soak};

#[tokio::main]
async fn main() -> ExitCode {
    let (mut minutes, mut stores) = (1.0, Vec::new());
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let value = arguments.next();
        match (argument.as_str(), value.as_ref().and_then(|value| value.parse::<f64>().ok())) {
            ("--minutes", Some(given)) if given > 0.0 => minutes = given,
            ("--store", _) if value.is_some() => stores.extend(value),
            _ => {
                eprintln!("usage: soak [--minutes M] [--store URL]…");
                return ExitCode::from(2);
            }
        }
    }
    let folder = match tempfile::tempdir() {
        Ok(folder) => folder,
        Err(error) => {
            eprintln!("cannot create a folder for SQLite's file: {error}");
            return ExitCode::FAILURE;
        }
    };
    if stores.is_empty() {
        let file = folder.path().join("soak.db");
        stores = vec!["memory:".to_owned(), format!("sqlite:{}", file.display())];
    }
    let mut code = ExitCode::SUCCESS;
    for (at, store) in stores.iter().enumerate() {
        let time = Duration::from_secs_f64(minutes * 60.0 / stores.len() as f64);
        match soak(store, time, Load::default(), None).await {
            Ok(soaked) => {
                println!("store {}: {soaked}", at + 1);
                if !growth(&soaked.samples).is_empty() || soaked.left > 0 {
                    code = ExitCode::FAILURE;
                }
            }
            Err(error) => {
                eprintln!("{error}");
                code = ExitCode::FAILURE;
            }
        }
    }
    code
}
