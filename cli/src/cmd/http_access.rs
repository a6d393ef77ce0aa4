//! The access rules and TLS of HTTP are the same for `serve` and for `run --metrics`.

use std::io::Read;
use std::path::Path;

use leasehold::ErrorKind;
use leasehold::configuration::Origin;
use leasehold_admin::{Access, Tls, Token};

use crate::io::exit::Failure;
use crate::settings::configuration::CliConfiguration;

/// This variable has the token. `LEASEHOLD_TOKEN` is different: it is the fencing token of the
/// command under `run`.
pub(crate) const TOKEN: &str = "LEASEHOLD_ADMIN_TOKEN";

/// A token file is read up to this many bytes, which is more than any token has.
const MAX_BYTES: u64 = 64 * 1024;

/// Returns the access rule: the token if one is set, else local requests only.
pub(crate) fn access(configuration: &CliConfiguration) -> Result<Access, Failure> {
    Ok(token(configuration)?.map_or(Access::Loopback, Access::Token))
}

/// Returns the TLS configuration if a certificate is set.
pub(crate) fn tls(configuration: &CliConfiguration) -> Result<Option<Tls>, Failure> {
    let settings = &configuration.serve;
    match (&settings.tls_cert, &settings.tls_key) {
        (Some(certificates), Some(key)) => Ok(Some(Tls::from_pem_files(certificates, key)?)),
        (None, None) => Ok(None),
        (Some(_), None) => Err(missing_counterpart(configuration, "tls_cert", "tls_key")),
        (None, Some(_)) => Err(missing_counterpart(configuration, "tls_key", "tls_cert")),
    }
}

/// Returns the failure if only one of two settings that need each other is set.
fn missing_counterpart(configuration: &CliConfiguration, set: &str, missing: &str) -> Failure {
    let from = configuration.origin(set).map(ToString::to_string).unwrap_or_default();
    Failure::usage(format!("{set} is set ({from}), but not {missing}; set both, or neither"))
}

/// Returns the token from an option, the environment or a file, if there is one.
fn token(configuration: &CliConfiguration) -> Result<Option<Token>, Failure> {
    let file = configuration.serve.token_file.as_deref();
    let origin = configuration.origin("admin_token_file");
    match (file, origin, variable(TOKEN)?) {
        (Some(_), Some(Origin::Variable(other)), Some(_)) => {
            Err(Failure::usage(format!("both {TOKEN} and {other} are set; unset one")))
        }
        // As for all settings, an option overrides the environment, which overrides a file.
        (Some(file), Some(Origin::Option(_)), _) | (Some(file), _, None) => {
            let from = origin.map(ToString::to_string).unwrap_or_default();
            from_file(file, &from).map(Some)
        }
        (_, _, Some(token)) => Token::new(token)
            .map(Some)
            .map_err(|error| Failure::usage(format!("environment variable {TOKEN}: {error}"))),
        (None, _, None) => Ok(None),
    }
}

fn variable(name: &str) -> Result<Option<String>, Failure> {
    match std::env::var(name) {
        Ok(value) => Ok(Some(value).filter(|value| !value.is_empty())),
        Err(std::env::VarError::NotPresent) => Ok(None),
        // The message omits the value, which may be the token.
        Err(std::env::VarError::NotUnicode(_)) => {
            Err(Failure::usage(format!("{name} is not UTF-8")))
        }
    }
}

fn from_file(file: &Path, from: &str) -> Result<Token, Failure> {
    let denied = |error| {
        leasehold::Error::new(
            ErrorKind::Denied,
            format!("{from}: cannot read the token file {file:?}"),
        )
        .with_source(error)
    };
    let mut text = String::new();
    let file_content = std::fs::File::open(file).map_err(denied)?;
    file_content.take(MAX_BYTES).read_to_string(&mut text).map_err(denied)?;
    Token::new(text.trim()).map_err(|error| Failure::usage(format!("{from}: {file:?}: {error}")))
}
