// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! What the tests share. In: which kernel, how many CPUs. Out: files, and boots that were recorded
//! under the witness. The machine that tests run on may have two CPUs: boots happen one at a time,
//! also when each test is a process of its own. Never here: assertions about traces.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use xtask::image::Image;
use xtask::kernels::Kernel;
use xtask::machine::Machine;
use xtask::steps::Steps;
use xtask::witness::{Counts, Witness};
use xtask::{initrd, recording, tools, workspace};

/// Series that tests boot.
pub const OLD: &str = "6.1";
/// The newer one: other structures, another place for the guest's code.
pub const NEW: &str = "6.12";

/// Programs and a place for files.
pub struct Setup {
    /// The release build of the command.
    pub symbolize: PathBuf,
    /// The demo's.
    pub initrd: PathBuf,
    /// For this process alone.
    pub directory: PathBuf,
}

/// Made at the first call.
pub fn setup() -> &'static Setup {
    static SETUP: OnceLock<Setup> = OnceLock::new();
    SETUP.get_or_init(|| {
        let base = Path::new(env!("CARGO_TARGET_TMPDIR")).join("system");
        remove_leftovers(&base);
        let directory = base.join(std::process::id().to_string());
        std::fs::create_dir_all(&directory).expect("a directory for the tests' files");
        tools::ensure(tools::TEST).expect("the tools that the tests call");
        let symbolize =
            workspace::build_release_with("symbolizer", "symbolize", &["parquet"]).expect("a release build");
        let initrd = directory.join("initrd.cpio");
        initrd::build(&initrd).expect("the initial RAM disk");
        Setup { symbolize, initrd, directory }
    })
}

/// Traces and kernels of earlier runs are large; nobody else removes them.
fn remove_leftovers(base: &Path) {
    for entry in std::fs::read_dir(base).into_iter().flatten().flatten() {
        let alive = Path::new("/proc").join(entry.file_name()).exists();
        if !alive {
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
}

/// Held while a kernel boots.
pub fn boot_lock() -> File {
    let file = File::create(Path::new(env!("CARGO_TARGET_TMPDIR")).join("boot.lock")).expect("a lock file");
    file.lock().expect("the lock");
    file
}

/// A kernel and its witness.
pub struct Subject {
    /// The image.
    pub vmlinux: PathBuf,
    /// Counts its call sites.
    pub witness: Witness,
}

/// Debian's kernel of `series`, from the cache or the archive.
pub fn subject(series: &str) -> &'static Subject {
    static SUBJECTS: [OnceLock<Subject>; 2] = [const { OnceLock::new() }; 2];
    SUBJECTS[usize::from(series == NEW)].get_or_init(|| {
        let vmlinux = Kernel::Series(series.into()).vmlinux(&Steps::default()).expect("a kernel");
        let directory = setup().directory.join(series);
        std::fs::create_dir_all(&directory).expect("a directory for the witness");
        let image = Image::read(&vmlinux).expect("a readable kernel");
        let witness = Witness::prepare(&image, &directory).expect("a witness");
        Subject { vmlinux, witness }
    })
}

/// A boot that went to its end.
pub struct Recorded {
    /// Its kernel.
    pub subject: &'static Subject,
    /// The trace directory.
    pub trace: PathBuf,
    /// What the witness saw.
    pub counts: Counts,
    /// What the guest wrote to its console, and `symbolize record` to its stdout.
    pub console: String,
}

/// Records a boot under the witness.
pub fn record(series: &str, cpus: u32) -> Recorded {
    record_with(series, cpus, &format!("{series}-{cpus}cpu"), "")
}

/// The same, with more words on the kernel's command line; `name` tells it from other recordings.
pub fn record_with(series: &str, cpus: u32, name: &str, words: &str) -> Recorded {
    let subject = subject(series);
    let directory = setup().directory.join(name);
    std::fs::create_dir_all(&directory).expect("a directory for the boot");
    let (trace, out) = (directory.join("trace"), directory.join("counts.json"));
    // Without instruction counts the witness is exact with one thread for each CPU, too.
    let machine = Machine { extra: subject.witness.arguments(&out, false), ..Machine::with_cpus(cpus) };
    let _one_at_a_time = boot_lock();
    let setup = setup();
    let mut command =
        recording::record_with(&setup.symbolize, &subject.vmlinux, &setup.initrd, &trace, &machine, words);
    let output = bounded(command.stdout(Stdio::piped()).stderr(Stdio::piped())).output().expect("symbolize runs");
    let console = String::from_utf8_lossy(&output.stdout).into_owned();
    let messages = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "record: {}\n{messages}\n{console}", output.status);
    let counts = Counts::read(&out).expect("the witness's counts");
    Recorded { subject, trace, counts, console }
}

/// The `symbolize record` of a boot.
pub fn recorder(subject: &Subject, trace: &Path, machine: &Machine) -> Command {
    let setup = setup();
    let mut command = recording::record(&setup.symbolize, &subject.vmlinux, &setup.initrd, trace, machine);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// The same command, ended if it hangs: a test that never ends tells nobody why. The bound is far
/// above what any of them takes on a slow machine.
pub fn bounded(command: &Command) -> Command {
    let mut bounded = Command::new("timeout");
    bounded.args(["--kill-after=10", "600"]).arg(command.get_program()).args(command.get_args());
    bounded.stdin(Stdio::null());
    bounded
}

/// The boot that several tests look at: 6.1, one CPU.
pub fn shared() -> &'static Recorded {
    static SHARED: OnceLock<Recorded> = OnceLock::new();
    SHARED.get_or_init(|| record(OLD, 1))
}

/// An empty directory of this name, for one test.
pub fn scratch(name: &str) -> PathBuf {
    let directory = setup().directory.join(name);
    if directory.exists() {
        std::fs::remove_dir_all(&directory).expect("removable");
    }
    std::fs::create_dir_all(&directory).expect("a directory for one test");
    directory
}
