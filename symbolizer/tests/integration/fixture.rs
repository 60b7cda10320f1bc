// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! What the tests share: a small "kernel" compiled with gcc, traces of it, the command.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use early_ftrace_format::encode::Encoder;
use early_ftrace_format::event::Event;
use early_ftrace_format::shared::{CHUNK_MAGIC, ChunkHeader};
use symbolizer::report::Names;
use symbolizer::report::names::CALL;
use symbolizer::resolve::Vmlinux;
use symbolizer::trace_dir::{Ended, Existing, Meta, TraceWriter};
use tempfile::TempDir;

pub const BUILD_ID: &str = "0123456789abcdef0123456789abcdef01234567";

const SOURCES: [(&str, &str); 3] = [
    (
        "init/main.c",
        "void setup_arch(void);\nvoid kmem_cache_init(void);\nvoid acpi_early_init(void);\n\
         static __attribute__((noinline)) void rest_init(void) { asm volatile(\"\"); }\n\
         void start_kernel(void)\n{\n\tkmem_cache_init();\n\tacpi_early_init();\n\trest_init();\n}\n\
         void _start(void) { start_kernel(); }\n\
         void __attribute__((no_instrument_function)) __fentry__(void) {}\n",
    ),
    (
        "mm/slub.c",
        "void __kmalloc(void) { asm volatile(\"\"); }\n\
         void kmalloc_alias(void) __attribute__((weak, alias(\"__kmalloc\")));\n\
         void kmem_cache_init(void)\n{\n\t__kmalloc();\n\tasm volatile(\"\");\n}\n",
    ),
    (
        "drivers/acpi/osl.c",
        "static inline __attribute__((always_inline)) void map_tables(void) { asm volatile(\"nop; nop\"); } \
         void acpi_early_init(void) { map_tables(); }\n",
    ),
];

const SCRIPT: &str = "SECTIONS {
  . = 0xffffffff81000000;
  .text : { _stext = .; *(.text*) }
  .notes : { *(.note.gnu.build-id) }
  .init.data : { __start_mcount_loc = .; KEEP(*(__mcount_loc)) QUAD(0) __stop_mcount_loc = .; }
  .data : { *(.data*) *(.bss*) }
  /DISCARD/ : { *(.eh_frame*) *(.comment) *(.note.GNU-stack) *(.note.gnu.property) }
}";

/// The same with each function at an address of its own: what a golden shows must not depend on how
/// long a compiler makes them.
const PINNED: &str = "SECTIONS {
  . = 0xffffffff81000000;
  .text : { _stext = .;
    *(.text.start_kernel) . = 0x100; *(.text.rest_init*) . = 0x200; *(.text.kmem_cache_init) . = 0x300;
    *(.text.__kmalloc) . = 0x400; *(.text.acpi_early_init) . = 0x500; *(.text*)
  }
  .notes : { *(.note.gnu.build-id) }
  .init.data : { __start_mcount_loc = .; KEEP(*(__mcount_loc)) QUAD(0) __stop_mcount_loc = .; }
  .data : { *(.data*) *(.bss*) }
  /DISCARD/ : { *(.eh_frame*) *(.comment) *(.note.GNU-stack) *(.note.gnu.property) }
}";

/// A chunk of a CPU: opening time, events lost before, running pid, events.
pub type Chunk = (u64, u64, u32, Vec<Event>);

/// A directory with a "kernel" in it.
pub struct Fixture {
    pub dir: TempDir,
    pub vmlinux: PathBuf,
    sites: HashMap<String, u64>,
}

impl Fixture {
    pub fn new() -> Fixture {
        Fixture::with(&["-g"])
    }

    /// With functions at fixed addresses.
    pub fn pinned() -> Fixture {
        Fixture::linked(&["-g", "-ffunction-sections"], PINNED)
    }

    /// Compiled with these options too.
    pub fn with(options: &[&str]) -> Fixture {
        Fixture::linked(options, SCRIPT)
    }

    fn linked(options: &[&str], script: &str) -> Fixture {
        let dir = tempfile::tempdir().unwrap();
        for (name, text) in SOURCES {
            let path = dir.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        std::fs::write(dir.path().join("script.ld"), script).unwrap();
        let output = Command::new("gcc")
            .current_dir(dir.path())
            .args(["-O1", "-pg", "-mfentry", "-mrecord-mcount", "-mcmodel=kernel", "-fno-pie", "-no-pie"])
            .args(["-ffreestanding", "-nostdlib", "-static", "-fcf-protection=none", "-fno-ipa-icf"])
            .arg(format!("-Wl,-T,script.ld,--build-id=0x{BUILD_ID}"))
            .args(options)
            .args(SOURCES.map(|source| source.0))
            .args(["-o", "vmlinux"])
            .output()
            .expect("gcc is needed for this test");
        assert!(output.status.success(), "gcc: {}", String::from_utf8_lossy(&output.stderr));
        let vmlinux = dir.path().join("vmlinux");
        let sites = sites(&vmlinux);
        Fixture { dir, vmlinux, sites }
    }

    /// What the guest records for a function.
    pub fn site(&self, name: &str) -> u64 {
        self.sites[name]
    }

    pub fn enter(&self, name: &str, time: u64) -> Event {
        Event::Entry { site: self.site(name), time }
    }

    pub fn leaf(&self, name: &str, start: u64, end: u64) -> Event {
        Event::Leaf { site: self.site(name), start, end }
    }

    pub fn meta(&self) -> Meta {
        Meta {
            format_version: 1,
            words_version: 1,
            tool: "test".to_owned(),
            release: "6.1.0-test".to_owned(),
            build_id: BUILD_ID.to_owned(),
            command_line: "console=ttyS0 panic=-1".to_owned(),
            cpus: 1,
            tsc_khz: Some(1_000_000),
            ended: Some(Ended::PowerOff),
            ..Meta::default()
        }
    }

    /// Writes a trace; for each CPU its chunks.
    pub fn trace(&self, mut meta: Meta, cpus: &[Vec<Chunk>]) -> PathBuf {
        let path = self.dir.path().join("trace");
        meta.cpus = cpus.len() as u32;
        let mut writer = TraceWriter::create(&path, &meta, Existing::Replace).unwrap();
        for (cpu, chunks) in (0u32..).zip(cpus) {
            for (seq, (tsc, lost, pid, events)) in (0u64..).zip(chunks) {
                let mut words = Vec::new();
                let mut encoder = Encoder::new(*tsc);
                for &event in events {
                    encoder.push(event, |word| words.push(word)).unwrap();
                }
                let header = ChunkHeader {
                    magic: CHUNK_MAGIC,
                    cpu,
                    seq,
                    tsc: *tsc,
                    lost: *lost,
                    pid: *pid,
                    ..ChunkHeader::default()
                };
                writer.append_chunk(cpu, &header, &words).unwrap();
            }
        }
        writer.finish(&mut meta).unwrap();
        path
    }

    /// A small boot on two CPUs: nested calls, a task that moves, an interrupt while idle.
    pub fn boot(&self) -> PathBuf {
        self.trace(self.meta(), &self.boot_chunks())
    }

    pub fn boot_chunks(&self) -> [Vec<Chunk>; 2] {
        let named = |pid, name: &[u8]| {
            let mut comm = [0; 16];
            comm[..name.len()].copy_from_slice(name);
            Event::Named { pid, name: comm }
        };
        let switch = |pid, time| Event::Switch { state: 1, prio: 120, pid, time };
        [
            vec![(
                1_000_000,
                0,
                0,
                vec![
                    self.enter("start_kernel", 1_000_000),
                    self.enter("kmem_cache_init", 1_001_000),
                    self.leaf("__kmalloc", 1_002_000, 1_003_500),
                    self.leaf("__kmalloc", 1_004_000, 1_005_000),
                    Event::Exit { time: 1_010_000 },
                    named(1, b"init"),
                    switch(1, 1_020_000),
                    self.enter("acpi_early_init", 1_021_000),
                    self.leaf("__kmalloc", 1_022_000, 1_023_000),
                    switch(0, 1_030_000),
                    self.leaf("rest_init", 1_040_000, 1_040_200),
                ],
            )],
            vec![(
                1_000_500,
                0,
                0,
                vec![
                    self.leaf("rest_init", 1_000_600, 1_000_700),
                    switch(1, 1_050_000),
                    self.leaf("__kmalloc", 1_051_000, 1_051_500),
                    Event::Exit { time: 1_090_000 },
                    self.enter("kmem_cache_init", 1_091_000),
                    Event::Ended { pid: 1 },
                    switch(0, 1_100_000),
                ],
            )],
        ]
    }

    /// Runs `symbolize` with the trace, the vmlinux and these arguments.
    pub fn symbolize(&self, trace: &Path, args: &[&str]) -> Output {
        symbolize([trace.as_os_str(), self.vmlinux.as_os_str()].into_iter().chain(args.iter().map(|arg| arg.as_ref())))
    }

    /// The same, its standard output; it must succeed.
    pub fn output(&self, trace: &Path, args: &[&str]) -> String {
        let output = self.symbolize(trace, args);
        assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    pub fn json(&self, trace: &Path, args: &[&str]) -> serde_json::Value {
        let args: Vec<&str> = args.iter().copied().chain(["--format", "json"]).collect();
        serde_json::from_str(&self.output(trace, &args)).unwrap()
    }
}

/// Runs the command.
pub fn symbolize<'a>(args: impl IntoIterator<Item = &'a std::ffi::OsStr>) -> Output {
    Command::new(env!("CARGO_BIN_EXE_symbolize"))
        .args(args)
        .env_remove("COLUMNS")
        .env("EFT_NAMES_CACHE", "off")
        .output()
        .unwrap()
}

fn sites(vmlinux: &Path) -> HashMap<String, u64> {
    let vmlinux = Vmlinux::open(vmlinux).unwrap();
    let names = Names::open(&vmlinux).unwrap();
    let calls = names.call_sites().unwrap();
    calls.into_iter().map(|call| (names.quick(call + CALL).name, call + CALL)).collect()
}
