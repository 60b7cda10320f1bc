// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! `symbolize check` and `trend` on real boots, and CHECK.md's examples for CI systems: taken from the page, and run as
//! a runner would, from the recording on, with a baseline that is as good and one that was faster.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;

use serde_json::Value;
use symbolizer::compare::kept;
use xtask::{python, recording, workspace};

use crate::boots::{OLD, boot_lock, scratch, setup, subject};

/// Only one level is traced: a small boot, which is recorded soon.
const COMMAND_LINE: &str = "console=ttyS0 panic=-1 quiet hypergraph=filter:fs";

fn script(name: &str, arguments: &[&Path]) -> Command {
    let mut command = Command::new(python::with(python::CI).expect("Python packages"));
    command.arg(workspace::root().join("tests/system").join(name)).args(arguments).stdin(Stdio::null());
    command
}

/// The parts of an example that come before its verdict, and those that come after whatever it is.
fn example(which: &str) -> Vec<(String, bool)> {
    let page = workspace::root().join("symbolizer/CHECK.md");
    let done = script("check_examples.py", &[&page, Path::new(which)]).output().expect("python runs");
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let steps: Value = serde_json::from_slice(&done.stdout).expect("JSON");
    let step = |step: &Value| {
        (step["run"].as_str().expect("lines").to_owned(), step["always"].as_bool().expect("whether always"))
    };
    steps.as_array().expect("steps").iter().map(step).collect()
}

/// Runs an example in a directory as its runner does; the exit code, and all that was printed.
fn runner(steps: &[(String, bool)], directory: &Path, baseline: &Path) -> (i32, String) {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let tools = setup().symbolize.parent().expect("a directory").to_owned();
    let paths = std::env::join_paths(std::iter::once(tools).chain(std::env::split_paths(&path))).expect("paths");
    let (mut code, mut printed) = (0, String::new());
    for (lines, always) in steps {
        if code != 0 && !always {
            continue;
        }
        let mut command = Command::new("timeout");
        command.args(["--kill-after=10", "600", "bash", "-e", "-o", "pipefail", "-c", lines]);
        command.env("PATH", &paths).env("VMLINUX", &subject(OLD).vmlinux).env("INITRD", &setup().initrd);
        command
            .env("COMMAND_LINE", COMMAND_LINE)
            .env("BASELINE", baseline)
            .env("BUDGET", directory.join("boot.budget"));
        command.env("GITHUB_ACTIONS", "true").current_dir(directory).stdin(Stdio::null());
        let done = command.output().expect("bash runs");
        printed += &String::from_utf8_lossy(&done.stdout);
        printed += &String::from_utf8_lossy(&done.stderr);
        if code == 0 {
            code = done.status.code().expect("no signal");
        }
    }
    (code, printed)
}

/// Two kept boots of the same recording: as it was, and as if one initcall of the level had taken half the time.
fn baselines() -> &'static (PathBuf, PathBuf) {
    static BASELINES: OnceLock<(PathBuf, PathBuf)> = OnceLock::new();
    BASELINES.get_or_init(|| {
        let directory = scratch("check");
        let record = &example("github")[0].0;
        let _one_at_a_time = boot_lock();
        let (code, printed) = runner(&[(record.clone(), false)], &directory, &directory);
        assert_eq!(code, 0, "{printed}");
        let good = directory.join("good");
        let file = good.join("boot.boot.zst");
        let trace = directory.join("boot-report/trace");
        let mut keep = Command::new(&setup().symbolize);
        keep.arg("keep").arg(&trace).arg(&subject(OLD).vmlinux).arg("-o").arg(&file);
        assert!(keep.status().expect("symbolize runs").success());
        let mut boot = kept::read(&file).expect("a kept boot");
        assert!(boot.is_deterministic(), "{:?}", boot.meta);
        let fast = directory.join("fast");
        std::fs::create_dir(&fast).expect("a directory");
        let initcall = boot.initcalls.iter_mut().filter(|one| one.level == "fs").max_by_key(|one| one.time);
        let initcall = initcall.expect("an initcall");
        let half = initcall.time / 2;
        (initcall.time, initcall.on_cpu) = (initcall.time - half, initcall.on_cpu / 2);
        for level in boot.levels.iter_mut().filter(|level| level.name == "fs") {
            (level.time, level.busy) = (level.time - half, level.busy - half.min(level.busy));
        }
        (boot.totals.span, boot.totals.busy) = (boot.totals.span - half, boot.totals.busy - half);
        kept::write(&boot, std::fs::File::create(fast.join("boot.boot.zst")).expect("a file")).expect("space");
        (good, fast)
    })
}

/// The budgets of the page: they are read as they stand there; then one that a tenth more time breaks.
fn budgets(directory: &Path) {
    let page = std::fs::read_to_string(workspace::root().join("symbolizer/CHECK.md")).expect("the page");
    let (_, rest) = page.split_once("```budget\n").expect("an example of budgets");
    let (example, _) = rest.split_once("```").expect("its end");
    symbolizer::compare::budget::parse::parse(example).expect("budgets without mistakes");
    let budgets = "level fs time < +1%\nboot time < 60s\nboot lost <= 0\nfunction nothing_is_called_so calls < 1\n";
    std::fs::write(directory.join("boot.budget"), budgets).expect("a small file");
}

fn as_the_page_says(which: &str) {
    let (good, fast) = baselines();
    let steps = example(which);
    for (baseline, wanted) in [(good, 0), (fast, 1)] {
        let directory = scratch(&format!("check-{which}-{wanted}"));
        budgets(&directory);
        let _one_at_a_time = boot_lock();
        let (code, printed) = runner(&steps, &directory, baseline);
        assert_eq!(code, wanted, "{printed}");
        let report = directory.join("boot-report");
        let junit = script("check_junit.py", &[&report.join("junit.xml")]).output().expect("python runs");
        assert!(junit.status.success(), "{}", String::from_utf8_lossy(&junit.stderr));
        let junit: Value = serde_json::from_slice(&junit.stdout).expect("JSON");
        assert_eq!((&junit["tests"], &junit["failures"], &junit["errors"]), (&4.into(), &wanted.into(), &0.into()));
        let annotated = printed.contains("::error file=") && printed.contains("boot.budget,line=1,");
        assert_eq!(annotated, wanted == 1, "{printed}");
        assert!(printed.contains("is called nothing_is_called_so"), "{printed}");
        // Made whatever came of it.
        for file in ["boot.html", "this.boot.zst"] {
            assert!(report.join(file).is_file(), "{file}: {printed}");
        }
    }
}

#[test]
fn the_github_actions_example_passes_a_good_boot_and_fails_a_slower_one() {
    as_the_page_says("github");
}

#[test]
fn the_gitlab_example_passes_a_good_boot_and_fails_a_slower_one() {
    as_the_page_says("gitlab");
}

fn symbolize(arguments: &[&dyn AsRef<std::ffi::OsStr>]) -> Output {
    let mut command = Command::new(&setup().symbolize);
    command.args(arguments.iter().map(|argument| argument.as_ref()));
    command.stdin(Stdio::null()).env_remove("GITHUB_ACTIONS").output().expect("symbolize runs")
}

#[test]
fn without_budgets_what_became_slower_is_the_regression_and_nothing_else_is() {
    let (good, fast) = baselines();
    let check = |baseline: &Path, boots: &Path| {
        let done = symbolize(&[&"check", &"--format", &"json", &"--baseline", &baseline, &boots]);
        let json: Value = serde_json::from_slice(&done.stdout).expect("JSON");
        (done.status.code(), json)
    };
    let (code, json) = check(good, good);
    assert_eq!((code, &json["verdict"]), (Some(0), &"good".into()), "{json:#}");
    let (code, json) = check(fast, good);
    assert_eq!((code, &json["verdict"]), (Some(1), &"broken".into()), "{json:#}");
    let broken: Vec<&str> = json["findings"]
        .as_array()
        .expect("findings")
        .iter()
        .filter(|finding| finding["verdict"] == "broken")
        .filter_map(|finding| finding["title"].as_str())
        .collect();
    assert!(broken.contains(&"boot time") && broken.contains(&"level fs time"), "{broken:?}");
    assert!(broken.iter().any(|title| title.starts_with("initcall ")), "{broken:?}");
    assert!(!broken.iter().any(|title| title.starts_with("level ") && !title.starts_with("level fs")), "{broken:?}");
    // Faster is no regression.
    assert_eq!(check(good, fast).0, Some(0));
    let mistake = scratch("check-mistake").join("boot.budget");
    std::fs::write(&mistake, "boot time < 1s\nlevel dvice time < 3ms\n").expect("a small file");
    let done = symbolize(&[&"check", &"--budget", &mistake, &good]);
    let message = String::from_utf8_lossy(&done.stderr);
    assert_eq!(done.status.code(), Some(2));
    assert!(message.contains("boot.budget:2:7") && message.contains("did you mean `device`?"), "{message}");
}

#[test]
fn a_store_of_boots_shows_where_a_level_changed_and_becomes_tables() {
    let (good, fast) = baselines();
    let directory = scratch("trend");
    let store = directory.join("store");
    std::fs::create_dir(&store).expect("a directory");
    // Three boots as fast as one baseline, then two as the other; recorded one after the other.
    for number in 0..5u64 {
        let from = if number < 3 { fast } else { good };
        let mut boot = kept::read(&from.join("boot.boot.zst")).expect("a kept boot");
        boot.meta.started_at += 60 * number;
        boot.name = format!("boot {number}");
        let file = std::fs::File::create(store.join(format!("{number}.boot.zst"))).expect("a file");
        kept::write(&boot, file).expect("space");
    }
    let done = symbolize(&[&"trend", &store, &"--format", &"json"]);
    let trend: Value = serde_json::from_slice(&done.stdout).expect("JSON");
    let changes = trend["changes"].as_array().expect("changes");
    assert_eq!(changes.len(), 1, "{trend:#}");
    assert_eq!((&changes[0]["boot"], &changes[0]["cause"]["kind"]), (&3.into(), &"initcall".into()), "{trend:#}");
    let series: Vec<&Value> =
        changes[0]["steps"].as_array().expect("steps").iter().map(|step| &step["series"]).collect();
    assert_eq!(series, ["boot", "fs"]);
    let picture = directory.join("trend.svg");
    assert!(symbolize(&[&"trend", &store, &"-o", &picture]).status.success());
    let picture = std::fs::read_to_string(&picture).expect("a picture");
    assert!(picture.contains("fs rose by") && picture.ends_with("</svg>\n"), "{picture}");

    let done = symbolize(&[&"trend", &store, &"--format", &"parquet", &"-o", &directory.join("fleet")]);
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let tables = query(&directory);
    let levels = tables["check_levels"]["rows"].as_array().expect("rows");
    assert_eq!(levels.len(), 5, "{levels:?}");
    let times: Vec<&Value> = levels.iter().map(|row| &row[1]).collect();
    let of_series = trend["series"].as_array().expect("series").iter().find(|series| series["name"] == "fs");
    let wanted = of_series.expect("the level")["boots"].as_array().expect("values");
    assert!(times.iter().zip(wanted).all(|(one, other)| one.as_f64() == other.as_f64()), "{times:?} {wanted:?}");
    let functions = &tables["check_functions"]["rows"][0];
    let boot = kept::read(&good.join("boot.boot.zst")).expect("a kept boot");
    let own: u64 = boot.sums.own.iter().sum();
    assert_eq!((&functions[0], functions[1].as_f64()), (&boot.sums.own.len().into(), Some(own as f64)));
    let spread = tables["level_spread"]["rows"].as_array().expect("rows");
    assert!(spread.iter().any(|row| row[1] == "fs" && row[2] == 5), "{spread:?}");
}

/// All queries of symbolizer/queries, and two of our own, on DuckDB.
fn query(directory: &Path) -> Value {
    let checks = directory.join("checks");
    std::fs::create_dir(&checks).expect("a directory");
    for (name, query) in [
        (
            "check_levels",
            "SELECT boots.name, levels.time_ns FROM levels INNER JOIN boots USING (kernel, boot) \
             WHERE levels.level = 'fs' ORDER BY boots.started_at",
        ),
        (
            "check_functions",
            "SELECT count(*), sum(functions.self_ns) FROM functions INNER JOIN boots USING (kernel, boot) \
             WHERE boots.name = 'boot 4' AND boots.deterministic",
        ),
    ] {
        std::fs::write(checks.join(format!("{name}.sql")), format!("{query};\n")).expect("a small file");
    }
    let mut command = Command::new(python::with(python::READERS).expect("Python packages"));
    let queries = workspace::root().join("symbolizer/queries");
    command.arg(workspace::root().join("tests/system/readers/fleet.py")).arg("duckdb").arg(queries).arg(checks);
    recording::json(command.current_dir(directory).stdin(Stdio::null())).expect("answers")
}
