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
    /// Most resident memory, as the kernel counts it: with the touched pages of mapped files.
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
    let (waited, usage, status, seconds, peak_anonymous_bytes) = std::thread::scope(|scope| {
        let watcher = scope.spawn(|| {
            let mut peak = 0;
            while !ended.load(Ordering::Relaxed) {
                peak = peak.max(anonymous_bytes(pid).unwrap_or(0));
                std::thread::sleep(Duration::from_millis(2));
            }
            peak
        });
        let mut status = 0;
        // SAFETY: rusage is a plain struct of integers, for which all zeros are valid.
        let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
        // SAFETY: both pointers are to live variables of the right types. The child is ours and is
        // waited for here only: `child` is never waited on, and std does not reap on drop.
        let waited = unsafe { libc::wait4(pid, &raw mut status, 0, &raw mut usage) };
        let seconds = start.elapsed().as_secs_f64();
        ended.store(true, Ordering::Relaxed);
        (waited, usage, status, seconds, watcher.join().unwrap_or(0))
    });
    if waited != pid {
        return Err(std::io::Error::last_os_error()).context("cannot wait for a child");
    }
    if status != 0 {
        bail!("{command:?}: wait status {status:#x}");
    }
    // In KiB there.
    let peak_bytes = u64::try_from(usage.ru_maxrss).unwrap_or(0) * 1024;
    Ok(Usage { seconds, peak_bytes, peak_anonymous_bytes })
}

fn anonymous_bytes(pid: libc::pid_t) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let value = status.lines().find_map(|line| line.strip_prefix("RssAnon:"))?;
    Some(value.trim().strip_suffix(" kB")?.parse::<u64>().ok()? * 1024)
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
}
