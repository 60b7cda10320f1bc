// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! The layout that the project promises: which crate may know which, which module of the symbolizer
//! may know which, and what each file starts with. In: Cargo's metadata and the source files.

use std::path::{Path, PathBuf};

use serde_json::Value;
use xtask::workspace;

/// Each crate of the workspace and the workspace's crates that it may name, in any kind of
/// dependency. Guest and host share the two leaves and nothing else.
const CRATES: &[(&str, &[&str])] = &[
    ("early-ftrace-format", &[]),
    ("bootlevel", &[]),
    ("early-ftrace", &["early-ftrace-format", "bootlevel"]),
    ("kernel-config", &["early-ftrace", "early-ftrace-format", "bootlevel"]),
    ("symbolizer", &["kernel-config", "early-ftrace-format", "bootlevel"]),
    ("xtask", &["symbolizer", "kernel-config", "early-ftrace-format", "bootlevel"]),
    ("witness", &[]),
];

/// The modules of the symbolizer's library.
const LIBRARY: &[&str] = &[
    "host",
    "import",
    "capture",
    "trace_dir",
    "decode",
    "calltree",
    "trace_index",
    "resolve",
    "report",
    "export",
    "explore",
    "compare",
    "bisect",
    "options",
    "suggest",
];

/// Each module of the symbolizer, in the order that data flows, and the modules that it may name.
/// capture writes what trace_dir lays out; all others look back only.
const MODULES: &[(&str, &[&str])] = &[
    // What a host under the guest has seen: one record for each exit, and their file in the trace.
    ("host", &["trace_dir"]),
    ("capture", &["trace_dir", "host"]),
    // Beside capture: what other recorders have written.
    ("import", &["trace_dir", "host", "capture"]),
    ("trace_dir", &[]),
    ("decode", &["trace_dir"]),
    ("calltree", &["trace_dir", "decode", "host"]),
    // What a run through a trace has found, kept beside it.
    ("trace_index", &["trace_dir", "calltree"]),
    ("resolve", &["trace_dir", "decode", "calltree"]),
    ("report", &["trace_dir", "decode", "calltree", "resolve", "options", "host"]),
    ("export", &["trace_dir", "decode", "calltree", "resolve", "report"]),
    // A report to walk through.
    ("explore", &["calltree", "resolve", "report"]),
    ("compare", &["trace_dir", "decode", "calltree", "resolve", "report"]),
    // Boots are recorded in another process: it knows what is kept of them, and how to compare that.
    ("bisect", &["trace_dir", "report", "compare"]),
    // Beside the others: the kernel's command line in words.
    ("options", &[]),
    // Beside report: another question to the same trace.
    ("suggest", &["trace_dir", "decode", "calltree", "resolve", "report"]),
    // The commands drive all of them, and nobody looks at the commands.
    ("cli", LIBRARY),
];

/// What a module of the symbolizer must not even mention: decode knows no DWARF, report no raw
/// bytes, and only main (with the commands) prints.
const UNKNOWN: &[(&[&str], &[&str])] = &[
    (&["capture", "trace_dir", "decode", "calltree"], &["gimli::", "addr2line::"]),
    (
        &["report", "export", "explore", "compare", "bisect", "options", "suggest"],
        &["EntryWord", "LeafWord", "SwitchWord", "ControlWord", "zerocopy::", "zstd::", "gimli::", "addr2line::"],
    ),
    (LIBRARY, &["println!", "eprintln!", "print!(", "eprint!("]),
];

/// Lines of code that a file may have before its tests.
const LINES: usize = 600;

fn look_up<'a>(table: &'a [(&str, &[&'a str])], name: &str, of: &str) -> &'a [&'a str] {
    let found = table.iter().find(|(known, _)| *known == name);
    found.unwrap_or_else(|| panic!("{of} {name} stands in no table of this file: say what it may know")).1
}

/// All source files below `directory`, without what builds and recordings leave.
fn files(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(directory).expect("a readable tree").flatten() {
        let (path, name) = (entry.path(), entry.file_name());
        if path.is_dir() {
            if name != "target" && name != ".git" && name != "trace" {
                files(&path, found);
            }
        } else if path.extension().is_some_and(|extension| extension == "rs" || extension == "toml") {
            found.push(path);
        }
    }
}

fn sources(below: &str) -> Vec<(PathBuf, String)> {
    let mut paths = Vec::new();
    files(&workspace::root().join(below), &mut paths);
    paths.sort();
    paths
        .into_iter()
        .map(|path| {
            let text = std::fs::read_to_string(&path).expect("UTF-8");
            (path.strip_prefix(workspace::root()).expect("below the root").to_owned(), text)
        })
        .collect()
}

/// The text before the tests, without comments.
fn code(text: &str) -> String {
    let end = text.find("#[cfg(test)]").unwrap_or(text.len());
    text[..end].lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
}

#[test]
fn crates_know_only_what_the_design_allows() {
    let output = workspace::cargo().args(["metadata", "--no-deps", "--format-version=1"]).output();
    let metadata: Value = serde_json::from_slice(&output.expect("cargo runs").stdout).expect("cargo's JSON");
    let packages = metadata["packages"].as_array().expect("packages");
    assert_eq!(packages.len(), CRATES.len(), "a crate was removed: take it out of CRATES");
    for package in packages {
        let name = package["name"].as_str().expect("a name");
        let allowed = look_up(CRATES, name, "crate");
        for dependency in package["dependencies"].as_array().expect("dependencies") {
            // Only crates of the workspace have a path.
            let ours = dependency.get("path").is_some_and(Value::is_string);
            let other = dependency["name"].as_str().expect("a name");
            assert!(!ours || allowed.contains(&other), "{name} must not depend on {other}");
        }
    }
}

#[test]
fn modules_of_the_symbolizer_look_where_data_comes_from() {
    for (path, text) in sources("symbolizer/src") {
        let inside = path.strip_prefix("symbolizer/src").expect("below it");
        let first = inside.iter().next().and_then(|name| name.to_str()).expect("a name");
        let module = first.strip_suffix(".rs").unwrap_or(first);
        if module == "lib" || module == "main" {
            continue;
        }
        let (allowed, code) = (look_up(MODULES, module, "module"), code(&text));
        for (other, _) in MODULES {
            let named = code.contains(&format!("crate::{other}"));
            assert!(
                !named || *other == module || allowed.contains(other),
                "{}: {module} must not know {other}",
                path.display()
            );
        }
        for (modules, words) in UNKNOWN {
            // The file of a kept boot is compare's own, and has nothing of a trace's bytes.
            let own = |word: &str| word == "zstd::" && path.ends_with("compare/kept.rs");
            for word in words.iter().filter(|word| modules.contains(&module) && !own(word)) {
                assert!(!code.contains(word), "{}: {module} must not know {word}", path.display());
            }
        }
    }
}

#[test]
fn each_file_starts_with_its_licence_and_its_job() {
    for (path, text) in sources("") {
        let rust = path.extension().is_some_and(|extension| extension == "rs");
        let mark = if rust { "// " } else { "# " };
        let mut lines = text.lines();
        let licence = format!("{mark}SPDX-License-Identifier: MIT OR GPL-2.0-only");
        assert_eq!(lines.next(), Some(&*licence), "{}: first line", path.display());
        let job = lines.next().is_some_and(|line| line.starts_with("//!"));
        assert!(!rust || job, "{}: the second line must begin the file's `//!`", path.display());
    }
}

#[test]
fn files_are_short_and_named_for_their_job() {
    for (path, text) in sources("") {
        let stem = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
        assert!(
            !["util", "utils", "misc", "helper", "helpers", "common"].contains(&stem),
            "{}: this name says no job",
            path.display()
        );
        let in_tests = path.iter().any(|part| part == "tests" || part == "system");
        let lines = text.find("#[cfg(test)]").map_or(&*text, |end| &text[..end]).lines().count();
        assert!(in_tests || lines <= LINES, "{}: {lines} lines, more than {LINES}", path.display());
    }
}
