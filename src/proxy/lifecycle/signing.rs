//! The key that signs tokens for gateways is made at the first start; the public keys are written for gateways that cannot
//! fetch them.

use std::io;
use std::path::Path;
use std::sync::Arc;

use identity::{Signer, SigningAlgorithm};

use crate::config::{Config, OWN_KEY};
use crate::identity::Signing;
use crate::replace_file::{Access, replace_file};

/// Makes the key if there is none yet.
///
/// # Errors
/// It cannot be made or written.
pub(super) fn make_key(config: &mut Config) -> io::Result<()> {
    let Some(signing) = config
        .signing
        .as_ref()
        .filter(|signing| signing.signers.is_empty())
    else {
        return Ok(());
    };
    let folder = config.state_dir.as_ref();
    let folder = folder.ok_or_else(|| io::Error::other("there is no state_dir for the key"))?;
    let signer = Signer::generate(SigningAlgorithm::Es256).map_err(io::Error::other)?;
    let pem = signer.to_pem().map_err(io::Error::other)?;
    std::fs::create_dir_all(folder)?;
    let path = folder.join(OWN_KEY);
    replace_file(
        &path,
        &folder.join(format!(".{OWN_KEY}.new")),
        Access::Private,
        &pem,
    )?;
    tracing::info!(
        "made the key that signs tokens for gateways: {}",
        path.display()
    );
    config.signing = Some(Arc::new(Signing {
        signers: vec![Arc::new(signer)],
        ..Signing::clone(signing)
    }));
    Ok(())
}

/// Writes the public keys where the configuration wants them, if they are not there already. A failure is logged: gateways
/// still have the last set, and requests go on.
pub(super) fn publish(config: &Config) {
    let Some((signing, path)) = config
        .signing
        .as_ref()
        .and_then(|signing| Some((signing, signing.jwks_file.as_ref()?)))
    else {
        return;
    };
    let set = signing.jwks();
    if std::fs::read(path).is_ok_and(|before| before == set.as_bytes()) {
        return;
    }
    if let Err(error) = replace_file(path, &aside(path), Access::AsBefore, set.as_bytes()) {
        tracing::error!(
            "cannot write the keys for gateways to {}: {error}",
            path.display()
        );
    }
}

fn aside(path: &Path) -> std::path::PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".new");
    name.into()
}
