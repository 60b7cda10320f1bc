// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! Modules compiled on the spot: functions are named from their .ko files, two of which have had their
//! init code at the same address.

use std::path::{Path, PathBuf};
use std::process::Command;

use early_ftrace_format::event::Event;
use early_ftrace_format::mark::Mark;
use object::{Object, ObjectSection, ObjectSymbol};
use serde_json::Value;
use symbolizer::report::names::CALL;

use super::fixture::{Fixture, symbolize};

/// Where both have their init code; each has its own text.
const INIT: u64 = 0xffff_ffff_c010_0000;
const TEXT: [u64; 2] = [0xffff_ffff_c000_0000, 0xffff_ffff_c000_4000];

const NAMES: [&str; 2] = ["snd_one", "two"];
const BUILD_IDS: [&str; 2] = ["1111111111111111111111111111111111111111", "2222222222222222222222222222222222222222"];

fn run(dir: &Path, command: &str, args: &[&str]) {
    let output = Command::new(command).current_dir(dir).args(args).output().expect("gcc and ld are needed");
    assert!(output.status.success(), "{command}: {}", String::from_utf8_lossy(&output.stderr));
}

/// Compiles the module with this number to `dir/FILE`.
fn compile(dir: &Path, number: usize, file: &str, build_id: &str, options: &[&str]) -> PathBuf {
    let name = NAMES[number];
    let source = format!(
        "#define INIT __attribute__((section(\".init.text\"), noinline))\n\
         static __attribute__((noinline)) void {name}_inner(void) {{ asm volatile(\"\"); }}\n\
         void {name}_work(void) {{ {name}_inner(); asm volatile(\"\"); }}\n\
         static INIT int {name}_start(void) {{ {name}_work(); return 0; }}\n\
         int init_module(void) __attribute__((alias(\"{name}_start\")));\n"
    );
    std::fs::create_dir_all(dir.join("drivers")).unwrap();
    let path = format!("drivers/{name}.c");
    std::fs::write(dir.join(&path), source).unwrap();
    let mut args = vec!["-O1", "-c", "-pg", "-mfentry", "-mcmodel=kernel", "-fno-pie", "-ffreestanding"];
    args.extend(["-fcf-protection=none", "-o", "module.o", &path]);
    args.extend(options);
    run(dir, "gcc", &args);
    run(dir, "ld", &["-r", &format!("--build-id=0x{build_id}"), "-o", file, "module.o"]);
    dir.join(file)
}

/// Bases of a module's sections, in the order in which a .ko has them.
fn base(number: usize, section: &str) -> u64 {
    if section == ".init.text" { INIT } else { TEXT[number] }
}

/// What the guest writes when it loads the file.
fn load(ko: &Path, number: usize, time: u64) -> Vec<Event> {
    let mark = |mark, value| Event::Mark { mark, value, time };
    let parts = |bytes: &[u8]| -> Vec<u32> {
        let padded = |part: &[u8]| part.iter().rev().fold(0, |value, &byte| value << 8 | u32::from(byte));
        bytes.chunks(4).map(padded).collect()
    };
    let data = std::fs::read(ko).unwrap();
    let elf = object::File::parse(&*data).unwrap();
    let name = parts(NAMES[number].as_bytes());
    let build_id = parts(elf.build_id().unwrap().unwrap());
    let mut marks: Vec<Event> = (0..).zip(name).map(|(part, value)| mark(Mark::ModuleName(part), value)).collect();
    marks.extend((0..).zip(build_id).map(|(part, value)| mark(Mark::ModuleBuildId(part), value)));
    for section in elf.sections().filter(|section| section.kind() == object::SectionKind::Text) {
        let index = section.index().0 as u16;
        marks.push(mark(Mark::SectionAddress(index), base(number, section.name().unwrap()) as u32));
        marks.push(mark(Mark::SectionSize(index), section.size() as u32));
    }
    marks.push(mark(Mark::ModuleLoaded, 0));
    marks
}

/// What the guest records for a function of the file.
fn site(ko: &Path, number: usize, function: &str) -> u64 {
    let data = std::fs::read(ko).unwrap();
    let elf = object::File::parse(&*data).unwrap();
    let symbol = elf.symbols().find(|symbol| symbol.name() == Ok(function)).unwrap();
    let section = elf.section_by_index(symbol.section_index().unwrap()).unwrap();
    base(number, section.name().unwrap()) + symbol.address() + CALL
}

/// A boot that loads both, one after the other.
fn boot(fixture: &Fixture, files: [&Path; 2]) -> PathBuf {
    let mut events = vec![fixture.leaf("__kmalloc", 1_000, 1_010)];
    for (number, ko) in files.into_iter().enumerate() {
        let time = 2_000 + 10_000 * number as u64;
        let name = |part: &str| site(ko, number, &format!("{}_{part}", NAMES[number]));
        events.extend(load(ko, number, time));
        events.push(Event::Entry { site: name("start"), time: time + 100 });
        events.push(Event::Entry { site: name("work"), time: time + 200 });
        events.extend((0..=number as u64).map(|nth| Event::Leaf {
            site: name("inner"),
            start: time + 300 + 20 * nth,
            end: time + 310 + 20 * nth,
        }));
        events.extend([Event::Exit { time: time + 400 }, Event::Exit { time: time + 500 }]);
    }
    fixture.trace(fixture.meta(), &[vec![(500, 0, 1, events)]])
}

/// Name, module, calls, file and line of each function in modules, by name.
fn functions(json: &Value) -> Vec<String> {
    let all = json["functions"].as_array().unwrap().iter().filter(|function| !function["module"].is_null());
    let mut lines: Vec<String> = all
        .map(|function| {
            let text = |key: &str| function[key].as_str().unwrap_or("-").to_owned();
            let (calls, line) = (&function["calls"], &function["line"]);
            format!("{}, {}, {calls}, {}:{line}", text("name"), text("module"), text("file"))
        })
        .collect();
    lines.sort();
    lines
}

const NAMED: [&str; 6] = [
    "snd_one_inner [snd_one], snd_one, 1, drivers/snd_one.c:2",
    "snd_one_start [snd_one], snd_one, 1, drivers/snd_one.c:4",
    "snd_one_work [snd_one], snd_one, 1, drivers/snd_one.c:3",
    "two_inner [two], two, 2, drivers/two.c:2",
    "two_start [two], two, 1, drivers/two.c:4",
    "two_work [two], two, 1, drivers/two.c:3",
];

#[test]
fn functions_are_named_from_ko_files() {
    for debug in ["-gdwarf-4", "-gdwarf-5"] {
        let fixture = Fixture::new();
        let dir = fixture.dir.path();
        std::fs::create_dir_all(dir.join("kos/deep")).unwrap();
        let one = compile(dir, 0, "kos/deep/snd-one.ko", BUILD_IDS[0], &[debug]);
        let two = compile(dir, 1, "kos/two.ko.debug", BUILD_IDS[1], &[debug]);
        assert_eq!(site(&one, 0, "snd_one_start"), site(&two, 1, "two_start"), "one address, two functions");
        let trace = boot(&fixture, [&one, &two]);
        let kos = dir.join("kos");
        let kos = ["--modules", kos.to_str().unwrap()];
        let json = fixture.json(&trace, &kos);
        assert_eq!(functions(&json), NAMED, "{debug}");
        assert_eq!(json["summary"]["modules"], 2);
        assert_eq!(json["summary"]["sites_in_modules"], 6);
        assert!(json["summary"]["modules_nameless"].as_array().unwrap().is_empty());
        let start = json["functions"].as_array().unwrap().iter().find(|f| f["name"] == "two_start [two]").unwrap();
        assert_eq!(start["address"], format!("{INIT:#x}"));

        // The kernel has one function in the trace, in mm; the modules' are in drivers.
        let text = fixture.output(&trace, &[&kos[..], &["--lines"]].concat());
        assert!(text.contains("6 more in modules\n") && text.contains("drivers/two.c:3"), "{text}");
        let only = [&kos[..], &["--function", "two_inner", "--inside", "* [two]"]].concat();
        assert_eq!(functions(&fixture.json(&trace, &only)), [NAMED[3]]);
        let tree = fixture.output(&trace, &[&kos[..], &["--format", "tree"]].concat());
        let order: Vec<Option<usize>> = ["snd_one_start [snd_one]()", "two_start [two]()", "two_inner [two]();"]
            .map(|name| tree.find(name))
            .to_vec();
        assert!(order.iter().all(Option::is_some) && order.is_sorted(), "{tree}");
        let output = symbolize(
            ["addresses".as_ref(), trace.as_os_str(), fixture.vmlinux.as_os_str()]
                .into_iter()
                .chain(kos.iter().map(|arg| arg.as_ref())),
        );
        let lines = String::from_utf8(output.stdout).unwrap();
        for name in ["snd_one_start [snd_one] drivers/snd_one.c:4", "two_start [two] drivers/two.c:4"] {
            assert!(lines.contains(&format!("{INIT:#x} {name}\n")), "{lines}");
        }
    }
}

#[test]
fn without_a_file_or_with_another_the_section_is_named_and_the_reason() {
    let fixture = Fixture::new();
    let dir = fixture.dir.path();
    let one = compile(dir, 0, "one.elf", BUILD_IDS[0], &[]);
    let two = compile(dir, 1, "two.elf", BUILD_IDS[1], &[]);
    let trace = boot(&fixture, [&one, &two]);
    // Of the same name, and another build: never a wrong name.
    std::fs::create_dir(dir.join("modules")).unwrap();
    compile(dir, 1, "modules/two.ko", BUILD_IDS[0], &[]);
    let json = fixture.json(&trace, &[]);
    let found = functions(&json);
    assert_eq!(found.len(), 6);
    assert!(found.iter().all(|line| line.starts_with("section ")), "{found:#?}");
    let starts: Vec<&String> = found.iter().filter(|line| line.contains("+0x0 [two], two, ")).collect();
    assert_eq!(starts.len(), 2, "the first functions of its two sections: {found:#?}");
    let why: Vec<(&str, &str)> = json["summary"]["modules_nameless"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| (row["module"].as_str().unwrap(), row["reason"].as_str().unwrap()))
        .collect();
    assert_eq!(why[0], ("snd_one", "no .ko was found"));
    assert!(why[1].0 == "two" && why[1].1.ends_with("modules/two.ko has another build ID"), "{why:?}");
    let text = fixture.output(&trace, &["--width", "400"]);
    assert!(text.contains("no .ko was found for snd_one; two: ") && text.contains("--modules DIR"), "{text}");
    assert!(text.contains("6 more in modules, shown without names"), "{text}");

    // Of the same build ID, and other sections.
    std::fs::write(dir.join("modules/two.ko"), std::fs::read(&one).unwrap()).unwrap();
    let grown = compile(dir, 1, "modules/two.ko", BUILD_IDS[1], &["-O0"]);
    assert_ne!(std::fs::read(grown).unwrap(), std::fs::read(&two).unwrap());
    let reason = fixture.json(&trace, &[])["summary"]["modules_nameless"][1]["reason"].clone();
    assert!(reason.as_str().unwrap().ends_with("modules/two.ko has other sections"), "{reason}");

    // The right ones, beside the vmlinux, one of them packed: found unasked. They have no DWARF.
    std::fs::copy(&two, dir.join("modules/two.ko")).unwrap();
    std::fs::write(dir.join("snd-one.ko.zst"), zstd::encode_all(&*std::fs::read(&one).unwrap(), 1).unwrap()).unwrap();
    let names: Vec<String> =
        NAMED.iter().map(|line| format!("{}, -:null", line.rsplit_once(", ").unwrap().0)).collect();
    assert_eq!(functions(&fixture.json(&trace, &[])), names);
}
