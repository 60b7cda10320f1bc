// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! What the host has seen, beside a trace. In: a trace directory. Out: its events in the guest's time, for whoever
//! runs through the calls. A file that cannot be read is a warning: the guest's own trace is whole without it. Never
//! here: sums.

use symbolizer::calltree::exits::Lane;
use symbolizer::host::axes::{self, Axes};
use symbolizer::host::file::HostFile;
use symbolizer::host::placed::Places;
use symbolizer::trace_dir::TraceDir;

/// The file, and the way to the guest's time.
#[derive(Debug)]
pub struct Host {
    /// The file.
    pub file: HostFile,
    /// By vCPU.
    pub axes: Axes,
}

impl Host {
    /// Opens it, if the trace has one.
    pub fn open(trace: &TraceDir) -> Option<Host> {
        match HostFile::open(trace.path()) {
            Ok(file) => file.map(|file| Host { axes: axes::axes(&file, trace.meta().tsc_khz), file }),
            Err(error) => {
                anstream::eprintln!("symbolize: warning: {error}");
                None
            }
        }
    }

    /// The events of each vCPU whose place is known.
    pub fn lanes(&self) -> impl Iterator<Item = (u32, Lane<'_>)> {
        let lane = |vcpu, axis| Box::new(Places::new(self.file.events(vcpu), axis)) as Lane<'_>;
        self.axes.by_vcpu.iter().map(move |(&vcpu, axis)| (vcpu, lane(vcpu, axis)))
    }
}
