// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! Exports of sums, of a boot so small that each line is known: flame graph, folded stacks, callgrind, Firefox.

use std::io::Read;
use std::path::PathBuf;

use early_ftrace_format::event::Event;

use super::fixture::Fixture;

/// `start_kernel` calls `kmem_cache_init`, which calls `__kmalloc`, which calls that again; and a loss.
fn trace(fixture: &Fixture) -> PathBuf {
    let events = vec![
        fixture.enter("start_kernel", 1_000_000),
        fixture.enter("kmem_cache_init", 1_010_000),
        fixture.enter("__kmalloc", 1_020_000),
        fixture.leaf("kmem_cache_init", 1_030_000, 1_034_000),
        Event::Exit { time: 1_040_000 },
        Event::Exit { time: 1_050_000 },
        Event::Exit { time: 1_100_000 },
    ];
    let lost = vec![fixture.leaf("rest_init", 1_300_000, 1_300_500)];
    fixture.trace(fixture.meta(), &[vec![(1_000_000, 0, 1, events), (1_200_000, 5, 1, lost)]])
}

#[test]
fn callgrind_separates_recursion() {
    let fixture = Fixture::pinned();
    let text = fixture.output(&trace(&fixture), &["--format", "callgrind"]);
    assert!(text.contains("events: Time Calls\nsummary: 100500 5\n"), "{text}");
    for part in [
        "fn=(1) [?-1]\n0 0 0\ncfi=(2) init/main.c\ncfn=(2) start_kernel\ncalls=1 6\n0 100000 4\n",
        "\nfl=(2)\nfn=(2)\n6 60000 1\ncfi=(3) mm/slub.c\ncfn=(4) kmem_cache_init\ncalls=1 4\n6 40000 3\n",
        "\nfl=(3)\nfn=(4)\n4 20000 1\ncfi=(3)\ncfn=(5) __kmalloc\ncalls=1 1\n4 20000 2\n",
        "\nfl=(3)\nfn=(5)\n1 16000 1\ncfi=(3)\ncfn=(6) kmem_cache_init'2\ncalls=1 4\n1 4000 1\n",
    ] {
        assert!(text.contains(part), "{part}\nis not in\n{text}");
    }
}

#[test]
fn a_flame_graph_has_notes_and_folded_stacks_draw_the_same() {
    let fixture = Fixture::pinned();
    let trace = trace(&fixture);
    let svg = fixture.output(&trace, &["--format", "flamegraph"]);
    for title in [
        "all (100,500 ns, 100%)",
        "start_kernel (100,000 ns, 99.50%; self 60.0 us, in init, 1 call)",
        "kmem_cache_init (40,000 ns, 39.80%; self 20.0 us, in mm, 1 call)",
        "kmem_cache_init (4,000 ns, 3.98%; self 4.00 us, in mm, 1 call)",
    ] {
        assert!(svg.contains(&format!("<title>{title}</title>")), "{title}\nis not in\n{svg}");
    }
    assert!(!svg.contains('\u{e000}') && svg.contains("Boot of Linux 6.1.0-test"));

    // inferno, as its users call it, on our folded stacks.
    let folded = fixture.output(&trace, &["--format", "folded"]);
    let mut drawn = Vec::new();
    let mut options = inferno::flamegraph::Options::default();
    inferno::flamegraph::from_lines(&mut options, folded.lines(), &mut drawn).unwrap();
    let drawn = String::from_utf8(drawn).unwrap();
    for title in ["all (100,500 samples, 100%)", "start_kernel (100,000 samples, 99.50%)"] {
        assert!(drawn.contains(title), "{title}\nis not in\n{folded}");
    }
    // What leaves nothing is an error, and no file is left behind.
    let path = fixture.dir.path().join("none.svg");
    let output = fixture.symbolize(&trace, &["-o", path.to_str().unwrap(), "--cpu", "7"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("nothing to draw") && !path.exists());
}

#[test]
fn firefox_samples_weigh_self_time() {
    let fixture = Fixture::pinned();
    let trace = trace(&fixture);
    let path = fixture.dir.path().join("boot.json.gz");
    fixture.output(&trace, &["-o", path.to_str().unwrap()]);
    let mut text = String::new();
    flate2::read::GzDecoder::new(std::fs::File::open(&path).unwrap()).read_to_string(&mut text).unwrap();
    let profile: serde_json::Value = serde_json::from_str(&text).unwrap();
    let thread = &profile["threads"][1];
    let at = |table: &str, column: &str, index: &serde_json::Value| {
        thread[table][column][index.as_u64().unwrap() as usize].clone()
    };
    let mut own = std::collections::BTreeMap::new();
    let samples = &thread["samples"];
    for (stack, weight) in samples["stack"].as_array().unwrap().iter().zip(samples["weight"].as_array().unwrap()) {
        if stack.is_null() {
            continue;
        }
        let func = at("frameTable", "func", &at("stackTable", "frame", stack));
        let name = &thread["stringArray"][at("funcTable", "name", &func).as_u64().unwrap() as usize];
        let sum: &mut u64 = own.entry(name.as_str().unwrap().to_owned()).or_default();
        *sum += (weight.as_f64().unwrap() * 1e6).round() as u64;
    }
    let own: Vec<(String, u64)> = own.into_iter().collect();
    let wanted = [("__kmalloc", 16_000), ("kmem_cache_init", 24_000), ("rest_init", 500), ("start_kernel", 60_000)];
    assert_eq!(own, wanted.map(|(name, time)| (name.to_owned(), time)));
    let markers = &profile["threads"][0]["markers"];
    assert_eq!(markers["data"][0]["what"], "5 events lost");
}
