// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! Our names and lines for each traced address beside those of llvm-symbolizer. In: what both print.
//! Out: the differences, by kind. Never here: an opinion on who is right, but for two kinds that are
//! no disagreement: another name of the same symbol, and a suffix that the compiler added.

use std::collections::HashMap;
use std::fmt;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::tools;

/// An address with a name and a place, either of which may be unknown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolved {
    /// Virtual address.
    pub address: u64,
    /// Function.
    pub name: Option<String>,
    /// File and line.
    pub place: Option<(String, u32)>,
}

/// What `symbolize addresses` prints: `0xADDR NAME FILE:LINE`, a line for each function.
///
/// # Errors
/// When it fails or prints something else.
pub fn ours(symbolize: &Path, trace: &Path, vmlinux: &Path) -> Result<Vec<Resolved>> {
    let output = Command::new(symbolize)
        .args(["addresses", "--no-cache"])
        .arg(trace)
        .arg(vmlinux)
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .context("cannot run symbolize")?;
    if !output.status.success() {
        bail!("symbolize addresses: {}", output.status);
    }
    let text = String::from_utf8(output.stdout).context("symbolize addresses prints no UTF-8")?;
    text.lines().map(|line| our_line(line).with_context(|| format!("not 0xADDR NAME FILE:LINE: {line}"))).collect()
}

fn our_line(line: &str) -> Option<Resolved> {
    let (address, rest) = line.strip_prefix("0x")?.split_once(' ')?;
    let (name, place) = rest.split_once(' ').unwrap_or((rest, ""));
    Some(Resolved { address: u64::from_str_radix(address, 16).ok()?, name: known(name), place: place_of(place) })
}

/// The same addresses through llvm-symbolizer.
///
/// # Errors
/// When it is missing, fails, or answers something else.
pub fn llvm(vmlinux: &Path, addresses: &[Resolved]) -> Result<Vec<Resolved>> {
    let program = tools::LLVM_SYMBOLIZER.find().context("no llvm-symbolizer in PATH")?;
    let mut child = Command::new(&program)
        .arg("--obj")
        .arg(vmlinux)
        .args(["--no-inlines", "--output-style=LLVM"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot run {}", program.display()))?;
    let mut input = child.stdin.take().context("no pipe to llvm-symbolizer")?;
    let questions: String = addresses.iter().map(|resolved| format!("{:#x}\n", resolved.address)).collect();
    // It answers while it is still being asked: one thread alone would block on a full pipe.
    let asking = std::thread::spawn(move || input.write_all(questions.as_bytes()));
    let output = child.wait_with_output()?;
    asking.join().map_err(|_| anyhow::anyhow!("the thread that asks llvm-symbolizer panicked"))??;
    if !output.status.success() {
        bail!("{}: {}", program.display(), output.status);
    }
    let text = String::from_utf8_lossy(&output.stdout);
    // An answer: the function, then file:line:column, then an empty line.
    let answers: Vec<&str> = text.split("\n\n").filter(|answer| !answer.trim().is_empty()).collect();
    if answers.len() != addresses.len() {
        bail!("{}: {} answers to {} questions", program.display(), answers.len(), addresses.len());
    }
    let pairs = addresses.iter().zip(answers);
    Ok(pairs
        .map(|(asked, answer)| {
            let mut lines = answer.trim().lines();
            let name = lines.next().and_then(known);
            let place = lines.next().and_then(|place| place_of(place.rsplit_once(':')?.0));
            Resolved { address: asked.address, name, place }
        })
        .collect())
}

fn known(name: &str) -> Option<String> {
    (!matches!(name, "" | "?" | "??" | "-")).then(|| name.to_owned())
}

fn place_of(text: &str) -> Option<(String, u32)> {
    let (file, line) = text.rsplit_once(':')?;
    Some((known(file)?, line.parse().ok().filter(|&line| line > 0)?))
}

/// How two resolvers differ.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Differences {
    /// Same name and place.
    pub same: usize,
    /// Two names of one symbol.
    pub alias: usize,
    /// Names that differ in what the compiler appended.
    pub suffix: usize,
    /// One of them knows no place (of those with equal names).
    pub no_place: usize,
    /// Disagreements, a line each.
    pub other: Vec<String>,
}

impl fmt::Display for Differences {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "addresses: {} the same, {} other alias, {} compiler's suffix, {} with a place from one only, {} disagreements",
            self.same,
            self.alias,
            self.suffix,
            self.no_place,
            self.other.len()
        )
    }
}

/// Compares address by address; `symbols` are all names of the image by address.
pub fn compare(ours: &[Resolved], theirs: &[Resolved], symbols: &HashMap<u64, Vec<String>>) -> Differences {
    let mut differences = Differences::default();
    for (our, their) in ours.iter().zip(theirs) {
        let (a, b) = (our.name.as_deref().unwrap_or("?"), their.name.as_deref().unwrap_or("?"));
        let names = symbols.get(&our.address).map_or(&[][..], Vec::as_slice);
        let is_name = |name: &str| names.iter().any(|known| known == name);
        let kind = if a == b {
            None
        } else if is_name(a) && is_name(b) {
            Some(&mut differences.alias)
        } else if plain(a) == plain(b) {
            Some(&mut differences.suffix)
        } else {
            differences.other.push(format!("{:#x}: {a}, llvm-symbolizer {b}", our.address));
            continue;
        };
        match (&our.place, &their.place) {
            (Some((file, line)), Some((their_file, their_line))) => {
                if line != their_line || !same_file(file, their_file) {
                    differences.other.push(format!(
                        "{:#x} {a}: {file}:{line}, llvm-symbolizer {their_file}:{their_line}",
                        our.address
                    ));
                    continue;
                }
            }
            (None, None) => {}
            _ => {
                differences.no_place += 1;
                continue;
            }
        }
        *kind.unwrap_or(&mut differences.same) += 1;
    }
    differences
}

/// A name without what the compiler appends to copies and parts of a function.
fn plain(name: &str) -> &str {
    let end = [".isra", ".constprop", ".part", ".cold"].iter().filter_map(|suffix| name.find(suffix)).min();
    &name[..end.unwrap_or(name.len())]
}

/// Whether two paths, either of which may be relative, can be of the same file.
fn same_file(a: &str, b: &str) -> bool {
    let (a, b) = (components(a), components(b));
    let common = a.len().min(b.len());
    common > 0 && a[a.len() - common..] == b[b.len() - common..]
}

fn components(path: &str) -> Vec<&str> {
    let mut components = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                components.pop();
            }
            part => components.push(part),
        }
    }
    components
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolved(address: u64, name: &str, place: &str) -> Resolved {
        Resolved { address, name: known(name), place: place_of(place) }
    }

    #[test]
    fn only_other_names_and_places_are_disagreements() {
        let symbols = HashMap::from([(2, vec!["__x64_sys_read".to_owned(), "sys_read_alias".to_owned()])]);
        let ours = [
            resolved(1, "a", "kernel/a.c:10"),
            resolved(2, "__x64_sys_read", "fs/read.c:1"),
            resolved(3, "b.isra.0", "mm/b.c:3"),
            resolved(4, "c", "mm/c.c:4"),
            resolved(5, "d", "mm/d.c:4"),
            resolved(6, "e", "?"),
        ];
        let theirs = [
            resolved(1, "a", "/build/x/../linux/./kernel/a.c:10"),
            resolved(2, "sys_read_alias", "fs/read.c:1"),
            resolved(3, "b", "mm/b.c:3"),
            resolved(4, "other", "mm/c.c:4"),
            resolved(5, "d", "mm/d.c:5"),
            resolved(6, "e", "mm/e.c:6"),
        ];
        let differences = compare(&ours, &theirs, &symbols);
        assert_eq!((differences.same, differences.alias, differences.suffix, differences.no_place), (1, 1, 1, 1));
        assert_eq!(differences.other, ["0x4: c, llvm-symbolizer other", "0x5 d: mm/d.c:4, llvm-symbolizer mm/d.c:5"]);
    }

    #[test]
    fn our_lines_are_read_with_and_without_a_place() {
        assert_eq!(
            our_line("0x10 start_kernel init/main.c:936"),
            Some(resolved(0x10, "start_kernel", "init/main.c:936"))
        );
        assert_eq!(our_line("0x10 ? ?"), Some(resolved(0x10, "?", "?")));
        assert_eq!(our_line("start_kernel"), None);
    }
}
