// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! The search for .ko files. In: directories, a module's name and build ID. Out: the module's [`Ko`], or
//! why there is none ([`Missing`]). Directories are read when the first module is asked for, each file
//! when its module is. Never here: addresses.

use std::cell::{OnceCell, RefCell};
use std::collections::HashMap;
use std::fmt;
use std::path::{Component, Path, PathBuf};
use std::rc::Rc;

use super::ResolveError;
use super::ko::Ko;

/// Directories within directories that are read: `kernel/drivers/net/ethernet/...` has 7.
const MOST_DEPTH: usize = 16;

/// Entries that are read in all. A distribution's kernel has 5,000 modules, a build tree 100,000 files.
const MOST_ENTRIES: usize = 1_000_000;

/// Files of one name that are looked at.
const MOST_FILES: usize = 16;

/// Endings of a module's file. Those that this program cannot unpack are found so that it can say so.
const ENDINGS: [(&str, bool); 5] =
    [(".ko", true), (".ko.debug", true), (".ko.zst", true), (".ko.xz", false), (".ko.gz", false)];

/// Why a module's functions have no names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Missing {
    /// No file has its name.
    NoFile,
    /// A file has its name, and another build ID than what was loaded.
    OtherBuild(PathBuf),
    /// A file has its name and build ID (or the trace has none), and not the sections that were loaded.
    OtherSections(PathBuf),
    /// The file cannot be read.
    Unreadable(PathBuf, String),
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Missing::NoFile => write!(f, "no .ko was found"),
            Missing::OtherBuild(path) => write!(f, "{} has another build ID", path.display()),
            Missing::OtherSections(path) => write!(f, "{} has other sections", path.display()),
            Missing::Unreadable(path, reason) => write!(f, "{}: {reason}", path.display()),
        }
    }
}

/// A directory to look in, and how deep.
#[derive(Debug)]
struct Place {
    path: PathBuf,
    depth: usize,
}

/// A module's file, or why there is none.
type Answer = Rc<Result<Ko, Missing>>;

/// Where .ko files may be.
#[derive(Debug, Default)]
pub struct ModuleFiles {
    places: Vec<Place>,
    /// Files by module name; those that come first are preferred.
    found: OnceCell<HashMap<String, Vec<PathBuf>>>,
    /// By name and build ID.
    answers: RefCell<HashMap<(String, String), Answer>>,
}

impl ModuleFiles {
    /// The directories that the user names come first; then those where they usually are: beside the
    /// vmlinux (if that is a build tree, all of it; also `modules` there), in the tree that a package with
    /// this vmlinux was unpacked to, and where this machine has them for the release.
    ///
    /// # Errors
    /// [`ResolveError::Modules`]: a directory that the user names cannot be read.
    pub fn new(asked: &[PathBuf], vmlinux: &Path, release: &str) -> Result<ModuleFiles, ResolveError> {
        for path in asked {
            std::fs::read_dir(path).map_err(|source| ResolveError::Modules { path: path.clone(), source })?;
        }
        let mut places: Vec<Place> = asked.iter().map(|path| Place { path: path.clone(), depth: MOST_DEPTH }).collect();
        let beside = vmlinux.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
        // A build tree has such a list; any other directory may have the user's whole disk below it.
        let built = beside.join("modules.order").is_file();
        places.push(Place { path: beside.to_path_buf(), depth: if built { MOST_DEPTH } else { 0 } });
        let mut deep = |path: PathBuf| places.push(Place { path, depth: MOST_DEPTH });
        deep(beside.join("modules"));
        // The release comes from the guest: it must not lead out of the directory.
        let mut parts = Path::new(release).components();
        if let (Some(Component::Normal(_)), None) = (parts.next(), parts.next()) {
            deep(beside.join("../lib/modules").join(release));
            deep(Path::new("/usr/lib/debug/lib/modules").join(release));
            deep(Path::new("/lib/modules").join(release));
        }
        Ok(ModuleFiles { places, ..ModuleFiles::default() })
    }

    /// The file of a module with this build ID; an empty one fits all.
    pub fn find(&self, name: &str, build_id: &str) -> Answer {
        let key = (name.to_owned(), build_id.to_owned());
        if let Some(answer) = self.answers.borrow().get(&key) {
            return Rc::clone(answer);
        }
        let answer = Rc::new(self.search(name, build_id));
        self.answers.borrow_mut().insert(key, Rc::clone(&answer));
        answer
    }

    fn search(&self, name: &str, build_id: &str) -> Result<Ko, Missing> {
        let found = self.found.get_or_init(|| index(&self.places));
        let mut best: Option<Ko> = None;
        let mut why = Missing::NoFile;
        for path in found.get(&plain(name)).into_iter().flatten() {
            let readable = ending(path).is_some_and(|(_, readable)| readable);
            let ko = if readable { Ko::open(path) } else { Err("unpack it: only zstd is understood".to_owned()) };
            match ko {
                Ok(ko) if !build_id.is_empty() && ko.build_id.as_deref() != Some(build_id) => {
                    why = Missing::OtherBuild(path.clone());
                }
                // The stock file names functions, the debug package's has their lines too.
                Ok(ko) if ko.has_debug => return Ok(ko),
                Ok(ko) => best = best.or(Some(ko)),
                Err(reason) if why == Missing::NoFile => why = Missing::Unreadable(path.clone(), reason),
                Err(_) => {}
            }
        }
        best.ok_or(why)
    }
}

/// A module's name as it is compared: the kernel writes `_` for each `-` in a file's name.
fn plain(name: &str) -> String {
    name.replace('-', "_")
}

fn ending(path: &Path) -> Option<(String, bool)> {
    let name = path.file_name()?.to_str()?;
    ENDINGS.iter().find_map(|(ending, readable)| Some((plain(name.strip_suffix(ending)?), *readable)))
}

/// All files with a module's ending. What cannot be read is not there.
fn index(places: &[Place]) -> HashMap<String, Vec<PathBuf>> {
    let mut found: HashMap<String, Vec<PathBuf>> = HashMap::new();
    let mut left = MOST_ENTRIES;
    for place in places {
        let mut todo = vec![(place.path.clone(), place.depth)];
        while let Some((dir, depth)) = todo.pop() {
            let Ok(entries) = std::fs::read_dir(&dir) else { continue };
            let mut paths: Vec<PathBuf> = entries.flatten().take(left).map(|entry| entry.path()).collect();
            left -= paths.len();
            // The order of a directory is the file system's; reports are the same each time.
            paths.sort();
            for path in paths {
                let Ok(kind) = path.symlink_metadata() else { continue };
                if kind.is_dir() && depth > 0 {
                    todo.push((path, depth - 1));
                } else if let Some((name, _)) = ending(&path).filter(|_| path.is_file()) {
                    let files = found.entry(name).or_default();
                    if files.len() < MOST_FILES && !files.contains(&path) {
                        files.push(path);
                    }
                }
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn touch(path: PathBuf) {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, "no ELF").unwrap();
    }

    fn missing(files: &ModuleFiles, name: &str) -> String {
        files.find(name, "").as_ref().as_ref().unwrap_err().to_string()
    }

    #[test]
    fn files_are_found_where_they_usually_are() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        touch(root.join("asked/deep/in/it/snd-one.ko"));
        touch(root.join("boot/beside.ko"));
        touch(root.join("boot/other/not.ko"));
        touch(root.join("boot/modules/x/below.ko.zst"));
        touch(root.join("boot/modules/x/packed.ko.xz"));
        touch(root.join("lib/modules/6.1/kernel/fs/package.ko.debug"));
        touch(root.join("secret/stolen.ko"));
        let vmlinux = root.join("boot/vmlinux");
        let files = ModuleFiles::new(&[root.join("asked")], &vmlinux, "6.1").unwrap();
        for name in ["snd_one", "beside", "below", "package"] {
            assert!(missing(&files, name).contains(&format!("{name}.ko").replace("snd_", "snd-")), "{name}");
        }
        assert_eq!(missing(&files, "not"), "no .ko was found", "no build tree: nothing below is read");
        assert!(missing(&files, "packed").ends_with("packed.ko.xz: unpack it: only zstd is understood"));
        touch(root.join("boot/modules.order"));
        assert!(missing(&ModuleFiles::new(&[], &vmlinux, "").unwrap(), "not").contains("other/not.ko"));
        for release in ["../../secret", "/", "..", "."] {
            let files = ModuleFiles::new(&[], &vmlinux, release).unwrap();
            assert_eq!(missing(&files, "stolen"), "no .ko was found", "{release}");
        }
        assert!(ModuleFiles::new(&[root.join("none")], &vmlinux, "").is_err());
    }
}
