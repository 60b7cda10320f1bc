// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! `--channel hypercall`: a boot whose events are seen by the host's KVM. In: the arguments, what QEMU gets. Out: a trace
//! directory with `host.eft`, and its [`Meta`]. Never here: what hypercalls mean.

use super::super::progress::{self, Printer};
use super::Args;
use super::boot::{Shot, Voice, outcome, start};
use anyhow::{Context, bail};
use std::ffi::OsString;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use symbolizer::capture::kvm::{RING, Recorder, Recording, Way};
use symbolizer::capture::stream;
use symbolizer::trace_dir::Meta;

/// Starts QEMU with `added` behind the user's arguments, and records.
pub fn record(
    args: &Args,
    shot: &Shot<'_>,
    meta: Meta,
    added: &[OsString],
    signals: &Arc<AtomicUsize>,
) -> anyhow::Result<Meta> {
    if args.deterministic {
        bail!("--deterministic: QEMU counts instructions without KVM only, and --channel hypercall needs KVM");
    }
    if !says_kvm(&args.command) {
        bail!("--channel hypercall: hypercalls are seen by KVM; add -accel kvm behind {}", shown(&args.command));
    }
    // Before QEMU: what this thread starts from here on is recorded.
    let recorder = Recorder::open(RING, args.recorder.map_or(Way::Auto, super::Recorder::way))
        .map_err(symbolizer::capture::CaptureError::from)?;
    if let (Voice::Full, Some(error)) = (shot.to.voice, recorder.without_bpf()) {
        eprintln!("symbolize: recording through perf's rings, since there is no other way: {error}");
    }
    let mut watch = start(args, added, signals)?;
    let trace = stream::Recorder::new(shot.to.output, shot.to.existing, meta);
    let mut recording = Recording::new(recorder, trace, shot.to.output);
    let mut printer = Printer::new(args.progress);
    let run = recording.run(|| watch.poll(), |progress| printer.print(progress));
    printer.clear();
    let (ended, failed) = outcome(run, &mut watch);
    let finished = recording.finish(ended);
    if let Some(error) = failed {
        return Err(anyhow::Error::from(error).context("the recording ended early"));
    }
    let (meta, done) = finished.context("the recording could not be ended in order")?;
    match shot.to.voice {
        Voice::Full => {
            eprintln!(
                "symbolize: the host saw {} events of the virtual machine, {} records of them, {} lost",
                done.events.events, done.records.out, done.events.lost
            );
            progress::summary(&meta, shot.to.output, Some(shot.vmlinux));
        }
        Voice::Added | Voice::Brief => progress::warnings(&meta),
    }
    Ok(meta)
}

fn shown(command: &[OsString]) -> String {
    command.first().map(|program| program.to_string_lossy().into_owned()).unwrap_or_default()
}

/// Whether the command asks for KVM: `-accel kvm`, `-enable-kvm`, `-machine q35,accel=kvm`, or a program of that name.
fn says_kvm(command: &[OsString]) -> bool {
    let words: Vec<_> = command.iter().map(|word| word.to_string_lossy()).collect();
    words.first().is_some_and(|program| program.ends_with("kvm"))
        || words.iter().any(|word| word.trim_start_matches('-') == "enable-kvm" && word.starts_with('-'))
        || words
            .windows(2)
            .any(|pair| matches!(pair[0].trim_start_matches('-'), "accel" | "machine" | "M") && pair[1].contains("kvm"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kvm_is_asked_for_in_each_of_its_ways() {
        let says = |line: &str| says_kvm(&line.split(' ').map(OsString::from).collect::<Vec<_>>());
        for line in
            ["q -accel kvm", "q --accel kvm,x=1", "q -enable-kvm", "q -M q35,accel=kvm:tcg", "/usr/bin/kvm -m 1G"]
        {
            assert!(says(line), "{line}");
        }
        for line in ["q -m 1G", "q -accel tcg", "q -drive file=kvm.img", "q -name enable-kvm"] {
            assert!(!says(line), "{line}");
        }
    }
}
