// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! Asks apt which debug kernels the archive has, and downloads one. In: a series such as `6.1`. Out:
//! a [`Package`], a `.deb`. Never here: the cache, what is in a package.

use std::cmp::Ordering;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::tools;

/// What ends the name of the packages that we look for.
const FLAVOUR: &str = "-cloud-amd64-dbg";

/// A debug kernel in the archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Package {
    /// Such as `linux-image-6.1.0-56-cloud-amd64-dbg`.
    pub name: String,
    /// Such as `6.1.192-2`.
    pub version: String,
    /// Bytes to download.
    pub size: u64,
    /// Bytes when unpacked, about.
    pub installed: u64,
}

/// The newest debug kernel of `series`; fetches apt's lists when they know none.
///
/// # Errors
/// When there is none, with the series that there are.
pub fn newest(series: &str) -> Result<Package> {
    if let Some(package) = newest_in_lists(series)? {
        return Ok(package);
    }
    eprintln!("apt knows no cloud kernel of series {series}; fetching its lists: apt-get update");
    if !tools::apt_get(&["update", "-q"])? {
        bail!("`apt-get update` failed; its messages are above");
    }
    let Some(package) = newest_in_lists(series)? else {
        let mut known: Vec<String> = names("linux-image-")?.iter().filter_map(|name| series_of(name)).collect();
        known.sort();
        known.dedup();
        bail!("the archive has no linux-image-{series}.*{FLAVOUR}; it has the series: {}", known.join(", "));
    };
    Ok(package)
}

/// The newest version of the package `name`; fetches apt's lists when they do not know it.
///
/// # Errors
/// When there is none.
pub fn newest_named(name: &str) -> Result<Package> {
    let look = || -> Result<Option<Package>> {
        let text = apt_cache(&["show", "--no-all-versions"], &[name.to_owned()])?;
        Ok(records(&text).into_iter().find(|package| package.name == name))
    };
    if let Some(package) = look()? {
        return Ok(package);
    }
    eprintln!("apt knows no {name}; fetching its lists: apt-get update");
    if !tools::apt_get(&["update", "-q"])? {
        bail!("`apt-get update` failed; its messages are above");
    }
    look()?.with_context(|| format!("the archive has no package {name}"))
}

/// Downloads `package` into `directory`.
///
/// # Errors
/// When apt-get fails.
pub fn download(package: &Package, directory: &Path) -> Result<PathBuf> {
    if let Some(deb) = downloaded(package, directory)? {
        return Ok(deb);
    }
    let status = Command::new("apt-get")
        .args(["download", "-q", &format!("{}={}", package.name, package.version)])
        // As root, apt would rather write as its own user, which may not enter our directory.
        .args(["-o", "APT::Sandbox::User=root"])
        .current_dir(directory)
        .stdin(Stdio::null())
        .stdout(std::io::stderr())
        .status()
        .context("cannot run apt-get")?;
    if !status.success() {
        bail!(
            "`apt-get download {}` failed; its messages are above. If the archive has moved on, `apt-get update` helps; \
             without network, give a kernel with --vmlinux PATH",
            package.name
        );
    }
    let found = downloaded(package, directory)?;
    found.with_context(|| {
        format!(
            "apt-get said that it downloaded {}, but there is no such file in {}",
            package.name,
            directory.display()
        )
    })
}

/// apt-get writes to another name until all is there; it says `%3a` for a version's colon.
fn downloaded(package: &Package, directory: &Path) -> Result<Option<PathBuf>> {
    let prefix = format!("{}_{}_", package.name, package.version.replace(':', "%3a"));
    for entry in std::fs::read_dir(directory)? {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let whole = path.metadata().is_ok_and(|metadata| metadata.len() == package.size);
        if whole && name.starts_with(&prefix) && name.ends_with(".deb") {
            return Ok(Some(path));
        }
    }
    Ok(None)
}

fn newest_in_lists(series: &str) -> Result<Option<Package>> {
    let names = names(&format!("linux-image-{series}."))?;
    if names.is_empty() {
        return Ok(None);
    }
    let mut newest: Option<Package> = None;
    for package in records(&apt_cache(&["show", "--no-all-versions"], &names)?) {
        if newest.as_ref().is_none_or(|best| compare(&package.version, &best.version) == Ordering::Greater) {
            newest = Some(package);
        }
    }
    Ok(newest)
}

/// Names of real packages that begin with `prefix`.
fn names(prefix: &str) -> Result<Vec<String>> {
    let found = apt_cache(&["pkgnames"], &[prefix.to_owned()])?;
    Ok(found.lines().filter(|name| is_kernel(name)).map(str::to_owned).collect())
}

/// Whether this is a kernel itself: neither a meta package nor an unsigned twin.
fn is_kernel(name: &str) -> bool {
    !name.contains("unsigned") && series_of(name).is_some()
}

/// `linux-image-6.12.117+deb12-cloud-amd64-dbg` is of series `6.12`; the meta package
/// `linux-image-6.12-cloud-amd64-dbg` is of none.
fn series_of(name: &str) -> Option<String> {
    let release = name.strip_prefix("linux-image-")?.strip_suffix(FLAVOUR)?;
    let mut parts = release.splitn(3, '.');
    let (major, minor, _patch) = (parts.next()?, parts.next()?, parts.next()?);
    let number = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    (number(major) && number(minor)).then(|| format!("{major}.{minor}"))
}

fn apt_cache(command: &[&str], arguments: &[String]) -> Result<String> {
    let output = Command::new("apt-cache")
        .args(command)
        .args(arguments)
        .stderr(Stdio::inherit())
        .output()
        .context("cannot run apt-cache; on a system other than Debian give a kernel with --vmlinux PATH")?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Takes apart what `apt-cache show` prints: paragraphs of `Field: value`.
fn records(text: &str) -> Vec<Package> {
    let field = |paragraph: &str, name: &str| {
        paragraph.lines().find_map(|line| Some(line.strip_prefix(name)?.strip_prefix(": ")?.trim().to_owned()))
    };
    text.split("\n\n")
        .filter_map(|paragraph| {
            Some(Package {
                name: field(paragraph, "Package")?,
                version: field(paragraph, "Version")?,
                size: field(paragraph, "Size")?.parse().ok()?,
                // In KiB there.
                installed: field(paragraph, "Installed-Size")?.parse::<u64>().ok()?.saturating_mul(1024),
            })
        })
        .collect()
}

/// Debian's own order of versions.
fn compare(a: &str, b: &str) -> Ordering {
    let holds = |relation: &str| {
        Command::new("dpkg").args(["--compare-versions", a, relation, b]).status().is_ok_and(|status| status.success())
    };
    if holds("gt") {
        Ordering::Greater
    } else if holds("eq") {
        Ordering::Equal
    } else {
        Ordering::Less
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn meta_and_unsigned_packages_are_no_kernels() {
        assert_eq!(series_of("linux-image-6.1.0-56-cloud-amd64-dbg").as_deref(), Some("6.1"));
        assert_eq!(series_of("linux-image-6.12.117+deb12-cloud-amd64-dbg").as_deref(), Some("6.12"));
        assert!(is_kernel("linux-image-6.12.117+deb12-cloud-amd64-dbg"));
        assert!(!is_kernel("linux-image-6.12-cloud-amd64-dbg"));
        assert!(!is_kernel("linux-image-cloud-amd64-dbg"));
        assert!(!is_kernel("linux-image-6.1.0-56-cloud-amd64-unsigned-dbg"));
        assert!(!is_kernel("linux-image-6.1.0-56-amd64-dbg"));
    }

    #[test]
    fn apt_cache_paragraphs_become_packages() {
        let text = "Package: linux-image-6.1.0-56-cloud-amd64-dbg\nSource: linux (6.1.192-2)\nVersion: 6.1.192-2\n\
                    Installed-Size: 10\nDescription: x\n Version: 9\nSize: 283308068\n\nPackage: broken\n";
        assert_eq!(
            records(text),
            [Package {
                name: "linux-image-6.1.0-56-cloud-amd64-dbg".into(),
                version: "6.1.192-2".into(),
                size: 283_308_068,
                installed: 10_240,
            }]
        );
    }

    #[test]
    fn versions_are_ordered_as_debian_does() {
        assert_eq!(compare("6.1.99-1", "6.1.192-2"), Ordering::Less);
        assert_eq!(compare("6.12.117-1~deb12u1", "6.12.117-1"), Ordering::Less);
        assert_eq!(compare("6.1.192-2", "6.1.192-2"), Ordering::Equal);
    }
}
