// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! From a path as DWARF has it (absolute, with the build machine's directories and `..` in it) to a
//! path in the kernel's source tree. In: paths. Out: `mm/slub.c`, and `mm` or `drivers/acpi`. Never
//! here: DWARF, files.

/// Directories under which the second level says more than the first.
const DEEP: [&str; 6] = ["arch", "drivers", "fs", "net", "security", "sound"];

/// Where the source tree begins in the paths of one vmlinux.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Root(String);

impl Root {
    /// Finds it from the file of `start_kernel`, which every kernel has in `init/main.c`.
    pub fn from_start_kernel(file: &str) -> Root {
        Root(normalize(file).strip_suffix("init/main.c").unwrap_or_default().to_owned())
    }

    /// As paths begin with it.
    pub fn prefix(&self) -> &str {
        &self.0
    }

    /// The same, read back.
    pub fn from_prefix(prefix: &str) -> Root {
        Root(prefix.to_owned())
    }

    /// The path within the tree; as it is, but normalized, if it lies elsewhere.
    pub fn relative(&self, file: &str) -> String {
        let path = normalize(file);
        match path.strip_prefix(&self.0) {
            Some(rest) if !self.0.is_empty() => rest.to_owned(),
            _ => path,
        }
    }
}

/// The directory by which a file in the tree is counted: `kernel`, `drivers/acpi`, `arch/x86`.
pub fn subsystem(file: &str) -> &str {
    let mut slashes = file.match_indices('/').map(|(at, _)| at);
    let Some(first) = slashes.next() else { return "." };
    if DEEP.contains(&&file[..first]) { &file[..slashes.next().unwrap_or(first)] } else { &file[..first] }
}

/// Takes `.` and `..` out of a path, as far as it goes without the file system.
pub fn normalize(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "." => {}
            "" if !parts.is_empty() => {}
            ".." if parts.last().is_some_and(|last| !matches!(*last, ".." | "")) => {
                parts.pop();
            }
            _ => parts.push(part),
        }
    }
    parts.join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_become_relative_to_the_tree() {
        let root = Root::from_start_kernel("/build/linux-6.1/debian/build/cloud/../../../init/main.c");
        assert_eq!(root, Root("/build/linux-6.1/".to_owned()));
        assert_eq!(root.relative("/build/linux-6.1/debian/x/../../drivers/acpi/osl.c"), "drivers/acpi/osl.c");
        assert_eq!(root.relative("/elsewhere/./a.c"), "/elsewhere/a.c");
        assert_eq!(Root::default().relative("kernel/fork.c"), "kernel/fork.c");
        assert_eq!(normalize("../../a/../b"), "../../b");
    }

    #[test]
    fn subsystems_have_one_or_two_levels() {
        assert_eq!(subsystem("kernel/sched/core.c"), "kernel");
        assert_eq!(subsystem("drivers/acpi/acpica/nsutils.c"), "drivers/acpi");
        assert_eq!(subsystem("arch/x86/mm/init.c"), "arch/x86");
        assert_eq!(subsystem("fs/namei.c"), "fs");
        assert_eq!(subsystem("main.c"), ".");
    }
}
