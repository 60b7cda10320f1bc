// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! Boots compared from traces on: kept by the command, read again, judged.

use std::path::PathBuf;

use bootlevel::Phase;
use symbolizer::compare::boot::Boot;
use symbolizer::compare::diff::{Basis, Metric};
use symbolizer::compare::judge::{Options, Refused, diff};
use symbolizer::compare::kept;
use symbolizer::compare::signature::{Signature, Verdict, nearer};
use symbolizer::trace_dir::Meta;

use super::fixture::{Fixture, symbolize};

/// A boot whose initcall calls `__kmalloc` so often, 50 ticks each, and takes so long beside; as the command keeps it.
fn boot(fixture: &Fixture, name: &str, meta: Meta, ticks: u64, kmallocs: u64) -> Boot {
    let trace = super::merge::boot(fixture, "trace", meta, kmallocs * 100 + ticks, kmallocs);
    let place: PathBuf = trace.with_file_name(format!("{name}.boot.zst"));
    let vmlinux = fixture.dir.path().join("vmlinux");
    let args: [&std::ffi::OsStr; 6] = [
        "keep".as_ref(),
        "--replace".as_ref(),
        trace.as_os_str(),
        vmlinux.as_os_str(),
        "-o".as_ref(),
        place.as_os_str(),
    ];
    let output = symbolize(args);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    std::fs::remove_dir_all(trace).unwrap();
    kept::read(&place).unwrap()
}

#[test]
fn more_calls_in_an_initcall_are_found_from_traces() {
    let fixture = Fixture::pinned();
    let set = |prefix: &str, kmallocs| -> Vec<Boot> {
        // Each boot a little else.
        (0..5).map(|at| boot(&fixture, &format!("{prefix}{at}"), fixture.meta(), 40_000 + at * 10, kmallocs)).collect()
    };
    let (good, bad) = (set("good", 3), set("bad", 500));
    let found = diff(&good, &bad, &Options::default()).unwrap();
    assert_eq!(found.basis, Basis::Tested);
    assert!(found.changed());
    let row = &found.functions[0];
    assert_eq!((row.item.name.as_str(), row.levels.1.as_slice()), ("__kmalloc", [Phase::Early].as_slice()));
    let calls = row.change(Metric::Calls).unwrap();
    assert_eq!((calls.a.mean, calls.b.mean, calls.changed), (3.0, 500.0, true));
    let initcall = found.initcalls.iter().find(|row| row.item.name == "acpi_early_init").unwrap();
    assert!(initcall.changed() && !initcall.moved());
    let way = found.ways.iter().find(|way| way.function == Some(0)).unwrap();
    assert_eq!((way.calls, way.own), ((3.0, 500.0), (150.0, 25_000.0)));
    let caller = found.ways[way.parent].function.map(|row| found.functions[row].item.name.as_str());
    assert_eq!(caller, Some("acpi_early_init"));

    let signature = Signature::of(&found).unwrap();
    assert_eq!(nearer(&signature, &[boot(&fixture, "middle", fixture.meta(), 40_050, 3)]), Verdict::Good);
    assert_eq!(nearer(&signature, &[boot(&fixture, "middle", fixture.meta(), 39_000, 480)]), Verdict::Bad);

    assert!(!diff(&good, &set("again", 3), &Options::default()).unwrap().changed());
}

#[test]
fn one_deterministic_boot_on_each_side_is_enough() {
    let fixture = Fixture::pinned();
    let exact = |name, ticks| boot(&fixture, name, Meta { deterministic: true, ..fixture.meta() }, ticks, 3);
    let (a, same, slower) = (exact("a", 40_000), exact("same", 40_000), exact("slower", 40_200));
    let found = diff(std::slice::from_ref(&a), &[same], &Options::default()).unwrap();
    assert_eq!((found.basis, found.changed(), found.doubts.len()), (Basis::Exact, false, 0), "{:?}", found.doubts);
    let found = diff(std::slice::from_ref(&a), &[slower], &Options::default()).unwrap();
    assert!(found.changed());
    assert_eq!(found.functions[0].item.name, "acpi_early_init");
    // One that is not deterministic means something else.
    let other = boot(&fixture, "other", fixture.meta(), 40_000, 3);
    let Err(Refused::Settings(settings)) = diff(&[a], &[other], &Options::default()) else { panic!("not refused") };
    assert_eq!(settings.iter().map(|setting| setting.what).collect::<Vec<_>>(), ["deterministic"]);
}
