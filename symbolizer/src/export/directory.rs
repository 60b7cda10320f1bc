// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! A directory that is whole or not there. In: its path. Out: a place to write its files, which takes the path
//! when all are written. Never here: what is in the files.

use std::fs::Permissions;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

/// A directory being written; dropped before [`Directory::done`], nothing is left of it.
#[derive(Debug)]
pub struct Directory {
    files: TempDir,
    path: PathBuf,
}

impl Directory {
    /// To stand at `path`, where nothing is, or an empty directory.
    ///
    /// # Errors
    /// [`io::ErrorKind::AlreadyExists`], and those of its making.
    pub fn new(path: PathBuf) -> io::Result<Directory> {
        let told = |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", path.display()));
        match std::fs::read_dir(&path).map(|mut entries| entries.next().is_some()) {
            Ok(true) => {
                let text = format!("{}: there is a directory with files; remove it, or name another", path.display());
                return Err(io::Error::new(io::ErrorKind::AlreadyExists, text));
            }
            Ok(false) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(told(error)),
        }
        // A link stays one; and "." has a name.
        let path = std::fs::canonicalize(&path).unwrap_or(path);
        let told = |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", path.display()));
        if std::env::current_dir().is_ok_and(|here| here == path) {
            return Err(told(io::Error::new(io::ErrorKind::ResourceBusy, "the current directory cannot be replaced")));
        }
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let mut builder = tempfile::Builder::new();
        // A temporary directory is its owner's alone; an output is as any other (less the umask).
        builder.prefix(".symbolize").permissions(Permissions::from_mode(0o777));
        let files = builder.tempdir_in(parent).map_err(told)?;
        Ok(Directory { files, path })
    }

    /// Where to write for now.
    pub fn path(&self) -> &Path {
        self.files.path()
    }

    /// All files are written: it takes its place.
    ///
    /// # Errors
    /// Of the renaming.
    pub fn done(&mut self) -> io::Result<()> {
        std::fs::rename(self.files.path(), &self.path)
            .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", self.path.display())))?;
        self.files.disable_cleanup(true);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_is_whole_or_not_there() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("out");
        drop(Directory::new(path.clone()).unwrap());
        assert_eq!(std::fs::read_dir(place.path()).unwrap().count(), 0, "nothing is left");
        let mut directory = Directory::new(path.clone()).unwrap();
        std::fs::write(directory.path().join("a"), "a").unwrap();
        assert!(!path.exists());
        directory.done().unwrap();
        drop(directory);
        assert_eq!(std::fs::read(path.join("a")).unwrap(), b"a");
        let error = Directory::new(path).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(std::fs::read_dir(place.path()).unwrap().count(), 1);
    }
}
