// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! Other programs that work for a bisection: builds, boots, the user's commands. In: a command, a flag that a signal
//! handler sets, a time limit. Out: its exit status. Each has a process group of its own, so that nothing of it is
//! left when it is stopped; and a mark in its environment, by which one who comes after a `kill -9` finds what it
//! left behind. Never here: what the programs are for.

use std::io;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal};

/// In the environment of each of them: the directory of the bisection.
const MARK: &str = "EFT_BISECT_WORK";

/// After a polite request to stop, this long until it is killed.
const PATIENCE: Duration = Duration::from_secs(10);

/// How often it is looked at.
const LOOK: Duration = Duration::from_millis(20);

/// Starts programs and waits for them.
#[derive(Clone, Debug)]
pub struct Hands {
    /// Counts requests to stop; the second one is not polite any more.
    stop: Arc<AtomicUsize>,
    work: PathBuf,
}

impl Hands {
    /// For a bisection in `work`, an absolute path.
    pub fn new(stop: Arc<AtomicUsize>, work: &Path) -> Hands {
        Hands { stop, work: work.to_owned() }
    }

    /// Whether the user wants it to stop.
    pub fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed) > 0
    }

    /// Runs it to its end, or to the limit.
    ///
    /// # Errors
    /// [`io::ErrorKind::Interrupted`] when it was stopped, [`io::ErrorKind::TimedOut`] at the limit; others when it
    /// cannot be run.
    pub fn run(&self, command: &mut Command, limit: Option<Duration>) -> io::Result<ExitStatus> {
        if self.stopped() {
            return Err(io::ErrorKind::Interrupted.into());
        }
        let mut child = command.env(MARK, &self.work).stdin(Stdio::null()).process_group(0).spawn()?;
        let began = Instant::now();
        loop {
            if has_ended(&child)? {
                // What it has left running would work on for nobody. Before its ID is free for another one.
                let _ = rustix::process::kill_process_group(Pid::from_child(&child), Signal::KILL);
                let status = child.wait()?;
                // It may have been the user's Ctrl-C that has ended it.
                return if self.stopped() { Err(io::ErrorKind::Interrupted.into()) } else { Ok(status) };
            }
            let late = limit.is_some_and(|limit| began.elapsed() > limit);
            if self.stopped() || late {
                self.end(&mut child)?;
                return Err(if late { io::ErrorKind::TimedOut } else { io::ErrorKind::Interrupted }.into());
            }
            thread::sleep(LOOK);
        }
    }

    fn end(&self, child: &mut Child) -> io::Result<()> {
        let group = Pid::from_child(child);
        // All may have ended by themselves: then there is nothing to end.
        let _ = rustix::process::kill_process_group(group, Signal::TERM);
        let began = Instant::now();
        while !has_ended(child)? {
            if began.elapsed() > PATIENCE || self.stop.load(Ordering::Relaxed) > 1 {
                break;
            }
            thread::sleep(LOOK);
        }
        let _ = rustix::process::kill_process_group(group, Signal::KILL);
        child.wait().map(drop)
    }

    /// Ends what an earlier bisection in the same directory has left behind, when it was killed itself. The caller
    /// has made sure that there is no other one.
    pub fn end_leftovers(&self) {
        let began = Instant::now();
        loop {
            let left = left_behind(&self.work);
            if left.is_empty() {
                return;
            }
            let signal = if began.elapsed() > PATIENCE { Signal::KILL } else { Signal::TERM };
            for pid in left {
                let _ = rustix::process::kill_process(pid, signal);
            }
            if began.elapsed() > PATIENCE * 2 {
                return;
            }
            thread::sleep(LOOK * 5);
        }
    }
}

/// Whether it has; it is not waited for, so that its ID and its group's stay its own.
fn has_ended(child: &Child) -> io::Result<bool> {
    use rustix::process::{WaitId, WaitIdOptions, waitid};
    let look = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    Ok(waitid(WaitId::Pid(Pid::from_child(child)), look)?.is_some())
}

/// Processes with our mark and this directory in it.
fn left_behind(work: &Path) -> Vec<Pid> {
    use std::os::unix::ffi::OsStrExt as _;
    let Ok(entries) = std::fs::read_dir("/proc") else { return Vec::new() };
    let wanted = [MARK.as_bytes(), b"=", work.as_os_str().as_bytes()].concat();
    let pids = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    pids.filter(|&pid| pid != std::process::id() as i32)
        .filter(|pid| {
            let environment = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
            environment.split(|&byte| byte == 0).any(|variable| variable == wanted)
        })
        .filter_map(Pid::from_raw)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(text: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", text]);
        command
    }

    #[test]
    fn what_is_stopped_leaves_nothing_behind() {
        let dir = tempfile::tempdir().unwrap();
        let stop = Arc::new(AtomicUsize::new(0));
        let hands = Hands::new(Arc::clone(&stop), dir.path());
        assert_eq!(hands.run(&mut shell("exit 7"), None).unwrap().code(), Some(7));
        // Nor does one that ends by itself.
        assert_eq!(hands.run(&mut shell("sleep 1000 & exit 3"), None).unwrap().code(), Some(3));
        let limit = Some(Duration::from_millis(50));
        let late = hands.run(&mut shell("sleep 1000 & sleep 1000"), limit).unwrap_err();
        assert_eq!(late.kind(), io::ErrorKind::TimedOut);
        let stopper = thread::spawn(move || {
            thread::sleep(Duration::from_millis(50));
            stop.fetch_add(1, Ordering::Relaxed);
        });
        let stopped = hands.run(&mut shell("sleep 1000 & sleep 1000"), None).unwrap_err();
        assert_eq!(stopped.kind(), io::ErrorKind::Interrupted);
        stopper.join().unwrap();
        // They have been killed; that they are gone may take the kernel a moment.
        let began = Instant::now();
        while !left_behind(dir.path()).is_empty() && began.elapsed() < PATIENCE {
            thread::sleep(LOOK);
        }
        assert_eq!(left_behind(dir.path()), []);
        assert_eq!(hands.run(&mut shell("exit 0"), None).unwrap_err().kind(), io::ErrorKind::Interrupted);
    }

    #[test]
    fn leftovers_are_found_by_their_mark_and_ended() {
        let (mine, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let mut children: Vec<Child> = [&mine, &other]
            .map(|work| Command::new("sleep").arg("1000").env(MARK, work.path()).spawn().unwrap())
            .into();
        // Whoever starts a program goes on a moment before the kernel shows that one's environment.
        for child in &children {
            let environment = || std::fs::read(format!("/proc/{}/environ", child.id())).unwrap();
            while environment().is_empty() {
                std::thread::yield_now();
            }
        }
        Hands::new(Arc::default(), mine.path()).end_leftovers();
        assert!(!children[0].wait().unwrap().success());
        assert!(children[1].try_wait().unwrap().is_none());
        children[1].kill().unwrap();
        children[1].wait().unwrap();
    }
}
