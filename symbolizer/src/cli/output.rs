// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! Where output goes: standard output, or a file that is whole or not there. In: a path. Out: writers. Never
//! here: what is written.

use std::io::{self, BufWriter, IsTerminal, Write};
use std::path::{Path, PathBuf};

use anyhow::Context;

/// An output being written.
pub struct Output {
    file: Option<(tempfile::NamedTempFile, PathBuf)>,
}

impl Output {
    /// Standard output, or a file. The file takes its place when it is whole ([`Output::done`]).
    pub fn open(path: Option<&Path>) -> anyhow::Result<Output> {
        let Some(path) = path.filter(|path| *path != Path::new("-")) else { return Ok(Output { file: None }) };
        anyhow::ensure!(!path.is_dir(), "{}: this is a directory; give a file", path.display());
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let file = tempfile::Builder::new().prefix(".symbolize").tempfile_in(parent);
        let file = file.with_context(|| format!("cannot write {}", path.display()))?;
        Ok(Output { file: Some((file, path.to_owned())) })
    }

    /// Whether it goes to a terminal.
    pub fn is_terminal(&self) -> bool {
        self.file.is_none() && io::stdout().is_terminal()
    }

    /// Whether it goes to standard output.
    pub fn is_stdout(&self) -> bool {
        self.file.is_none()
    }

    /// Where to write; to be flushed.
    pub fn writer(&self) -> anyhow::Result<Box<dyn Write>> {
        Ok(match &self.file {
            Some((file, _)) => Box::new(BufWriter::with_capacity(1 << 18, file.reopen()?)),
            None => Box::new(BufWriter::with_capacity(1 << 16, io::stdout().lock())),
        })
    }

    /// Writes a text with colours, which only a terminal gets. The stream that drops them writes piecemeal: so the
    /// text comes as a whole.
    pub fn text(&self, whole: &[u8]) -> anyhow::Result<()> {
        if self.is_stdout() {
            let mut out = anstream::stdout().lock();
            out.write_all(whole)?;
            out.flush()?;
        } else {
            let mut out = anstream::StripStream::new(self.writer()?);
            out.write_all(whole)?;
            out.flush()?;
        }
        Ok(())
    }

    /// All is written and flushed. The file that was written, if it is one.
    pub fn done(self) -> anyhow::Result<Option<PathBuf>> {
        let Some((file, path)) = self.file else { return Ok(None) };
        // A temporary file is its owner's alone; an output is as any other file.
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mask = rustix::process::umask(rustix::fs::Mode::empty());
            rustix::process::umask(mask);
            let mode = 0o666 & !mask.bits();
            file.as_file().set_permissions(std::fs::Permissions::from_mode(mode))?;
        }
        file.persist(&path).with_context(|| format!("cannot write {}", path.display()))?;
        Ok(Some(path))
    }
}
