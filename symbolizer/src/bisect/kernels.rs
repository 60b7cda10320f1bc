// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! A list of kernels without git: vmlinux files, Debian packages that have one, directories of either, text files
//! with a path in each line. In: paths. Out: the kernels in order, the good one first. Never here: the search.

use std::cmp::Ordering;
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::BisectError;
use super::child::Hands;
use super::search::{Candidate, Made};
use crate::report::style::printable;

/// Largest list that is read.
const MOST_BYTES: u64 = 1 << 20;

/// What a file is, by its first bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    Elf,
    Package,
    Other,
}

fn what(path: &Path) -> What {
    let mut magic = [0; 7];
    match File::open(path).and_then(|mut file| file.read_exact(&mut magic)) {
        Ok(()) if magic.starts_with(b"\x7fELF") => What::Elf,
        Ok(()) if magic == *b"!<arch>" => What::Package,
        _ => What::Other,
    }
}

/// The kernels, in order.
///
/// # Errors
/// A path that is none of these; fewer than two kernels.
pub fn kernels(paths: &[PathBuf]) -> Result<Vec<PathBuf>, BisectError> {
    let mut found = Vec::new();
    for path in paths {
        if path.is_dir() {
            let entries = std::fs::read_dir(path).map_err(BisectError::io("read", path))?;
            let mut inside: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
            inside.retain(|path| path.is_file() && what(path) != What::Other);
            inside.sort_by(|a, b| by_version(&file_name(a), &file_name(b)));
            found.extend(inside);
        } else if what(path) != What::Other {
            found.push(path.clone());
        } else {
            let mut text = String::new();
            let read = File::open(path).and_then(|file| file.take(MOST_BYTES).read_to_string(&mut text));
            read.map_err(BisectError::io("read", path))?;
            let base = path.parent().unwrap_or(Path::new(""));
            let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
            for line in lines {
                let kernel = base.join(line);
                if !kernel.is_file() || what(&kernel) == What::Other {
                    return Err(BisectError::Range(format!(
                        "{}: {} is neither a vmlinux nor a package",
                        path.display(),
                        printable(line)
                    )));
                }
                found.push(kernel);
            }
        }
    }
    if found.len() < 2 {
        return Err(BisectError::Range(format!(
            "--kernels: {} kernels were found; at least a good one and, behind it, a bad one are needed (vmlinux \
             files, packages linux-image-*-dbg)",
            found.len()
        )));
    }
    found.iter().map(|path| std::path::absolute(path).map_err(BisectError::io("find", path))).collect()
}

/// The list as candidates: by number and name.
pub fn candidates(kernels: &[PathBuf]) -> Vec<Candidate> {
    let digits = kernels.len().to_string().len();
    (1..)
        .zip(kernels)
        .map(|(number, path)| {
            let above = path.parent().map(file_name).unwrap_or_default();
            let name = file_name(path);
            // Kernels that are all called vmlinux are told by their directories.
            let title = if name == "vmlinux" { format!("{above}/{name}") } else { name };
            Candidate { id: format!("{number:0digits$}-{}", plain(&title)), title: printable(&title) }
        })
        .collect()
}

/// Which file this is: another one at the same path has another size or time.
pub fn key(kernel: &Path) -> String {
    let told = kernel.metadata().ok().and_then(|told| Some((told.len(), told.modified().ok()?)));
    let when = told.map(|(size, time)| (size, time.duration_since(std::time::UNIX_EPOCH).unwrap_or_default()));
    match when {
        Some((size, time)) => {
            format!("{} ({size} bytes, {}.{:09})", kernel.display(), time.as_secs(), time.subsec_nanos())
        }
        None => kernel.display().to_string(),
    }
}

/// Its vmlinux; that of a package is unpacked to `dir`.
///
/// # Errors
/// When it cannot be unpacked for want of programs or room.
pub fn vmlinux(kernel: &Path, dir: &Path, hands: &Hands) -> Result<Made, BisectError> {
    let to = dir.join("vmlinux");
    // Of another kernel that had this place in a list.
    if to != kernel && to.exists() {
        std::fs::remove_file(&to).map_err(BisectError::io("remove", &to))?;
    }
    if what(kernel) != What::Package {
        return Ok(Made::Kernel(kernel.to_owned()));
    }
    let log = dir.join("build.log");
    let output = File::create(&log).map_err(BisectError::io("write", &log))?;
    let fresh = dir.join("vmlinux.tmp");
    let mut command = Command::new("sh");
    // One file of the package, whatever its release is; tar says so if there is none.
    let script = "dpkg-deb --fsys-tarfile \"$1\" | \
                  tar --extract --to-stdout --wildcards './usr/lib/debug/boot/vmlinux-*' >\"$2\"";
    command.args(["-c", script, "sh"]).arg(kernel).arg(&fresh).stdout(Stdio::null()).stderr(output);
    let status = hands.run(&mut command, None).map_err(BisectError::io("run", Path::new("sh")))?;
    super::build::room(dir)?;
    if !status.success() || what(&fresh) != What::Elf {
        let _ = std::fs::remove_file(&fresh);
        return Ok(Made::No(format!("{}: no usr/lib/debug/boot/vmlinux-* in this package", kernel.display())));
    }
    let whole = File::open(&fresh).and_then(|file| file.sync_all());
    whole.and_then(|()| std::fs::rename(&fresh, &to)).map_err(BisectError::io("write", &to))?;
    Ok(Made::Kernel(to))
}

fn file_name(path: &Path) -> String {
    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

/// As part of a path.
fn plain(text: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || "-_.+~".contains(c) { c } else { '-' };
    text.chars().map(plain).take(80).collect()
}

/// By the numbers in them, and what stands behind a ~ before what does not: 6.1~rc2, 6.1, 6.1.9, 6.1.10.
fn by_version(a: &str, b: &str) -> Ordering {
    let (mut a, mut b) = (a, b);
    loop {
        let split = |text: &str, digits: bool| text.find(|c: char| c.is_ascii_digit() != digits).unwrap_or(text.len());
        let (x, y) = (&a[..split(a, false)], &b[..split(b, false)]);
        // Debian's order: the tilde before the end, the end before all others.
        let rank = |text: &str| -> Vec<u32> {
            text.chars().map(|c| if c == '~' { 0 } else { c as u32 + 2 }).chain([1]).collect()
        };
        let words = rank(x).cmp(&rank(y));
        if words != Ordering::Equal {
            return words;
        }
        (a, b) = (&a[x.len()..], &b[y.len()..]);
        let (m, n) = (&a[..split(a, true)], &b[..split(b, true)]);
        let number = |text: &str| text.trim_start_matches('0').to_owned();
        let (p, q) = (number(m), number(n));
        let numbers = p.len().cmp(&q.len()).then_with(|| p.cmp(&q));
        if numbers != Ordering::Equal {
            return numbers;
        }
        (a, b) = (&a[m.len()..], &b[n.len()..]);
        if a.is_empty() && b.is_empty() {
            return Ordering::Equal;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernels_of_a_directory_are_in_the_order_of_their_versions() {
        let mut names = ["v-6.1.10", "v-6.1.9", "v-6.1", "v-6.1~rc2", "v-6.12", "v-6.1.10+b1", "v-6.01.9"];
        names.sort_by(|a, b| by_version(a, b));
        assert_eq!(names, ["v-6.1~rc2", "v-6.1", "v-6.1.9", "v-6.01.9", "v-6.1.10", "v-6.1.10+b1", "v-6.12"]);
    }

    #[test]
    fn another_kernel_at_the_same_path_is_another() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("vmlinux");
        let write = |bytes: &[u8]| std::fs::write(&path, bytes).map(|()| key(&path)).unwrap();
        let (a, b) = (write(b"\x7fELF..."), write(b"\x7fELF...."));
        assert_ne!(a, b);
        File::options().write(true).open(&path).unwrap().set_modified(std::time::UNIX_EPOCH).unwrap();
        assert_ne!(key(&path), b);
        // What a package has left there is not taken for this one.
        let (own, hands) = (dir.path().join("1"), Hands::new(std::sync::Arc::default(), dir.path()));
        std::fs::create_dir(&own).unwrap();
        std::fs::write(own.join("vmlinux"), "of a package").unwrap();
        assert_eq!(vmlinux(&path, &own, &hands).unwrap(), Made::Kernel(path.clone()));
        assert!(!own.join("vmlinux").exists());
    }

    #[test]
    fn lists_directories_and_files() {
        let dir = tempfile::tempdir().unwrap();
        let put = |name: &str, bytes: &[u8]| {
            let path = dir.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, bytes).unwrap();
            path
        };
        let a = put("all/vmlinux-6.10", b"\x7fELF...");
        let b = put("all/vmlinux-6.9", b"\x7fELF...");
        put("all/notes", b"something else");
        let c = put("last/vmlinux", b"\x7fELF...");
        let list = put("list", b"# in this order\nall/vmlinux-6.9\n\nlast/vmlinux\n");
        let all = kernels(&[dir.path().join("all"), c.clone()]).unwrap();
        assert_eq!(all, [b.clone(), a, c.clone()]);
        assert_eq!(kernels(&[list]).unwrap(), [b, c]);
        let ids: Vec<_> = candidates(&all).into_iter().map(|candidate| candidate.id).collect();
        assert_eq!(ids, ["1-vmlinux-6.9", "2-vmlinux-6.10", "3-last-vmlinux"]);
        let bad = put("bad", b"all/notes\nall/vmlinux-6.9");
        assert!(kernels(&[bad]).unwrap_err().to_string().contains("all/notes is neither"));
        assert!(kernels(&[dir.path().join("last")]).unwrap_err().to_string().contains("1 kernels"));
    }
}
