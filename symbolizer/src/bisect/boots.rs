// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! One boot: `symbolize record` in a process of its own, and what is kept of its trace. In: a vmlinux, the user's
//! virtual machine. Out: a [`Boot`], or why it did not reach its power-off. Never here: what it means.

use std::ffi::OsString;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use kernel_config::build::tail;

use super::BisectError;
use super::build::room;
use super::child::Hands;
use crate::compare::boot::Boot;
use crate::report::style::printable;
use crate::trace_dir::{Ended, Meta};

/// The recorder stops by itself at the time limit; it gets so long to write what it has.
const GRACE: Duration = Duration::from_secs(60);

/// What is shown of the end of a log.
const SHOWN: usize = 200;

/// What makes a kept boot of a trace: trace, vmlinux, what to call it.
pub type Reader<'a> = dyn Fn(&Path, &Path, &str) -> Result<Boot, String> + 'a;

/// How kernels are booted.
pub struct Booter<'a> {
    /// This program.
    pub symbolize: PathBuf,
    /// The kernel's command line.
    pub append: String,
    /// Initial RAM disk.
    pub initrd: Option<PathBuf>,
    /// Time is instructions.
    pub deterministic: bool,
    /// More arguments of `symbolize record`.
    pub record: Vec<OsString>,
    /// The virtual machine: QEMU and its arguments.
    pub command: Vec<OsString>,
    /// Traces stay where they are.
    pub keep_traces: bool,
    /// Reads a trace.
    pub read: &'a Reader<'a>,
}

/// A reason that begins so is none of the kernel's: it may have booted.
pub const UNREAD: &str = "its trace cannot be read: ";

/// A reason for that there is no boot, as the user is told it.
pub fn told(why: &str) -> String {
    if why.starts_with(UNREAD) { why.to_owned() } else { format!("does not boot: {why}") }
}

/// What became of a boot.
pub enum Outcome {
    /// It reached its power-off.
    Boot(Box<Boot>),
    /// It did not, or its trace cannot be read ([`UNREAD`]): the reason in a line.
    No(String),
}

impl Booter<'_> {
    /// In words: what decides on the result, beside the kernel.
    pub fn settings(&self) -> String {
        let words = |words: &[OsString]| words.iter().map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ");
        // Another file at the same path is another initrd.
        let initrd = self.initrd.as_ref().map(|path| {
            let told = path.metadata().ok().and_then(|told| Some((told.len(), told.modified().ok()?)));
            let when = told.map(|(size, time)| (size, time.duration_since(std::time::UNIX_EPOCH).unwrap_or_default()));
            format!("{} {when:?}", path.display())
        });
        format!(
            "boot: {}, append '{}', initrd {}, record {}, {}\n",
            if self.deterministic { "deterministic" } else { "real time" },
            self.append,
            initrd.unwrap_or_else(|| "none".to_owned()),
            words(&self.record),
            words(&self.command)
        )
    }

    /// Boots `vmlinux`; trace and log lie in `dir` under names with `number`.
    ///
    /// # Errors
    /// When it cannot be told whether it boots.
    pub fn boot(
        &self,
        vmlinux: &Path,
        name: &str,
        (dir, number): (&Path, usize),
        limit: Duration,
        hands: &Hands,
    ) -> Result<Outcome, BisectError> {
        let (trace, log) = (dir.join(format!("trace-{number}")), dir.join(format!("record-{number}.log")));
        if trace.exists() {
            std::fs::remove_dir_all(&trace).map_err(BisectError::io("remove", &trace))?;
        }
        let outcome = self.record(vmlinux, name, (&trace, &log), limit, hands);
        if !self.keep_traces {
            let _ = std::fs::remove_dir_all(&trace);
        }
        // A full disk is no property of a kernel.
        if let Ok(Outcome::No(_)) = outcome {
            room(dir)?;
        }
        outcome
    }

    fn record(
        &self,
        vmlinux: &Path,
        name: &str,
        (trace, log): (&Path, &Path),
        limit: Duration,
        hands: &Hands,
    ) -> Result<Outcome, BisectError> {
        let file = File::create(log).map_err(BisectError::io("write", log))?;
        let mut command = Command::new(&self.symbolize);
        command.arg("record").arg("--vmlinux").arg(vmlinux).arg("-o").arg(trace);
        command.arg("--append").arg(&self.append).arg("--timeout").arg(limit.as_secs().max(1).to_string());
        if let Some(initrd) = &self.initrd {
            command.arg("--initrd").arg(initrd);
        }
        if self.deterministic {
            command.arg("--deterministic");
        }
        command.args(&self.record).arg("--").args(&self.command);
        command.stdout(file.try_clone().map_err(BisectError::io("write", log))?).stderr(file);
        let status = match hands.run(&mut command, Some(limit + GRACE)) {
            Err(error) if error.kind() == std::io::ErrorKind::TimedOut => {
                return Ok(Outcome::No(format!("the recorder did not end within {} s", (limit + GRACE).as_secs())));
            }
            other => other.map_err(BisectError::io("run", &self.symbolize))?,
        };
        if !status.success() {
            return Ok(Outcome::No(last_line(log)));
        }
        Ok(self.kept(trace, vmlinux, name, log))
    }

    fn kept(&self, trace: &Path, vmlinux: &Path, name: &str, log: &Path) -> Outcome {
        let unread = |why: String| Outcome::No(format!("{UNREAD}{}", printable(&why)));
        let meta = match Meta::read(trace) {
            Ok(meta) => meta,
            Err(error) => return unread(error.to_string()),
        };
        match &meta.ended {
            Some(Ended::PowerOff) => {}
            Some(Ended::Stopped { detail } | Ended::Died { detail }) => {
                return Outcome::No(format!("{}: {}", printable(detail), last_phase(&meta)));
            }
            None => return Outcome::No("the recording has no end".to_owned()),
        }
        // A panic with panic=-1 and QEMU's -no-reboot looks like a power-off from outside.
        if !meta.phases.iter().any(|(name, _)| name == bootlevel::Phase::Shutdown.name()) {
            let said = panic_of(log).unwrap_or_else(|| "it did not power off by itself".to_owned());
            return Outcome::No(format!("{said}: {}", last_phase(&meta)));
        }
        (self.read)(trace, vmlinux, name).map_or_else(unread, |boot| Outcome::Boot(Box::new(boot)))
    }
}

/// How far it came.
fn last_phase(meta: &Meta) -> String {
    match meta.phases.last() {
        Some((name, _)) => format!("it came as far as '{}'", printable(name)),
        None => "nothing of it ran".to_owned(),
    }
}

/// What the kernel says of its panic on its console, which is in the log if it is QEMU's standard output.
fn panic_of(log: &Path) -> Option<String> {
    let text = tail(log, 400);
    let line = text.lines().find(|line| line.contains("Kernel panic"))?;
    let line = line.get(line.find("Kernel panic")?..)?;
    Some(printable(line.trim()).chars().take(SHOWN).collect())
}

fn last_line(log: &Path) -> String {
    let text = tail(log, 20);
    let line = text.lines().rev().find(|line| line.starts_with("symbolize: ")).or_else(|| text.lines().last());
    printable(line.unwrap_or("it said nothing").trim()).chars().take(SHOWN).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;
    use std::sync::Arc;

    #[test]
    fn no_way_out_leaves_a_trace_behind() {
        let dir = tempfile::tempdir().unwrap();
        let symbolize = dir.path().join("record.sh");
        let read: &Reader<'_> = &|_, _, _| Err("not reached".to_owned());
        // The output is the fifth word of the command.
        for (end, why) in [("exit 1", "no guest"), ("exit 0", UNREAD), ("sleep 100", "did not end within")] {
            let script = format!("#!/bin/sh\nmkdir \"$5\"; echo symbolize: no guest; {end}\n");
            std::fs::write(&symbolize, script).unwrap();
            std::fs::set_permissions(&symbolize, std::fs::Permissions::from_mode(0o755)).unwrap();
            let booter = Booter {
                symbolize: symbolize.clone(),
                append: String::new(),
                initrd: None,
                deterministic: true,
                record: Vec::new(),
                command: vec!["qemu".into()],
                keep_traces: end == "exit 1",
                read,
            };
            let hands = Hands::new(Arc::default(), dir.path());
            if end.starts_with("sleep") {
                let stopped = Hands::new(Arc::new(1.into()), dir.path());
                let stop = booter.boot(Path::new("vmlinux"), "a", (dir.path(), 1), Duration::ZERO, &stopped);
                assert!(matches!(stop, Err(BisectError::Stopped)));
            } else {
                let outcome = booter.boot(Path::new("vmlinux"), "a", (dir.path(), 1), Duration::ZERO, &hands);
                let Ok(Outcome::No(said)) = outcome else { panic!("no boot") };
                assert!(said.contains(why), "{said}");
            }
            assert_eq!(dir.path().join("trace-1").exists(), booter.keep_traces);
        }
    }
}
