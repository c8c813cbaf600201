//! As whom a command asks.

use std::path::PathBuf;

use crate::cli::arguments::Connection;
use crate::cli::error::CliError;
use crate::config::CREDENTIAL_VARIABLE;
use crate::config::Credential;
use crate::config::DATA_DIR_VARIABLE;
use crate::config::Environment;

/// The credential and where it was found: a flag, the environment, the data folder, in this order.
pub(crate) fn find(
    connection: &Connection,
    environment: &Environment,
) -> Result<(Credential, String), CliError> {
    let parse = |text: &str, origin: &str| match Credential::parse(text) {
        Ok(found) => Ok((found, origin.to_owned())),
        Err(problem) => Err(CliError::BadCredential {
            origin: origin.to_owned(),
            problem,
        }),
    };
    if let Some(given) = &connection.credential {
        return parse(given, "--credential");
    }
    if let Some(given) = environment.value(CREDENTIAL_VARIABLE) {
        return parse(given, CREDENTIAL_VARIABLE);
    }
    let folder = connection
        .data_dir
        .clone()
        .or_else(|| environment.value(DATA_DIR_VARIABLE).map(PathBuf::from))
        .unwrap_or_else(|| PathBuf::from("./logboom-data"));
    let path = folder.join("admin-credential");
    match std::fs::read_to_string(&path) {
        Ok(text) => parse(&text, &path.display().to_string()),
        Err(error) => Err(CliError::NoCredential {
            tried: path.display().to_string(),
            reason: error.to_string(),
        }),
    }
}
