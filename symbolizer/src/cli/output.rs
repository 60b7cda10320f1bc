// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! Where output goes: standard output, or a file that is whole or not there. In: a path. Out: writers. Never
//! here: what is written.

use std::fs::Permissions;
use std::io::{self, BufWriter, IsTerminal, Write};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::Context;

/// Whether it is of a pipe that its reader has closed.
pub fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        let io = cause.downcast_ref::<io::Error>().map(io::Error::kind);
        let json = cause.downcast_ref::<serde_json::Error>().and_then(serde_json::Error::io_error_kind);
        io.or(json) == Some(io::ErrorKind::BrokenPipe)
    })
}

/// The same, and no error if only its reader has seen enough: what the exit code says is true all the same.
pub fn seen_enough(written: anyhow::Result<()>) -> anyhow::Result<()> {
    written.or_else(|error| if is_broken_pipe(&error) { Ok(()) } else { Err(error) })
}

/// An output being written.
pub struct Output {
    to: To,
}

enum To {
    Stdout,
    /// A device, a pipe: what stands there stays what it is.
    Special(std::fs::File),
    /// A file beside, which takes this place when it is whole.
    File(tempfile::NamedTempFile, PathBuf),
}

impl Output {
    /// Standard output, or a file. The file takes its place when it is whole ([`Output::done`]).
    pub fn open(path: Option<&Path>) -> anyhow::Result<Output> {
        let Some(path) = path.filter(|path| *path != Path::new("-")) else { return Ok(Output { to: To::Stdout }) };
        let told = || format!("cannot write {}", path.display());
        anyhow::ensure!(!path.is_dir(), "{}: this is a directory; give a file", path.display());
        if std::fs::metadata(path).is_ok_and(|found| !found.is_file()) {
            let file = std::fs::OpenOptions::new().write(true).open(path).with_context(told)?;
            return Ok(Output { to: To::Special(file) });
        }
        // A link stays one: what it names is replaced.
        let path = std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let trace =
            ["meta.json", "index.eft"].iter().any(|name| path.ends_with(name)) && parent.join("cpu0.eft").exists();
        anyhow::ensure!(!trace, "{}: this is part of a trace; name another file", path.display());
        let mut builder = tempfile::Builder::new();
        // A temporary file is its owner's alone; an output is as any other file (less the umask).
        builder.prefix(".symbolize").permissions(Permissions::from_mode(0o666));
        let file = builder.tempfile_in(parent).with_context(told)?;
        Ok(Output { to: To::File(file, path) })
    }

    /// Whether it goes to a terminal.
    pub fn is_terminal(&self) -> bool {
        match &self.to {
            To::Stdout => io::stdout().is_terminal(),
            To::Special(file) => file.is_terminal(),
            To::File(..) => false,
        }
    }

    /// Whether it goes to standard output.
    pub fn is_stdout(&self) -> bool {
        matches!(self.to, To::Stdout)
    }

    /// Where to write; to be flushed.
    pub fn writer(&self) -> anyhow::Result<Box<dyn Write>> {
        Ok(match &self.to {
            To::File(file, _) => Box::new(BufWriter::with_capacity(1 << 18, file.reopen()?)),
            To::Special(file) => Box::new(BufWriter::with_capacity(1 << 16, file.try_clone()?)),
            To::Stdout => Box::new(BufWriter::with_capacity(1 << 16, io::stdout().lock())),
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

    /// Writes what is there as a whole, and has no colours.
    pub fn bytes(&self, whole: &[u8]) -> anyhow::Result<()> {
        let mut out = self.writer()?;
        out.write_all(whole)?;
        Ok(out.flush()?)
    }

    /// All is written and flushed. The file that was written, if it is one.
    pub fn done(self) -> anyhow::Result<Option<PathBuf>> {
        let To::File(file, path) = self.to else { return Ok(None) };
        file.persist(&path).with_context(|| format!("cannot write {}", path.display()))?;
        Ok(Some(path))
    }
}
