// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! Many traces, of which a few are read at a time. In: paths, what to do with one. Out: what came of each, as it comes,
//! with its number. Never here: what is read.

use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;

use super::phases::Phases;

/// Most traces that are read at a time, which bounds memory on large machines.
const MOST_AT_A_TIME: usize = 8;

/// Reads all; `done` gets them in any order.
///
/// # Errors
/// The first that cannot be read.
pub fn read<T: Send>(
    paths: &[PathBuf],
    what: &'static str,
    phases: &Phases,
    one: impl Fn(&Path) -> anyhow::Result<T> + Sync,
    mut done: impl FnMut(usize, T),
) -> anyhow::Result<()> {
    // Each trace has threads that decode ahead of the one that rebuilds calls.
    let cores = thread::available_parallelism().map_or(1, NonZero::get);
    let at_a_time = (cores / 2).clamp(1, MOST_AT_A_TIME).min(paths.len().max(1));
    phases.work(what, paths.len() as u64);
    let next = AtomicUsize::new(0);
    thread::scope(|scope| {
        let (send, receive) = mpsc::sync_channel(at_a_time);
        for _ in 0..at_a_time {
            let (send, next, one) = (send.clone(), &next, &one);
            scope.spawn(move || {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    let Some(path) = paths.get(number) else { break };
                    // Nobody listens after an error.
                    if send.send((number, one(path))).is_err() {
                        break;
                    }
                }
            });
        }
        drop(send);
        for (count, (number, read)) in (1..).zip(receive) {
            done(number, read?);
            phases.at(count);
        }
        Ok(())
    })
}
