//! Files that a command writes for its user: complete or not there at all.

use std::fs::Permissions;
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use relabel::error::Error;
use tempfile::NamedTempFile;

/// A file in the making, under a name of its own beside the one that it will have.
pub struct NewFile<'a> {
    path: &'a Path,
    file: NamedTempFile,
}

impl<'a> NewFile<'a> {
    /// Begins a file, so that a folder that cannot be written is found before work begins.
    ///
    /// # Errors
    /// When the folder does not exist or cannot be written, or the name is a folder's.
    pub fn beside(path: &'a Path) -> Result<Self, Error> {
        if path.is_dir() {
            return Err(Error::Usage(format!("{} is a folder; name a file", path.display())));
        }
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        // What the user's mask leaves of it, as for any new file; temporary files are for their maker only.
        let for_all = Permissions::from_mode(0o666);
        let file = tempfile::Builder::new().prefix(".relabel-").permissions(for_all).tempfile_in(folder);
        // Its name is of no use to the reader.
        let file = file.map_err(|error| Error::file("write a file in", folder)(io::Error::from(error.kind())))?;
        Ok(Self { path, file })
    }

    /// The name that it will have.
    pub fn path(&self) -> &'a Path {
        self.path
    }

    /// Gives the file its name, in place of an older one.
    ///
    /// # Errors
    /// When that fails.
    pub fn complete(self) -> Result<(), Error> {
        let path = self.path;
        self.file.persist(path).map_err(|error| Error::file("write", path)(error.error))?;
        Ok(())
    }
}

impl Write for NewFile<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}
