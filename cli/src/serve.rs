//! `leasehold serve`: the HTTP control API.

use std::io::Read;
use std::path::Path;

use leasehold::configuration::{Configuration, Origin, Serve};
use leasehold::{Client, ErrorKind, Holder};
use leasehold_admin::{Access, AdminApi, Limits, Server, Tls, Token};
use tokio::signal::unix::{SignalKind, signal};

use crate::exit::Failure;
use crate::output::print;
use crate::store::StoreChoice;

/// The token itself. `LEASEHOLD_TOKEN` is another: the number that `run` gives to its child.
const TOKEN: &str = "LEASEHOLD_ADMIN_TOKEN";

/// More than any token has.
const MOST_BYTES: u64 = 64 * 1024;

pub(crate) async fn serve(
    choice: &StoreChoice,
    configuration: &Configuration,
) -> Result<u8, Failure> {
    let settings = &configuration.serve;
    let access = token(configuration)?.map_or(Access::Loopback, Access::Token);
    let tls = match (&settings.tls_cert, &settings.tls_key) {
        (Some(certificates), Some(key)) => Some(Tls::from_pem_files(certificates, key)?),
        (None, None) => None,
        (Some(_), None) => return Err(alone(configuration, "tls_cert", "tls_key")),
        (None, Some(_)) => return Err(alone(configuration, "tls_key", "tls_cert")),
    };
    let limits = limits(settings)?;
    // Before the first line is printed: whoever reads it may end this process at once.
    let (mut terminate, mut interrupt) =
        (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    // Who is called to account for what is disabled is the server, not the instance whose label is
    // configured.
    let label = format!("leasehold serve {}", settings.listen);
    let client = Client::builder(choice.open().await?)
        .holder(Holder::current().with_label(label))
        .build()?;
    let api = AdminApi::new(client).access(access).limits(limits);
    let server = Server::bind(api, settings.listen, tls).await?;
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

fn limits(settings: &Serve) -> Result<Limits, Failure> {
    let connections = usize::try_from(settings.max_connections).unwrap_or(usize::MAX);
    if connections == 0 {
        return Err(Failure::usage("max_connections is 0, so nobody could connect; use 1 or more"));
    }
    Ok(Limits::default()
        .reads_per_second(settings.max_reads)
        .writes_per_second(settings.max_writes)
        .connections(connections))
}

/// Of two settings that need each other, one is set.
fn alone(configuration: &Configuration, set: &str, missing: &str) -> Failure {
    let from = configuration.origin(set).map(ToString::to_string).unwrap_or_default();
    Failure::usage(format!("{set} is set ({from}), but not {missing}; set both, or neither"))
}

/// The token that was given, if any: by an option, in the environment, or by a file.
fn token(configuration: &Configuration) -> Result<Option<Token>, Failure> {
    let file = configuration.serve.token_file.as_deref();
    let origin = configuration.origin("admin_token_file");
    match (file, origin, variable(TOKEN)?) {
        (Some(_), Some(Origin::Variable(other)), Some(_)) => {
            Err(Failure::usage(format!("both {TOKEN} and {other} are set; unset one")))
        }
        // As everywhere an option goes before the environment, and this before a file.
        (Some(file), Some(Origin::Option(_)), _) | (Some(file), _, None) => {
            from_file(file).map(Some)
        }
        (_, _, Some(token)) => Ok(Some(Token::new(token)?)),
        (None, _, None) => Ok(None),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_those_of_the_library() {
        let (ours, theirs) = (Serve::default(), Limits::default());
        assert_eq!(ours.max_reads, theirs.reads_per_second);
        assert_eq!(ours.max_writes, theirs.writes_per_second);
        assert_eq!(limits(&ours).unwrap().connections, theirs.connections);
    }
}
