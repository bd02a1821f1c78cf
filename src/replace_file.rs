//! Replaces a file in one step: after a crash it has its old content or the new one, never a part.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// Who may read and write the new file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    /// Its owner alone.
    Private,
    /// Whoever could before; for a new file, whom the process's umask allows.
    AsBefore,
}

/// Writes the content to `aside`, a file in the same folder, and gives it the name of `path`. Both are on the disk then.
///
/// # Errors
/// `path` is as it was.
pub(crate) fn replace_file(
    path: &Path,
    aside: &Path,
    access: Access,
    content: &[u8],
) -> io::Result<()> {
    // An earlier attempt may have left the file. It is removed and created anew, so that we neither follow a link of
    // that name nor keep another mode.
    match fs::remove_file(aside) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let write = || {
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        if access == Access::Private {
            options.mode(0o600);
        }
        let mut file = options.open(aside)?;
        if access == Access::AsBefore
            && let Ok(before) = fs::metadata(path)
        {
            file.set_permissions(before.permissions())?;
        }
        file.write_all(content)?;
        file.sync_all()?;
        fs::rename(aside, path)?;
        // The rename is in the folder: without this it might not survive a power failure.
        let folder = path.parent().filter(|f| !f.as_os_str().is_empty());
        File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
    };
    write().inspect_err(|_| {
        // What failed is reported; a rest of it is only untidy.
        let _ = fs::remove_file(aside);
    })
}
