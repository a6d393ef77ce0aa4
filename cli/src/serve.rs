//! `leasehold serve`: the HTTP control API.

use std::io::Read;
use std::path::{Path, PathBuf};

use leasehold::{Client, ErrorKind, Holder};
use leasehold_admin::{Access, AdminApi, Limits, Server, Tls, Token};
use tokio::signal::unix::{SignalKind, signal};

use crate::args::ServeArgs;
use crate::exit::Failure;
use crate::output::print;
use crate::store::StoreChoice;

/// The token itself. `LEASEHOLD_TOKEN` is another: the number that `run` gives to its child.
const TOKEN: &str = "LEASEHOLD_ADMIN_TOKEN";
/// The file that has it.
const TOKEN_FILE: &str = "LEASEHOLD_ADMIN_TOKEN_FILE";

/// More than any token has.
const MOST_BYTES: u64 = 64 * 1024;

pub(crate) async fn serve(choice: &StoreChoice, args: ServeArgs) -> Result<u8, Failure> {
    let access = match token(args.token_file)? {
        Some(token) => Access::Token(token),
        None => Access::Loopback,
    };
    let tls = match (&args.tls_cert, &args.tls_key) {
        (Some(certificates), Some(key)) => Some(Tls::from_pem_files(certificates, key)?),
        _ => None,
    };
    // Before the first line is printed: whoever reads it may end this process at once.
    let (mut terminate, mut interrupt) =
        (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let label = format!("leasehold serve {}", args.listen);
    let client = Client::builder(choice.open().await?)
        .holder(Holder::current().with_label(label))
        .build()?;
    let limits = Limits::default()
        .reads_per_second(args.max_reads)
        .writes_per_second(args.max_writes)
        .connections(args.max_connections);
    let api = AdminApi::new(client).access(access).limits(limits);
    let server = Server::bind(api, args.listen, tls).await?;
    print(&format!("listening on {}\n", server.url()))?;
    let shutdown = async {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    };
    server.run(shutdown).await;
    Ok(0)
}

/// The token that was given in one of three ways, if any.
fn token(file: Option<PathBuf>) -> Result<Option<Token>, Failure> {
    if let Some(file) = file {
        return from_file(&file).map(Some);
    }
    match (variable(TOKEN)?, variable(TOKEN_FILE)?) {
        (Some(_), Some(_)) => {
            Err(Failure::usage(format!("both {TOKEN} and {TOKEN_FILE} are set; unset one")))
        }
        (Some(token), None) => Ok(Some(Token::new(token)?)),
        (None, Some(file)) => from_file(Path::new(&file)).map(Some),
        (None, None) => Ok(None),
    }
}

fn variable(name: &str) -> Result<Option<String>, Failure> {
    match std::env::var(name) {
        Ok(value) => Ok(Some(value).filter(|value| !value.is_empty())),
        Err(std::env::VarError::NotPresent) => Ok(None),
        // Without the value, which may be the token.
        Err(std::env::VarError::NotUnicode(_)) => {
            Err(Failure::usage(format!("{name} is not UTF-8")))
        }
    }
}

fn from_file(file: &Path) -> Result<Token, Failure> {
    let denied = |error| {
        leasehold::Error::new(
            ErrorKind::Denied,
            format!("the token's file {file:?} cannot be read"),
        )
        .with_source(error)
    };
    let mut text = String::new();
    let opened = std::fs::File::open(file).map_err(denied)?;
    opened.take(MOST_BYTES).read_to_string(&mut text).map_err(denied)?;
    Ok(Token::new(text.trim())?)
}
