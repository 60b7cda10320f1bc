// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! The page of small traces: what is in its data, and that what comes from outside stays text. What a browser
//! makes of a page is tested in `tests/system/readers/html.rs`.

use early_ftrace_format::event::Event;
use serde_json::{Value, json};
use symbolizer::trace_dir::Meta;

use super::fixture::Fixture;

/// The data of a page.
fn data(page: &str) -> Value {
    let (_, rest) = page.split_once(r#"id="data">"#).expect("data");
    serde_json::from_str(rest.split_once("</script>").expect("an end").0).expect("JSON")
}

fn column(data: &Value, path: &str) -> Vec<i64> {
    data.pointer(path).expect("a column").as_array().unwrap().iter().map(|n| n.as_i64().unwrap()).collect()
}

#[test]
fn each_call_of_a_small_boot_is_drawn_once() {
    let fixture = Fixture::pinned();
    let trace = fixture.boot();
    let page = fixture.output(&trace, &["--format", "html"]);
    let data = data(&page);
    let names: Vec<&str> = data["functions"]["name"].as_array().unwrap().iter().map(|n| n.as_str().unwrap()).collect();
    let functions = column(&data, "/spans/function");
    let mut drawn: Vec<String> = Vec::new();
    let mut start = 0;
    for (index, step) in column(&data, "/spans/start").into_iter().enumerate() {
        start += step;
        let (task, depth) = (column(&data, "/spans/task")[index], column(&data, "/spans/depth")[index]);
        let name = names[functions[index] as usize];
        let task = data["tasks"][task as usize]["name"].as_str().unwrap();
        drawn.push(format!("{task} {depth} {name} {start}+{}", column(&data, "/spans/wall")[index]));
    }
    let wanted = [
        // It never ended, and idles at the end; that it was booting is what counts.
        "swapper/0 0 start_kernel 0+40200",
        "swapper/0 1 kmem_cache_init 1000+9000",
        "swapper/0 2 __kmalloc 2000+1500",
        "swapper/0 2 __kmalloc 4000+1000",
        "swapper/1 0 rest_init 600+100",
        "init 0 acpi_early_init 21000+69000",
        "init 1 __kmalloc 22000+1000",
        "init 1 __kmalloc 51000+500",
        // The task ended in it, and nothing tells when.
        "init 0 kmem_cache_init 91000+0",
    ];
    let sorted = |mut all: Vec<String>| {
        all.sort();
        all
    };
    assert_eq!(sorted(drawn), sorted(wanted.map(str::to_owned).to_vec()));
    assert_eq!((&data["spans"]["left_out"], &data["unit"]), (&json!(0), &json!("ns")));
    // Waiting is told apart: `acpi_early_init` was away from 30 to 50.
    let away: i64 = column(&data, "/spans/away").iter().max().copied().unwrap();
    assert_eq!(away, 20_000);
    let report = fixture.json(&trace, &[]);
    assert_eq!(data["functions"]["calls"].as_array().unwrap().len(), report["functions"].as_array().unwrap().len());
    assert_eq!(data["calls"], report["summary"]["calls"]);
}

#[test]
fn what_comes_from_outside_stays_text() {
    let fixture = Fixture::pinned();
    let evil = "</script><script>alert(1)</script><img src=x onerror=alert(1)>{{data}}\u{1b}[31m";
    let meta = Meta { release: evil.to_owned(), command_line: evil.to_owned(), ..fixture.meta() };
    let mut chunks = fixture.boot_chunks();
    chunks[0][0].3.insert(2, Event::Named { pid: 1, name: *b"</script><b>\"&'\0" });
    chunks[1][0].3.insert(0, Event::Named { pid: 1, name: *b"<!--<script>\x1b\\\0\0" });
    let trace = fixture.trace(meta, &chunks);
    let page = fixture.output(&trace, &["--format", "html"]);
    let quiet = fixture.output(&fixture.boot(), &["--format", "html"]);
    for tag in ["<script", "</script", "<img", "<!--", "alert(1)<", "{{data}}<"] {
        let count = |text: &str| text.matches(tag).count();
        assert_eq!(count(&page), count(&quiet), "{tag}");
    }
    assert!(!page.contains('\u{1b}') && page.contains("&lt;img src=x"));
    let data = data(&page);
    let names: Vec<&str> = data["tasks"].as_array().unwrap().iter().map(|t| t["name"].as_str().unwrap()).collect();
    assert!(names.iter().any(|name| name.starts_with("</script>") || name.starts_with("<!--")), "{names:?}");
}

#[test]
fn losses_and_an_unknown_clock_are_told() {
    let fixture = Fixture::pinned();
    let whole = fixture.output(&fixture.boot(), &["--format", "html"]);
    assert!(whole.contains("none lost") && !whole.contains("events were lost"));
    let mut chunks = fixture.boot_chunks();
    chunks[1][0].1 = 3;
    let trace = fixture.trace(Meta { tsc_khz: None, ..fixture.meta() }, &chunks);
    let page = fixture.output(&trace, &["--format", "html"]);
    assert!(page.contains("3 events were lost: the ring was full"), "in the warnings");
    let data = data(&page);
    assert_eq!((&data["unit"], &data["lost"]), (&json!("ticks"), &json!(3)));
    assert_eq!(data["missing"].as_array().unwrap().len(), 1);
    assert!(page.contains("frequency is not known"));
}

#[test]
fn the_name_of_the_output_says_what_it_is() {
    let fixture = Fixture::pinned();
    let trace = fixture.boot();
    let path = fixture.dir.path().join("boot.html");
    fixture.output(&trace, &["-o", path.to_str().unwrap()]);
    assert_eq!(std::fs::read_to_string(path).unwrap(), fixture.output(&trace, &["--format", "html"]));
}
