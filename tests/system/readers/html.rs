// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! The page, in Chromium without a window, with the mouse and the keys of a user: it needs no network, it zooms,
//! it finds, it sorts, and what it says is what the report says.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use serde_json::{Value, json};
use xtask::browser::Browser;
use xtask::pictures::READY;

use super::{by_name, calls, export, report};
use crate::boots::{scratch, setup};

/// Larger pages are no pleasure, whatever the trace.
const MOST_BYTES: u64 = 10_000_000;

/// The page of the shared boot.
fn page() -> &'static Path {
    static PAGE: OnceLock<PathBuf> = OnceLock::new();
    PAGE.get_or_init(|| {
        let path = scratch("html").join("boot.html");
        export("html", &path, &[]);
        path
    })
}

/// A browser that has opened it.
fn opened(name: &str) -> Browser {
    let page = page();
    let mut browser = Browser::start(&setup().directory.join(format!("chromium-{name}"))).expect("chromium");
    browser.window(1440, 900, false).expect("a window");
    browser.open(page, READY).expect("a page that is drawn");
    browser
}

fn eval(browser: &mut Browser, script: &str) -> Value {
    browser.eval(script).expect("a script that runs")
}

/// What part of time, or of the tree, a chart shows.
fn view(browser: &mut Browser, chart: &str) -> (f64, f64) {
    browser.frames().expect("frames");
    let text = eval(browser, &format!("document.querySelector('{chart}').dataset.view"));
    let (from, to) = text.as_str().expect("a view").split_once(':').expect("two ends");
    (from.parse().expect("a number"), to.parse().expect("a number"))
}

/// Cells of a column of the table, as shown.
fn column(browser: &mut Browser, number: usize) -> Vec<String> {
    let script =
        format!("[...document.querySelectorAll('#table tbody tr')].map(row => row.children[{number}].textContent)");
    let cells = eval(browser, &script);
    cells.as_array().expect("cells").iter().map(|cell| cell.as_str().expect("text").to_owned()).collect()
}

fn show_table(browser: &mut Browser, id: &str) {
    let tab = browser.middle(&format!("#tab-{id}")).expect("a tab");
    browser.click(tab, 1).expect("a click");
}

#[test]
fn the_page_is_whole_in_itself() {
    let size = std::fs::metadata(page()).expect("a page").len();
    assert!(size < MOST_BYTES, "{size} bytes");
    let mut browser = opened("whole");
    let all = "[document.title, document.querySelector('#release').textContent, document.querySelectorAll('.tiles li').length]";
    let title = eval(&mut browser, all);
    let release = report(&[])["summary"]["kernel_release"].clone();
    assert_eq!(title, json!([format!("Boot of Linux {}", release.as_str().expect("text")), release, 4]));
    // Something of each part is there before anything is asked for.
    for chart in ["#timeline", "#tree"] {
        let bars = eval(&mut browser, &format!("+document.querySelector('{chart}').dataset.bars"));
        assert!(bars.as_u64().expect("bars") > 100, "{chart}: {bars}");
    }
    let own = format!("file://{}", page().canonicalize().expect("a path").display());
    let strange: Vec<&String> =
        browser.requests.iter().filter(|url| **url != own && !url.starts_with("data:")).collect();
    assert!(strange.is_empty(), "the page asks for {strange:?}");
    assert_eq!(browser.console, Vec::<String>::new(), "the page's console");
}

#[test]
fn the_page_has_the_counts_of_the_report() {
    let mut browser = opened("counts");
    let ours = report(&[]);
    // Function by function, as the page has them for its tables.
    let script = "(() => { const f = JSON.parse(document.querySelector('#data').textContent).functions; \
                  return f.calls.map((calls, i) => [f.name[i], calls, f.own[i]]); })()";
    let rows = eval(&mut browser, script);
    let (mut found, mut own) = (BTreeMap::new(), BTreeMap::new());
    for row in rows.as_array().expect("rows") {
        let name = row[0].as_str().expect("a name").to_owned();
        *found.entry(name.clone()).or_insert(0) += row[1].as_u64().expect("calls");
        *own.entry(name).or_insert(0) += row[2].as_u64().expect("a time");
    }
    assert_eq!(found, calls(&ours));
    let khz = ours["summary"]["tsc_khz"].as_u64().expect("a clock");
    let busy = |f: &Value| f["self_ticks"].as_u64().expect("ticks") - f["idle_self_ticks"].as_u64().expect("ticks");
    for (name, ticks) in by_name(&ours, busy) {
        let ns = ticks as f64 * 1e6 / khz as f64;
        // Functions of one name are rounded one by one.
        assert!((own[&name] as f64 - ns).abs() < 20.0, "{name}: {} ns on the page, {ns} in the report", own[&name]);
    }
    // And as they are shown.
    show_table(&mut browser, "functions");
    let number = |text: &String| text.replace(',', "").parse::<u64>().expect("a number");
    let (names, counts) = (column(&mut browser, 0), column(&mut browser, 4));
    assert_eq!(names.len(), 100);
    let first = ours["functions"].as_array().expect("functions").iter().take(100);
    for ((name, count), function) in names.iter().zip(&counts).zip(first) {
        assert_eq!((json!(name), json!(number(count))), (function["name"].clone(), function["calls"].clone()));
    }
    // Levels and initcalls, too.
    show_table(&mut browser, "levels");
    let events: Vec<u64> = column(&mut browser, 5).iter().map(number).collect();
    let levels = ours["levels"].as_array().expect("levels").iter().filter(|level| level["name"] != "firmware");
    assert_eq!(events, levels.map(|level| level["events"].as_u64().expect("events")).collect::<Vec<_>>());
    show_table(&mut browser, "initcalls");
    let rows = eval(&mut browser, "+document.querySelector('#table table').dataset.rows");
    assert_eq!(rows, json!(ours["initcalls"].as_array().expect("initcalls").len()));
}

#[test]
fn the_headline_names_the_dearest_level_and_initcall() {
    let mut browser = opened("headline");
    let ours = report(&[]);
    let name_of = |rows: &Value, fits: &dyn Fn(&Value) -> bool| {
        let rows = rows.as_array().expect("rows").iter().filter(|row| fits(row));
        let most = rows.max_by_key(|row| row["ticks"].as_u64().expect("ticks")).expect("a row");
        most["name"].as_str().expect("a name").to_owned()
    };
    let level = name_of(&ours["levels"], &|row| !["firmware", "user", "shutdown"].iter().any(|no| row["name"] == **no));
    let initcall = name_of(&ours["initcalls"], &|row| row["kind"] == "built-in" || row["kind"] == "module");
    let text = eval(&mut browser, "document.querySelector('#summary').innerText");
    let text = text.as_str().expect("text");
    assert!(text.contains(&format!(" {level}: ")), "{level}: {text}");
    let at = text.find(&initcall).unwrap_or_else(|| panic!("{initcall}: {text}"));
    // Why it took so long comes after it.
    assert!(text[at..].contains("worked"), "{text}");
}

#[test]
fn charts_zoom_by_wheel_drag_and_keys() {
    let mut browser = opened("zoom");
    for chart in ["#timeline", "#tree"] {
        let whole = view(&mut browser, chart);
        let middle = browser.middle(chart).expect("a chart");
        browser.wheel(middle, -240.0).expect("a wheel");
        let near = view(&mut browser, chart);
        assert!(near.0 > whole.0 && near.1 < whole.1, "{chart}: the wheel zooms: {whole:?} {near:?}");
        browser.drag(middle, (middle.0 - 200.0, middle.1)).expect("a drag");
        let moved = view(&mut browser, chart);
        assert!(moved.0 > near.0 && moved.1 > near.1, "{chart}: dragging moves: {near:?} {moved:?}");
        let width = |view: (f64, f64)| view.1 - view.0;
        assert!((width(moved) - width(near)).abs() < width(near) * 1e-6, "{chart}: dragging does not zoom");
        // Keys, once the chart has the focus.
        eval(&mut browser, &format!("document.querySelector('{chart}').focus()"));
        browser.key("+").expect("a key");
        let nearer = view(&mut browser, chart);
        assert!(width(nearer) < width(moved) * 0.9, "{chart}: + zooms");
        browser.key("ArrowLeft").expect("a key");
        assert!(view(&mut browser, chart).0 < nearer.0, "{chart}: an arrow moves");
        browser.key("-").expect("a key");
        assert!(width(view(&mut browser, chart)) > width(nearer), "{chart}: - zooms out");
        browser.key("0").expect("a key");
        assert_eq!(view(&mut browser, chart), whole, "{chart}: 0 shows all");
    }
    assert_eq!(browser.console, Vec::<String>::new());
}

#[test]
fn a_bar_tells_what_it_is() {
    let mut browser = opened("bar");
    let [left, top, width, _] = browser.place("#tree").expect("a chart");
    // The root of the tree is the first row.
    let at = (left + width / 2.0, top + 12.0);
    browser.point(at).expect("a pointer");
    browser.frames().expect("frames");
    let tip = eval(&mut browser, "document.querySelector('#tip').innerText");
    assert!(tip.as_str().expect("text").contains("whole boot"), "{tip}");
    // The widest bar below it, and twice to zoom to it.
    let below = (left + 20.0, top + 30.0);
    browser.click(below, 1).expect("a click");
    let details = eval(
        &mut browser,
        "[document.querySelector('#details').hidden, document.querySelector('#details h3').textContent]",
    );
    let name = details[1].as_str().expect("a name").to_owned();
    let function = report(&[])["functions"].as_array().expect("functions").iter().find(|f| f["name"] == *name).cloned();
    let function = function.unwrap_or_else(|| panic!("{name} is no function of the report"));
    assert_eq!(details[0], false);
    let text = eval(&mut browser, "document.querySelector('#details').innerText");
    let text = text.as_str().expect("text");
    let source = format!("{}:{}", function["file"].as_str().expect("a file"), function["line"]);
    assert!(text.contains(&source) && text.contains("Calls") && text.contains("Called by"), "{source}: {text}");
    let before = view(&mut browser, "#tree");
    let [left, top, ..] = browser.place("#tree").expect("a chart");
    browser.click((left + 20.0, top + 30.0), 2).expect("a double click");
    let after = view(&mut browser, "#tree");
    assert!(after.1 - after.0 < before.1 - before.0, "{before:?} {after:?}");
    // Down to its longest callee, by key.
    eval(&mut browser, "document.querySelector('#tree').focus()");
    browser.key("s").expect("a key");
    let callee = eval(&mut browser, "document.querySelector('#details h3').textContent");
    assert_ne!(callee, json!(name));
    browser.key("Escape").expect("a key");
    assert_eq!(eval(&mut browser, "document.querySelector('#details').hidden"), true);
}

#[test]
fn search_filters_the_tables_and_marks_the_charts() {
    let mut browser = opened("search");
    show_table(&mut browser, "functions");
    let pixels = "(() => { const c = document.querySelector('#tree'); \
                  return c.getContext('2d').getImageData(0, 0, c.width, c.height).data.reduce((s, v) => (s * 31 + v) | 0, 7); })()";
    let before = eval(&mut browser, pixels);
    browser.key("/").expect("a key");
    browser.text("acpi_ps").expect("keys");
    browser.wait("document.querySelector('#matches').textContent !== ''").expect("the search");
    browser.frames().expect("frames");
    let expected: Vec<String> =
        calls(&report(&[])).into_keys().filter(|name| name.to_lowercase().contains("acpi_ps")).collect();
    assert!(expected.len() > 5, "{expected:?}");
    let mut names = column(&mut browser, 0);
    names.sort();
    assert_eq!(names, expected);
    assert_ne!(eval(&mut browser, pixels), before, "the chart marks what is found");
    browser.key("Escape").expect("a key");
    browser.frames().expect("frames");
    assert_eq!(eval(&mut browser, "document.querySelector('#matches').textContent"), "");
    assert_eq!(column(&mut browser, 0).len(), 100);
    assert_eq!(eval(&mut browser, pixels), before, "and forgets it");
}

#[test]
fn columns_sort_by_click_and_key() {
    let mut browser = opened("sort");
    show_table(&mut browser, "functions");
    let calls_of = |browser: &mut Browser| -> Vec<u64> {
        column(browser, 4).iter().map(|text| text.replace(',', "").parse().expect("a number")).collect()
    };
    let head = "#table thead th:nth-child(5)";
    let at = browser.middle(&format!("{head} button")).expect("a head");
    browser.click(at, 1).expect("a click");
    let down = calls_of(&mut browser);
    assert!(down.is_sorted_by(|a, b| a >= b) && down[0] > down[50], "{down:?}");
    assert_eq!(eval(&mut browser, &format!("document.querySelector('{head}').ariaSort")), "descending");
    // The focus stays at the head: the same again by key.
    browser.key("Enter").expect("a key");
    let up = calls_of(&mut browser);
    assert!(up.is_sorted() && up[0] < down[0], "{up:?}");
    assert_eq!(eval(&mut browser, &format!("document.querySelector('{head}').ariaSort")), "ascending");
}

#[test]
fn themes_follow_the_system_and_the_switch() {
    let mut browser = opened("theme");
    let back = "getComputedStyle(document.body).backgroundColor";
    let light = eval(&mut browser, back);
    let at = browser.middle("#theme").expect("a switch");
    browser.click(at, 1).expect("a click");
    let dark = eval(&mut browser, back);
    assert_ne!(light, dark);
    browser.key("t").expect("a key");
    assert_eq!(eval(&mut browser, back), light);
    drop(browser);
    let mut browser = Browser::start(&setup().directory.join("chromium-dark")).expect("chromium");
    browser.window(1440, 900, true).expect("a window");
    browser.open(page(), READY).expect("a page");
    assert_eq!(eval(&mut browser, back), dark, "where the system is dark");
    // Keys and words are a key away.
    browser.key("?").expect("a key");
    assert_eq!(eval(&mut browser, "document.querySelector('#help').open"), true);
    assert_eq!(browser.console, Vec::<String>::new());
}
