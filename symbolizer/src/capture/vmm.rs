// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! The virtual machine monitor's process, and when a recording is over. In: a command, a stop flag
//! that a signal handler may set, a time limit. Out: [`Ended`]. Never here: the guest's memory.

use super::CaptureError;
use crate::trace_dir::Ended;
use std::ffi::OsString;
use std::io::{Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How much of what it wrote to stderr is kept for an error message.
const STDERR_KEPT: usize = 4096;

/// After a polite request to stop, this long until it is killed.
const STOP_PATIENCE: Duration = Duration::from_secs(5);

/// So full may a ring be until its guest is halted: there must be time to do so, on a busy machine.
pub const BRAKE: f64 = 0.25;

/// A running virtual machine monitor. Dropping it kills the process: an error in the recorder must
/// not leave a guest behind.
pub struct Vmm {
    child: Child,
    program: String,
    stderr: Arc<Mutex<Vec<u8>>>,
    reader: Option<JoinHandle<()>>,
    status: Option<ExitStatus>,
}

impl Vmm {
    /// Starts `command` with `added` arguments behind its own. Input and output are the user's;
    /// what it writes to stderr goes to `echo`, and its end is kept.
    ///
    /// # Errors
    /// [`CaptureError::Spawn`].
    pub fn spawn(
        command: &[OsString],
        added: &[OsString],
        mut echo: impl Write + Send + 'static,
    ) -> Result<Vmm, CaptureError> {
        let program = command.first().map(PathBuf::from).unwrap_or_default();
        let arguments = command.iter().skip(1).chain(added);
        let mut child = Command::new(&program)
            .args(arguments)
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|cause| CaptureError::Spawn { program: program.clone(), cause })?;
        let stderr = Arc::new(Mutex::new(Vec::new()));
        let reader = child.stderr.take().map(|mut pipe| {
            let kept = Arc::clone(&stderr);
            std::thread::spawn(move || {
                let mut buffer = [0; 1024];
                while let Ok(count @ 1..) = pipe.read(&mut buffer) {
                    // The terminal may be gone; the recording goes on.
                    let _ = echo.write_all(&buffer[..count]).and_then(|()| echo.flush());
                    if let Ok(mut kept) = kept.lock() {
                        kept.extend_from_slice(&buffer[..count]);
                        let excess = kept.len().saturating_sub(STDERR_KEPT);
                        kept.drain(..excess);
                    }
                }
            })
        });
        Ok(Vmm { child, program: program.display().to_string(), stderr, reader, status: None })
    }

    /// Its exit status once it has ended.
    ///
    /// # Errors
    /// [`CaptureError::Watch`].
    pub fn poll(&mut self) -> Result<Option<ExitStatus>, CaptureError> {
        if self.status.is_none() {
            self.status = self.child.try_wait().map_err(|cause| CaptureError::Watch { action: "wait for", cause })?;
        }
        Ok(self.status)
    }

    /// Asks it to end, as Ctrl-C would.
    pub fn stop(&self) {
        self.signal(rustix::process::Signal::TERM);
    }

    /// Halts it where it is, or lets it go on.
    fn hold(&self, on: bool) {
        self.signal(if on { rustix::process::Signal::STOP } else { rustix::process::Signal::CONT });
    }

    /// Ends it.
    pub fn kill(&self) {
        self.signal(rustix::process::Signal::KILL);
    }

    fn signal(&self, signal: rustix::process::Signal) {
        // Not waited for yet, so the number is still this process's. It may have ended: then there is
        // nothing to stop.
        if self.status.is_none() {
            let _ = rustix::process::kill_process(rustix::process::Pid::from_child(&self.child), signal);
        }
    }

    /// The end of what it wrote to stderr.
    pub fn stderr(&mut self) -> String {
        // The pipe ends with the process, unless a child of its holds it: do not wait for that.
        let waited = Instant::now();
        while self.reader.as_ref().is_some_and(|reader| !reader.is_finished())
            && waited.elapsed() < Duration::from_millis(300)
        {
            std::thread::sleep(Duration::from_millis(5));
        }
        let kept = self.stderr.lock().map(|kept| kept.clone()).unwrap_or_default();
        String::from_utf8_lossy(&kept).trim_end().to_string()
    }

    /// The error for a program that ended before its guest ran.
    pub fn refused(&mut self, status: ExitStatus) -> CaptureError {
        let stderr = self.stderr();
        let stderr = if stderr.is_empty() { "(nothing)".into() } else { stderr };
        CaptureError::Refused { program: self.program.clone(), status: describe(status), stderr }
    }

    fn ended(&mut self, status: ExitStatus) -> Ended {
        if status.success() {
            return Ended::PowerOff;
        }
        let stderr = self.stderr();
        let said = stderr.lines().last().map(|line| format!(": {line}")).unwrap_or_default();
        Ended::Died { detail: format!("{} {}{said}", self.program, describe(status)) }
    }
}

impl Drop for Vmm {
    fn drop(&mut self) {
        if self.status.is_none() {
            self.kill();
            let _ = self.child.wait();
        }
    }
}

fn describe(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("ended with code {code}"),
        (None, Some(signal)) => format!("was killed by signal {signal}"),
        (None, None) => "ended".into(),
    }
}

/// Tells when a recording is over.
pub struct Watch {
    vmm: Option<Vmm>,
    signals: Arc<AtomicUsize>,
    limit: Option<Duration>,
    began: Instant,
    stopping: Option<(String, Instant)>,
    brakes: bool,
    held: bool,
}

impl Watch {
    /// Watches `vmm`, or nothing when attached to a guest that somebody else runs. `signals` counts the
    /// requests to stop; the second one is not polite any more.
    pub fn new(vmm: Option<Vmm>, signals: Arc<AtomicUsize>, limit: Option<Duration>) -> Watch {
        Watch { vmm, signals, limit, began: Instant::now(), stopping: None, brakes: false, held: false }
    }

    /// The same; [`Watch::brake`] works.
    pub fn with_brake(self) -> Watch {
        Watch { brakes: true, ..self }
    }

    /// Halts the process while its guest's fullest ring is filled more than [`BRAKE`]: under icount no time passes for
    /// the guest then, as it would if it waited itself.
    pub fn brake(&mut self, fill: f64) {
        let wanted = self.brakes && fill > BRAKE;
        if let Some(vmm) = self.vmm.as_ref().filter(|_| wanted != self.held) {
            vmm.hold(wanted);
            self.held = wanted;
        }
    }

    /// The process, if there is one.
    pub fn vmm(&mut self) -> Option<&mut Vmm> {
        self.vmm.as_mut()
    }

    /// How it ended, once it has.
    ///
    /// # Errors
    /// [`CaptureError::Watch`].
    pub fn poll(&mut self) -> Result<Option<Ended>, CaptureError> {
        let signals = self.signals.load(Ordering::Relaxed);
        let Some(vmm) = &mut self.vmm else {
            return Ok(self.reason(signals).map(|detail| Ended::Stopped { detail }));
        };
        let status = vmm.poll()?;
        if let Some(status) = status {
            // Ctrl-C goes to the monitor as well: the flag may be up although nobody has asked yet.
            return Ok(Some(match (&self.stopping, self.reason(signals)) {
                (Some((detail, _)), _) => Ended::Stopped { detail: detail.clone() },
                (None, Some(detail)) => Ended::Stopped { detail },
                (None, None) => match &mut self.vmm {
                    Some(vmm) => vmm.ended(status),
                    None => Ended::PowerOff,
                },
            }));
        }
        if let Some((_, since)) = &self.stopping {
            if since.elapsed() > STOP_PATIENCE || signals > 1 {
                vmm.kill();
            }
        } else if let Some(detail) = self.reason(signals) {
            if let Some(vmm) = &self.vmm {
                vmm.stop();
            }
            self.stopping = Some((detail, Instant::now()));
        }
        Ok(None)
    }

    /// Why to stop, if there is a reason.
    fn reason(&self, signals: usize) -> Option<String> {
        if signals > 0 {
            return Some("by a signal".into());
        }
        let limit = self.limit.filter(|&limit| self.began.elapsed() >= limit)?;
        Some(format!("time limit of {} s", limit.as_secs_f64()))
    }
}
