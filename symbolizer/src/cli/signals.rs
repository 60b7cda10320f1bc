// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! Ctrl-C and requests to terminate, counted for those who work long. In: signals. Out: how many came. Never here: what
//! is done then.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::Context;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

/// Counts them from here on. `ignored` come to nothing: they do not end the process either.
pub fn count(ignored: &[i32]) -> anyhow::Result<Arc<AtomicUsize>> {
    let count = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&count);
    let ignored = ignored.to_vec();
    let all = [SIGHUP, SIGINT, SIGTERM].iter().chain(&ignored);
    let mut signals = Signals::new(all).context("cannot catch Ctrl-C")?;
    std::thread::spawn(move || {
        for _ in signals.forever().filter(|signal| !ignored.contains(signal)) {
            counter.fetch_add(1, Ordering::Relaxed);
        }
    });
    Ok(count)
}
