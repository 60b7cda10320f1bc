// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! Kept boots: what `symbolize keep` puts into a file, and what is refused when it is read.

use std::path::Path;
use std::process::Output;

use symbolizer::compare::boot::{Boot, Initcall, Tree, VERSION};
use symbolizer::compare::kept::{self, KeptError};

use super::fixture::{Fixture, symbolize};

fn keep(args: &[&Path]) -> Output {
    symbolize([Path::new("keep")].iter().chain(args).map(|arg| arg.as_os_str()))
}

/// The boot of the fixture's two CPUs, kept without naming its vmlinux, which lies beside it.
fn kept_boot(fixture: &Fixture) -> Boot {
    let (trace, file) = (fixture.boot(), fixture.dir.path().join("store/one.boot.zst"));
    let output = keep(&[&trace, Path::new("-o"), &file]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    kept::read(&file).unwrap()
}

#[test]
fn a_kept_boot_has_the_figures_of_its_trace_without_idling() {
    let fixture = Fixture::new();
    let boot = kept_boot(&fixture);
    let report = fixture.json(&fixture.dir.path().join("trace"), &[]);
    assert!(boot.ns && boot.version == VERSION && boot.meta.release == "6.1.0-test");
    assert_eq!(boot.totals.events, report["summary"]["events"].as_u64().unwrap());
    assert_eq!(boot.totals.span, report["summary"]["span_ns"].as_u64().unwrap());
    for row in report["functions"].as_array().unwrap() {
        let number = |field: &str| row[field].as_u64().unwrap();
        let wanted = row["name"].as_str().unwrap();
        let function = |at: &u32| boot.functions.get(*at as usize).is_some_and(|function| function.name == wanted);
        let of = |functions: &[u32], column: &[u64]| -> u64 {
            functions.iter().zip(column).filter(|(at, _)| function(at)).map(|(_, value)| value).sum()
        };
        let (calls, own) = (number("calls") - number("idle_calls"), number("self_ticks") - number("idle_self_ticks"));
        assert_eq!(of(&boot.sums.function, &boot.sums.calls), calls, "{row}");
        assert_eq!(of(&boot.sums.function, &boot.sums.own), own, "{row}");
        // A call that is open while its task idles never ended on a CPU that did something.
        if number("idle_total_ticks") == 0 {
            assert_eq!(of(&boot.cpus.function, &boot.cpus.calls), calls, "by CPU: {row}");
            assert_eq!(of(&boot.cpus.function, &boot.cpus.own), own, "by CPU: {row}");
        }
        assert_eq!(of(&boot.tree.function, &boot.tree.own), own, "in the tree: {row}");
    }
    // acpi_early_init began on one CPU and ended on the other.
    let at = boot.functions.iter().position(|function| function.name == "acpi_early_init").unwrap();
    assert_eq!(boot.functions[at].file, "drivers/acpi/osl.c");
    let line = boot.cpus.function.iter().position(|&function| function as usize == at).unwrap();
    assert_eq!((boot.cpus.cpu[line], boot.cpus.own[line]), (1, 47_500));
    let Tree { roots, parent, function, .. } = &boot.tree;
    assert!(roots.iter().all(|&(_, root)| function[root as usize] == Tree::NONE && parent[root as usize] == root));
}

#[test]
fn files_are_named_after_traces_and_a_vmlinux_may_be_anywhere_among_the_arguments() {
    let (fixture, store) = (Fixture::new(), tempfile::tempdir().unwrap());
    let trace = fixture.boot();
    let elsewhere = store.path().join("kernel");
    std::fs::rename(&fixture.vmlinux, &elsewhere).unwrap();
    let output = keep(&[&trace, Path::new("-o"), store.path()]);
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.code() == Some(2) && told.contains("no vmlinux with build ID"), "{told}");
    let output = keep(&[&elsewhere, fixture.dir.path(), Path::new("-o"), store.path()]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let files = std::fs::read_dir(store.path()).unwrap().flatten().map(|entry| entry.file_name());
    let files: Vec<String> = files.map(|name| name.into_string().unwrap()).filter(|name| name != "kernel").collect();
    assert!(files.len() == 1 && files[0].ends_with("-trace.boot.zst"), "{files:?}");
}

#[test]
fn a_boot_takes_the_place_of_another_when_asked_only() {
    let fixture = Fixture::new();
    let (trace, file) = (fixture.boot(), fixture.dir.path().join("store/one.boot.zst"));
    let boot = kept_boot(&fixture);
    // Itself again.
    assert_eq!(kept_boot(&fixture), boot);
    let mut other = boot.clone();
    other.meta.started_at = 1_700_000_000;
    kept::write(&other, std::fs::File::create(&file).unwrap()).unwrap();
    let output = keep(&[&trace, Path::new("-o"), &file]);
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{told}");
    assert!(told.contains("another boot (Linux 6.1.0-test, recorded 2023-11-14 22:13 UTC)"), "{told}");
    assert_eq!(kept::read(&file).unwrap(), other);
    assert!(keep(&[&trace, Path::new("-o"), &file, Path::new("--replace")]).status.success());
    assert_eq!(kept::read(&file).unwrap(), boot);
}

#[test]
fn what_is_damaged_is_refused_and_says_why() {
    let fixture = Fixture::new();
    let boot = kept_boot(&fixture);
    let written = |boot: &Boot| {
        let mut bytes = Vec::new();
        kept::write(boot, &mut bytes).unwrap();
        bytes
    };
    let read = |bytes: &[u8]| kept::read_from(bytes, Path::new("x.boot.zst"));
    assert_eq!(read(&written(&boot)).unwrap(), boot);
    let cut = written(&boot);
    assert!(matches!(read(&cut[..cut.len() / 2]), Err(KeptError::Damaged { .. })));
    assert!(matches!(read(b"no zstd"), Err(KeptError::Damaged { .. })));
    let newer = Boot { version: VERSION + 1, ..boot.clone() };
    assert!(matches!(read(&written(&newer)), Err(KeptError::Newer { found, .. }) if found == VERSION + 1));
    type Damage = (&'static str, fn(&mut Boot));
    let damages: [Damage; 12] = [
        ("more levels", |boot| boot.levels = vec![Default::default(); 64]),
        ("more functions", |boot| boot.meta.vmm = vec![String::new(); 4_097]),
        ("more functions", |boot| boot.initcalls = vec![Initcall::default(); 1_000_001]),
        ("deeper than any stack", |boot| {
            let nodes = 5_000;
            let columns = [vec![0; nodes], vec![0; nodes], vec![0; nodes]];
            let [calls, own, total] = columns;
            let parent = (0..nodes as u32).map(|node| node.saturating_sub(1)).collect();
            boot.tree = Tree { roots: vec![(0, 0)], parent, function: vec![Tree::NONE; nodes], calls, own, total };
        }),
        ("version", |boot| boot.version = 0),
        ("sums differ in length", |boot| boot.sums.own.truncate(1)),
        ("function or level", |boot| boot.sums.function[0] = u32::MAX),
        ("function or level", |boot| boot.sums.level[0] = 254),
        ("cpus are of", |boot| boot.cpus.cpu[0] = u32::MAX),
        ("tree has a function", |boot| boot.tree.function[1] = 1 << 30),
        ("root of the tree", |boot| boot.tree.roots[0].1 += 1),
        ("no tree", |boot| boot.tree.parent[1] = 2),
    ];
    for (wanted, damage) in damages {
        let mut boot = boot.clone();
        damage(&mut boot);
        let Err(KeptError::Damaged { reason, .. }) = read(&written(&boot)) else { panic!("{wanted}: not refused") };
        assert!(reason.contains(wanted), "{wanted}: {reason}");
    }
}
