// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! The debug port of a guest under QEMU, as a pipe. In: a directory for the pipe. Out: QEMU's arguments for the device,
//! and its bytes, to a [`Recorder`]. Never here: what the bytes mean.
//!
//! QEMU's isa-debugcon writes each byte as the guest does, and waits while the pipe is full: nothing is lost, and the
//! guest stands still meanwhile.

use super::CaptureError;
use super::stream::Recorder;
use crate::trace_dir::Ended;
use early_ftrace_format::shared::DEBUG_PORT;
use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How long to sleep when nothing has come: a pipe of 64 KiB takes a guest longer to fill.
const SLEEP: Duration = Duration::from_millis(1);

/// How often `tick` is called, and blocks that wait are written.
const TICK: Duration = Duration::from_millis(200);

/// Bytes read at once.
const PIECE: usize = 1 << 16;

/// The pipe.
pub struct Port {
    path: PathBuf,
    file: File,
}

impl Port {
    /// Makes it in `dir`.
    ///
    /// # Errors
    /// [`CaptureError::Port`].
    pub fn make(dir: &Path) -> Result<Port, CaptureError> {
        let path = dir.join("port");
        let fail = |action, cause| CaptureError::Port { path: path.clone(), action, cause };
        let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
        rustix::fs::mknodat(rustix::fs::CWD, &path, rustix::fs::FileType::Fifo, mode, 0)
            .map_err(|e| fail("make", e.into()))?;
        // A pipe without a writer is opened at once only so.
        let flags = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
        let file = OpenOptions::new().read(true).custom_flags(flags).open(&path);
        let file = file.map_err(|e| fail("open", e))?;
        Ok(Port { path, file })
    }

    /// QEMU's arguments for the device.
    pub fn arguments(&self) -> Vec<OsString> {
        let mut pipe = OsString::from("file,id=hgport,path=");
        pipe.push(super::qemu_args::escaped(&self.path));
        let device = format!("isa-debugcon,iobase={DEBUG_PORT:#x},chardev=hgport");
        vec!["-chardev".into(), pipe, "-device".into(), device.into()]
    }

    /// Reads until `over` says how it ended; it is called every few milliseconds, and `tick` a few times a second.
    ///
    /// # Errors
    /// When the pipe cannot be read, the trace cannot be written, or `over` fails. Call [`Recorder::finish`] all the
    /// same.
    pub fn record(
        &mut self,
        recorder: &mut Recorder,
        mut over: impl FnMut() -> Result<Option<Ended>, CaptureError>,
        mut tick: impl FnMut(&mut Recorder, Duration),
    ) -> Result<Ended, CaptureError> {
        let began = Instant::now();
        let (mut ticked, mut looked) = (began, began);
        let mut buffer = vec![0; PIECE];
        loop {
            let idle = self.read(recorder, &mut buffer)? == 0;
            if idle || looked.elapsed() >= TICK {
                looked = Instant::now();
                if let Some(ended) = over()? {
                    // What it wrote last.
                    while self.read(recorder, &mut buffer)? > 0 {}
                    return Ok(ended);
                }
            }
            if ticked.elapsed() >= TICK {
                ticked = Instant::now();
                if let Some(writer) = recorder.writer() {
                    writer.flush_idle()?;
                }
                tick(recorder, began.elapsed());
            }
            if idle {
                std::thread::sleep(SLEEP);
            }
        }
    }

    /// Bytes taken; 0 if there are none now.
    fn read(&mut self, recorder: &mut Recorder, buffer: &mut [u8]) -> Result<usize, CaptureError> {
        match self.file.read(buffer) {
            Ok(count) => {
                let bytes = buffer.get(..count).unwrap_or_default();
                recorder.push_bytes(bytes)?;
                Ok(count)
            }
            Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => Ok(0),
            Err(cause) => Err(CaptureError::Port { path: self.path.clone(), action: "read", cause }),
        }
    }
}
