//! The credential of the first start: without one nobody could make any other.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::path::PathBuf;

use tracing::info;

use crate::config::Config;
use crate::control::Control;
use crate::control::ControlError;
use crate::id::CredentialId;
use crate::id::IdError;
use crate::id::Secret;
use crate::limits::CREDENTIALS_MAX;
use crate::registry::Permission;
use crate::registry::random_secret;

/// Name of the file in the data directory.
pub const ADMIN_CREDENTIAL_FILE: &str = "admin-credential";

/// Why there is no credential to begin with.
#[derive(Debug, thiserror::Error)]
pub enum AdminError {
    /// The door refused it.
    #[error("the first credential was not kept: {0}")]
    Control(#[from] ControlError),
    /// Its fixed name broke the rules of names.
    #[error("the first credential has no valid id: {0}")]
    Id(#[from] IdError),
    /// Its file could not be written.
    #[error("cannot write {}: {cause}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        cause: std::io::Error,
    },
}

/// Makes the configured credential, or, if no credential has `full_api` yet, a random one whose
/// only copy goes to `DATA/admin-credential`, readable by its owner alone.
///
/// # Errors
/// `AdminError` when it could not be kept or written.
pub(crate) async fn ensure(config: &Config, control: &Control) -> Result<(), AdminError> {
    let permissions = vec![Permission::FullApi, Permission::AnyChannel];
    if let Some(given) = &config.admin_credential {
        let secret = Secret::new(given.expose_secret());
        control
            .put_credential(given.id().clone(), Some(secret), permissions)
            .await?;
        return Ok(());
    }
    let kept = control.directory().credentials_page(None, CREDENTIALS_MAX);
    if kept
        .iter()
        .any(|entry| entry.permissions.contains(&Permission::FullApi))
    {
        return Ok(());
    }
    let id = CredentialId::new("admin")?;
    let secret = random_secret();
    let path = config.data_dir.join(ADMIN_CREDENTIAL_FILE);
    // The file first: a crash between the two must not leave a credential that nobody knows.
    let line = format!("{id}:{}\n", secret.expose());
    write(&path, &line).map_err(|cause| AdminError::File {
        path: path.clone(),
        cause,
    })?;
    control
        .put_credential(id, Some(secret), permissions)
        .await?;
    info!(file = %path.display(), "first credential made");
    Ok(())
}

fn write(path: &Path, text: &str) -> std::io::Result<()> {
    // A file left from an earlier data directory may have other permissions: made anew.
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}
