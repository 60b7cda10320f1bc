// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! What the report says about a small boot, in its three forms.

use early_ftrace_format::event::Event;
use serde_json::Value;
use symbolizer::trace_dir::Meta;

use super::fixture::{BUILD_ID, Fixture, symbolize};

fn function<'a>(json: &'a Value, name: &str) -> &'a Value {
    let functions = json["functions"].as_array().unwrap();
    functions.iter().find(|function| function["name"] == name).unwrap_or_else(|| panic!("no {name} in {json:#}"))
}

#[test]
fn json_has_the_summary_and_all_functions() {
    let fixture = Fixture::new();
    let json = fixture.json(&fixture.boot(), &[]);
    let summary = &json["summary"];
    assert_eq!(summary["events"], 18);
    assert_eq!(summary["lost"], 0);
    assert_eq!(summary["cpus"], 2);
    assert_eq!(summary["span_ns"], 100_000);
    assert_eq!(summary["kernel_release"], "6.1.0-test");
    assert_eq!(summary["build_id"], BUILD_ID);
    assert_eq!(summary["sites"], 6);
    assert_eq!(summary["sites_hit"], 5);
    assert_eq!(summary["ended"], "power-off");
    assert_eq!(json["functions"].as_array().unwrap().len(), 5);

    let kmalloc = function(&json, "__kmalloc");
    assert_eq!(kmalloc["calls"], 4);
    assert_eq!(kmalloc["total_ns"], 1_500 + 1_000 + 1_000 + 500);
    assert_eq!((&kmalloc["min_ns"], &kmalloc["max_ns"]), (&500.into(), &1_500.into()));
    assert_eq!(kmalloc["file"], "mm/slub.c");
    assert_eq!(kmalloc["line"], 1);
    assert_eq!(kmalloc["aliases"], 1);
    let site = fixture.site("__kmalloc");
    assert_eq!(kmalloc["site"], format!("{:#x}", site - 5));
    assert_eq!(kmalloc["address"], format!("{:#x}", site - 5));

    // From 1,021,000 to 1,090,000, away from 1,030,000 to 1,050,000.
    let acpi = function(&json, "acpi_early_init");
    assert_eq!(acpi["total_ns"], 49_000);
    assert_eq!(acpi["self_ns"], 49_000 - 1_500);
    assert_eq!(acpi["file"], "drivers/acpi/osl.c");
    assert_eq!(function(&json, "kmem_cache_init")["ended_with_task"], 1);
    assert_eq!(function(&json, "rest_init")["idle_calls"], 1);
    assert_eq!(json["open"][0]["stack"][0]["name"], "start_kernel");
}

#[test]
fn text_keeps_to_the_width() {
    let fixture = Fixture::new();
    let trace = fixture.boot();
    for width in [80, 100, 120] {
        let text = fixture.output(&trace, &["--lines", "--width", &width.to_string()]);
        let longest = text.lines().map(|line| line.chars().count()).max().unwrap();
        assert!(longest <= width, "{longest} columns:\n{text}");
        assert!(!text.contains('\u{1b}'), "colours without a terminal");
    }
}

#[test]
fn losses_and_damage_are_told() {
    let fixture = Fixture::new();
    let mut chunks = fixture.boot_chunks();
    chunks[0].push((1_200_000, 1234, 0, vec![fixture.leaf("__kmalloc", 1_201_000, 1_202_000)]));
    let trace = fixture.trace(Meta { ended: None, ..fixture.meta() }, &chunks);
    let text = fixture.output(&trace, &[]);
    assert!(text.contains("1,234 events were lost"), "{text}");
    assert!(text.contains("1 open call was cut"), "{text}");
    assert!(text.contains("the end is missing"), "{text}");
    assert_eq!(fixture.json(&trace, &[])["summary"]["lost"], 1234);

    // Damage in the payload of the first block of CPU 0.
    let file = trace.join("cpu0.eft");
    let mut bytes = std::fs::read(&file).unwrap();
    let last = bytes.len() - 1;
    bytes[last] ^= 0xff;
    std::fs::write(&file, bytes).unwrap();
    let json = fixture.json(&trace, &[]);
    assert_eq!(json["summary"]["gaps"], 1);
    assert!(json["gaps"][0]["reason"].as_str().unwrap().contains("block 0"), "{json:#}");
    assert!(fixture.output(&trace, &[]).contains("Not whole"));
}

#[test]
fn without_a_frequency_times_are_in_ticks() {
    let fixture = Fixture::new();
    let trace = fixture.trace(Meta { tsc_khz: None, ..fixture.meta() }, &fixture.boot_chunks());
    let json = fixture.json(&trace, &[]);
    assert_eq!(function(&json, "__kmalloc")["total_ns"], Value::Null);
    assert_eq!(function(&json, "__kmalloc")["total_ticks"], 4_000);
    assert!(fixture.output(&trace, &[]).contains("1.50 kt"));
}

#[test]
fn without_debug_information_there_are_names_and_no_files() {
    let fixture = Fixture::with(&[]);
    let json = fixture.json(&fixture.boot(), &[]);
    assert_eq!(function(&json, "__kmalloc")["file"], Value::Null);
    assert_eq!(json["subsystems"][0]["name"], "[no source known]");
}

#[test]
fn every_kind_of_debug_section_is_read() {
    for options in [
        &["-gdwarf-4"][..],
        &["-gdwarf-5"],
        &["-gdwarf-5", "-gz=zlib"],
        &["-g", "-Wl,--emit-relocs"],
        // Functions in sections of their own make range lists.
        &["-gdwarf-5", "-ffunction-sections"],
    ] {
        let fixture = Fixture::with(options);
        let json = fixture.json(&fixture.boot(), &[]);
        let place = function(&json, "start_kernel");
        assert_eq!((&place["file"], &place["line"]), (&"init/main.c".into(), &6.into()), "{options:?}");
    }
}

#[test]
fn module_code_has_addresses_for_names() {
    let fixture = Fixture::new();
    let site = 0xffff_ffff_c000_1005;
    let events = vec![early_ftrace_format::event::Event::Leaf { site, start: 10, end: 20 }];
    let trace = fixture.trace(fixture.meta(), &[vec![(0, 0, 1, events)]]);
    let json = fixture.json(&trace, &[]);
    assert_eq!(json["functions"][0]["name"], "[module] 0xffffffffc0001000");
    assert_eq!(json["summary"]["sites_in_modules"], 1);
    assert_eq!(json["summary"]["sites_hit"], 0);
}

#[test]
fn addresses_are_one_line_each() {
    let fixture = Fixture::new();
    let trace = fixture.boot();
    let args = ["addresses".as_ref(), trace.as_os_str(), fixture.vmlinux.as_os_str()];
    let output = symbolize(args);
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(text.lines().count(), 5, "{text}");
    let address = fixture.site("acpi_early_init") - 5;
    assert!(text.contains(&format!("{address:#x} acpi_early_init drivers/acpi/osl.c:1\n")), "{text}");
}

#[test]
fn inlined_functions_are_named_with_the_place_of_the_call() {
    let fixture = Fixture::new();
    let trace = fixture.boot();
    assert!(fixture.json(&trace, &[])["inlined"].is_null(), "only on request");
    let json = fixture.json(&trace, &["--inlines"]);
    let of = json["inlined"].as_array().unwrap().iter().find(|row| row["function"] == "acpi_early_init").unwrap();
    let parts = of["parts"].as_array().unwrap();
    assert_eq!(parts.len(), 1, "{of:#}");
    assert_eq!((&parts[0]["name"], &parts[0]["depth"]), (&"map_tables".into(), &1.into()));
    assert_eq!((&parts[0]["file"], &parts[0]["line"]), (&"drivers/acpi/osl.c".into(), &1.into()));
    assert_eq!(parts[0]["bytes"], 2, "two nops");
    let text = fixture.output(&trace, &["--inlines"]);
    assert!(text.contains("map_tables  drivers/acpi/osl.c:1"), "{text}");
}

#[test]
fn a_kernel_that_kaslr_moved_has_its_names_and_addresses() {
    let fixture = Fixture::new();
    let at_home = fixture.json(&fixture.boot(), &[]);
    assert_eq!(at_home["summary"]["slide"], "0x0");
    let slide = 0x1e20_0000;
    let moved = |event: Event| match event {
        Event::Entry { site, time } => Event::Entry { site: site + slide, time },
        Event::Leaf { site, start, end } => Event::Leaf { site: site + slide, start, end },
        other => other,
    };
    let mut chunks = fixture.boot_chunks();
    for (_, _, _, events) in chunks.iter_mut().flatten() {
        events.iter_mut().for_each(|event| *event = moved(*event));
    }
    let meta = |text_start| Meta { text_start, ..fixture.meta() };
    let linked = 0xffff_ffff_8100_0000;
    let trace = fixture.trace(meta(linked + slide), &chunks);
    let mut json = fixture.json(&trace, &[]);
    assert_eq!(json["summary"]["slide"], "0x1e200000");
    json["summary"]["slide"] = at_home["summary"]["slide"].clone();
    assert_eq!(json, at_home, "all else is as if it had not moved");
    assert!(fixture.output(&trace, &[]).contains("slide         0x1e200000: KASLR"));
    let tree = fixture.output(&trace, &["--format", "tree", "--lines"]);
    assert!(tree.contains("acpi_early_init(); /* drivers/acpi/osl.c:1 */") || tree.contains("acpi_early_init() {"));
    assert!(tree.contains("/* mm/slub.c:1 */"), "{tree}");

    let nonsense = fixture.trace(meta(linked + 0x1000), &chunks);
    let output = fixture.symbolize(&nonsense, &[]);
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("a multiple of 2 MiB"));
    assert!(fixture.symbolize(&nonsense, &["--force"]).status.success());
}
