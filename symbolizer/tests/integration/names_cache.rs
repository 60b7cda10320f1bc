// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! The cache of names, from outside: it answers without the file's symbols and DWARF, and never wrongly.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use super::fixture::{BUILD_ID, Fixture};

/// Runs `symbolize` with a cache in `directory`.
fn cached(directory: &Path, args: &[&Path]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_symbolize"))
        .args(args)
        .env_remove("COLUMNS")
        .env("EFT_NAMES_CACHE", directory)
        .output()
        .unwrap()
}

struct Case {
    fixture: Fixture,
    trace: PathBuf,
    cache: PathBuf,
}

impl Case {
    fn new(options: &[&str]) -> Case {
        let fixture = Fixture::with(options);
        let trace = fixture.boot();
        let cache = fixture.dir.path().join("names");
        Case { fixture, trace, cache }
    }

    /// The report, with lines; what a cache must not change.
    fn report(&self, vmlinux: &Path) -> String {
        let args = [self.trace.as_path(), vmlinux, Path::new("--lines"), Path::new("--width=140")];
        let output = cached(&self.cache, &args);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    fn files(&self) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(&self.cache).into_iter().flatten();
        entries.map(|entry| entry.unwrap().path()).collect()
    }

    /// The one file of the cache.
    fn file(&self) -> PathBuf {
        let files = self.files();
        let [file] = &files[..] else { panic!("one file: {files:?}") };
        assert!(file.file_name().unwrap().to_str().unwrap().starts_with(BUILD_ID));
        file.clone()
    }

    /// The vmlinux with these sections emptied in place, or changed otherwise.
    fn without(&self, name: &str, sections: &[&str]) -> PathBuf {
        use object::{Object, ObjectSection};
        let mut bytes = std::fs::read(&self.fixture.vmlinux).unwrap();
        let elf = object::File::parse(&*bytes).unwrap();
        let find = |name: &&str| elf.section_by_name(name).and_then(|section| section.file_range());
        let ranges: Vec<(u64, u64)> = sections.iter().map(|name| find(name).expect("the section")).collect();
        for (start, size) in ranges {
            bytes[start as usize..(start + size) as usize].fill(0);
        }
        let path = self.fixture.dir.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    }
}

#[test]
fn a_second_report_reads_neither_symbols_nor_dwarf() {
    let case = Case::new(&["-g"]);
    let plain = case.fixture.output(&case.trace, &["--lines", "--width=140"]);
    assert!(plain.contains("mm/slub.c:4"), "{plain}");
    assert_eq!(case.report(&case.fixture.vmlinux), plain, "the first, which fills the cache");
    let emptied = case.without("emptied", &[".symtab", ".strtab", ".debug_info", ".debug_line", ".debug_abbrev"]);
    assert_eq!(case.report(&emptied), plain, "the second, with nothing to read from");
    let args = [case.trace.as_path(), &emptied, Path::new("--no-cache")];
    assert_eq!(cached(&case.cache, &args).status.code(), Some(2), "it has no symbols");
}

#[test]
fn a_damaged_table_is_made_again() {
    let case = Case::new(&["-g"]);
    let plain = case.report(&case.fixture.vmlinux);
    let file = case.file();
    let good = std::fs::read(&file).unwrap();
    let emptied = case.without("emptied", &[".symtab", ".strtab"]);
    for at in (0..good.len()).step_by(good.len() / 40) {
        let mut bad = good.clone();
        bad[at] ^= 0x10;
        std::fs::write(&file, &bad).unwrap();
        let output = cached(&case.cache, &[case.trace.as_path(), &emptied]);
        assert_eq!(output.status.code(), Some(2), "byte {at} is changed: the table is not to be used");
    }
    for bad in [&good[..good.len() - 1], &good[..40], b""] {
        std::fs::write(&file, bad).unwrap();
        assert_eq!(case.report(&case.fixture.vmlinux), plain);
        assert_eq!(std::fs::read(&file).unwrap(), good, "made again");
    }
}

#[test]
fn another_file_with_the_same_build_id_is_another_kernel() {
    let case = Case::new(&["-g"]);
    let plain = case.report(&case.fixture.vmlinux);
    let stripped = case.fixture.dir.path().join("stripped");
    let status =
        Command::new("objcopy").arg("--strip-debug").arg(&case.fixture.vmlinux).arg(&stripped).status().unwrap();
    assert!(status.success());
    let without = case.report(&stripped);
    assert!(!without.contains("mm/slub.c:4") && plain.contains("mm/slub.c:4"), "{without}");
    assert_eq!(case.report(&case.fixture.vmlinux), plain);
}

#[test]
fn many_writers_leave_one_whole_table() {
    let case = Case::new(&["-g"]);
    let reports: Vec<String> = std::thread::scope(|scope| {
        let all: Vec<_> = (0..8).map(|_| scope.spawn(|| case.report(&case.fixture.vmlinux))).collect();
        all.into_iter().map(|one| one.join().unwrap()).collect()
    });
    assert!(reports.iter().all(|report| *report == reports[0]));
    let emptied = case.without("emptied", &[".symtab", ".strtab"]);
    case.file();
    assert_eq!(case.report(&emptied), reports[0]);
}

#[test]
fn nothing_is_kept_without_a_build_id_or_against_the_users_will() {
    let case = Case::new(&["-g"]);
    let args = [case.trace.as_path(), &case.fixture.vmlinux, Path::new("--no-cache")];
    assert!(cached(&case.cache, &args).status.success());
    assert!(case.files().is_empty());

    let case = Case::new(&["-g", "-Wl,--build-id=none"]);
    let args = [case.trace.as_path(), &case.fixture.vmlinux, Path::new("--force")];
    assert!(cached(&case.cache, &args).status.success());
    assert!(case.files().is_empty());
}

#[test]
fn a_cache_that_cannot_be_written_costs_nothing_but_time() {
    let mut case = Case::new(&["-g"]);
    let plain = case.report(&case.fixture.vmlinux);
    case.cache = case.fixture.vmlinux.join("no-directory");
    assert_eq!(case.report(&case.fixture.vmlinux), plain);
}
