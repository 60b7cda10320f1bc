// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! The virtual machine that demo, bench and tests boot. In: how many CPUs, how they are emulated.
//! Out: QEMU's arguments, or the whole command of an untraced boot. Never here: tracing.

use std::ffi::OsString;
use std::path::Path;
use std::process::{Command, Stdio};

/// The kernel's command line. A panic ends QEMU at once (with its `-no-reboot`), so that no test
/// waits for a dead kernel; `quiet` keeps the console for init's line and for what goes wrong.
pub const COMMAND_LINE: &str = "console=ttyS0 panic=-1 quiet";

/// A machine with nothing that the demo does not use.
#[derive(Clone, Debug)]
pub struct Machine {
    /// Virtual CPUs.
    pub cpus: u32,
    /// All of them in one host thread, in turn: what the witness needs for exact instruction counts.
    pub single_thread: bool,
    /// More arguments, such as a plugin.
    pub extra: Vec<OsString>,
}

impl Machine {
    /// A machine with one thread for each of its CPUs.
    pub fn with_cpus(cpus: u32) -> Self {
        Self { cpus, single_thread: false, extra: Vec::new() }
    }

    /// The same machine under icount: time is instructions, and boots repeat.
    pub fn icount(mut self) -> Self {
        self.extra.extend(["-icount", "shift=0,sleep=off"].map(OsString::from));
        self
    }

    /// QEMU's name and arguments, but for the kernel. The console is QEMU's stdout.
    pub fn qemu(&self) -> Vec<OsString> {
        let accel = if self.single_thread { "tcg,thread=single" } else { "tcg" };
        let cpus = self.cpus.to_string();
        let fixed = [
            "qemu-system-x86_64",
            "-M",
            "q35",
            "-cpu",
            "max",
            "-accel",
            accel,
            "-smp",
            &cpus,
            "-m",
            "512M",
            "-nodefaults",
            "-display",
            "none",
            "-serial",
            "stdio",
            "-no-reboot",
        ];
        fixed.into_iter().map(OsString::from).chain(self.extra.iter().cloned()).collect()
    }

    /// Boots `vmlinux` as it is.
    pub fn untraced(&self, vmlinux: &Path, initrd: &Path) -> Command {
        self.untraced_with(vmlinux, initrd, "")
    }

    /// The same, with more words on the kernel's command line.
    pub fn untraced_with(&self, vmlinux: &Path, initrd: &Path, words: &str) -> Command {
        let qemu = self.qemu();
        let mut command = Command::new(&qemu[0]);
        command.args(&qemu[1..]).arg("-kernel").arg(vmlinux).arg("-initrd").arg(initrd);
        let line = format!("{COMMAND_LINE} {words}");
        command.args(["-append", line.trim_end()]).stdin(Stdio::null());
        command
    }
}
