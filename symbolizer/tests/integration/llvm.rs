// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! Names and lines against llvm-symbolizer: on the fixture always, on a real kernel if `EFT_VMLINUX`
//! names one. Skipped, and said so, where there is no llvm-symbolizer.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use symbolizer::report::names::{CALL, Named, Names, Origin};
use symbolizer::resolve::Vmlinux;

use super::fixture::Fixture;

/// What llvm-symbolizer says of each address: name and `FILE:LINE`. `None` where it is not installed.
fn llvm(vmlinux: &Path, named: &[Named]) -> Option<Vec<(String, String)>> {
    let mut child = ["llvm-symbolizer", "llvm-symbolizer-14"].iter().find_map(|command| {
        Command::new(command)
            .arg(format!("--obj={}", vmlinux.display()))
            .args(["--no-inlines", "--functions=linkage"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .ok()
    })?;
    let mut stdin = child.stdin.take().unwrap();
    let input: String = named.iter().map(|named| format!("{:#x}\n", named.address)).collect();
    let writer = std::thread::spawn(move || stdin.write_all(input.as_bytes()));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let mut lines = text.lines().filter(|line| !line.is_empty());
    let mut answers = Vec::new();
    while let (Some(name), Some(place)) = (lines.next(), lines.next()) {
        let place = place.rsplit_once(':').map_or(place, |(place, _column)| place);
        answers.push((name.to_owned(), symbolizer::resolve::tree::normalize(place)));
    }
    Some(answers)
}

/// Every difference, but for aliases and functions that llvm-symbolizer has no name for.
fn differences(vmlinux: &Path) -> Option<(usize, Vec<String>)> {
    let file = Vmlinux::open(vmlinux).unwrap();
    let names = Names::open(&file).unwrap();
    let sites = names.call_sites().expect("the vmlinux lists its call sites");
    let named = names.resolve(sites.into_iter().map(|call| call + CALL)).unwrap();
    let answers = llvm(vmlinux, &named)?;
    assert_eq!(answers.len(), named.len());
    let mut found = Vec::new();
    for (named, (name, place)) in named.iter().zip(answers) {
        let same_name = named.name == name || named.aliases > 0 || (named.origin == Origin::Unknown && name == "??");
        let ours = match (&named.file, named.line) {
            (Some(file), line) => format!("{file}:{}", line.unwrap_or(0)),
            (None, _) => "??:0".to_owned(),
        };
        if !same_name || !place.ends_with(&ours) {
            found.push(format!("{:#x}: {} {ours}, llvm-symbolizer: {name} {place}", named.address, named.name));
        }
    }
    Some((named.len(), found))
}

fn check(vmlinux: &Path) {
    match differences(vmlinux) {
        Some((_, found)) => assert!(found.is_empty(), "{} differ:\n{}", found.len(), found.join("\n")),
        None => eprintln!("skipped: llvm-symbolizer is not installed"),
    }
}

#[test]
fn the_fixture_agrees_with_llvm_symbolizer() {
    check(&Fixture::new().vmlinux);
}

#[test]
fn a_real_kernel_agrees_with_llvm_symbolizer() {
    match std::env::var_os("EFT_VMLINUX") {
        Some(vmlinux) => check(Path::new(&vmlinux)),
        None => eprintln!("skipped: EFT_VMLINUX names no vmlinux"),
    }
}
