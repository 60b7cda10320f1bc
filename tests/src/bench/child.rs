// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! Runs a process and measures it. In: a command. Out: its time and its memory at the peak. Never
//! here: what it prints.

use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// What a process used.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Usage {
    /// From start to end.
    pub seconds: f64,
    /// Most resident memory, as the kernel counts it: with the touched pages of mapped files. What comes in the
    /// last two milliseconds may be missing.
    pub peak_bytes: u64,
    /// Most resident memory without files, as seen by looking often.
    pub peak_anonymous_bytes: u64,
}

/// Runs `command` to its end.
///
/// # Errors
/// When it cannot be started or fails.
pub fn measure(command: &mut Command) -> Result<Usage> {
    let start = Instant::now();
    let child = command.spawn().with_context(|| format!("cannot run {command:?}"))?;
    let pid = libc::pid_t::try_from(child.id()).context("a pid is a pid_t")?;
    let ended = AtomicBool::new(false);
    let (waited, usage, status, seconds, [peak, peak_anonymous_bytes]) = std::thread::scope(|scope| {
        let watcher = scope.spawn(|| {
            let mut peaks = [0; 2];
            while !ended.load(Ordering::Relaxed) {
                let now = bytes(pid, ["VmHWM:", "RssAnon:"]);
                peaks = [peaks[0].max(now[0]), peaks[1].max(now[1])];
                std::thread::sleep(Duration::from_millis(2));
            }
            peaks
        });
        let mut status = 0;
        // SAFETY: rusage is a plain struct of integers, for which all zeros are valid.
        let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
        // SAFETY: both pointers are to live variables of the right types. The child is ours and is
        // waited for here only: `child` is never waited on, and std does not reap on drop.
        let waited = unsafe { libc::wait4(pid, &raw mut status, 0, &raw mut usage) };
        let seconds = start.elapsed().as_secs_f64();
        ended.store(true, Ordering::Relaxed);
        (waited, usage, status, seconds, watcher.join().unwrap_or_default())
    });
    if waited != pid {
        return Err(std::io::Error::last_os_error()).context("cannot wait for a child");
    }
    if status != 0 {
        bail!("{command:?}: wait status {status:#x}");
    }
    // `ru_maxrss` (in KiB) counts what we ourselves have had when the child was made, a whole vmlinux: only for a
    // child that was gone before it could be looked at.
    let peak_bytes = if peak > 0 { peak } else { u64::try_from(usage.ru_maxrss).unwrap_or(0) * 1024 };
    Ok(Usage { seconds, peak_bytes, peak_anonymous_bytes })
}

/// These fields of a process's status, 0 where it has none (any more).
fn bytes(pid: libc::pid_t, fields: [&str; 2]) -> [u64; 2] {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    fields.map(|field| {
        let value = status.lines().find_map(|line| line.strip_prefix(field)?.trim().strip_suffix(" kB")?.parse().ok());
        value.map_or(0, |kib: u64| kib * 1024)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_has_a_peak_and_a_failure_is_an_error() {
        let usage = measure(&mut Command::new("true")).expect("true succeeds");
        assert!(usage.peak_bytes > 0);
        assert!(measure(&mut Command::new("false")).is_err());
    }

    #[test]
    fn our_own_memory_is_not_the_childs() {
        let ours = vec![1u8; 256 << 20];
        let usage = measure(Command::new("sleep").arg("0.2")).expect("sleep succeeds");
        assert!(usage.peak_bytes > 0 && usage.peak_bytes < ours.len() as u64 / 4, "{usage:?}");
        assert!(std::hint::black_box(&ours).iter().all(|&byte| byte == 1));
    }
}
