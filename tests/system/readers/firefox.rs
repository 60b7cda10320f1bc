// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! The Firefox profiler's format, read in Python as its types say.

use std::process::Command;

use serde_json::Value;

use super::{by_name, calls, export, printed, report, script};
use crate::boots::scratch;

#[test]
fn samples_have_the_self_times_of_the_report() {
    let path = scratch("firefox").join("boot.json.gz");
    export("firefox", &path, &[]);
    let text = printed(Command::new("python3").arg(script("firefox.py")).arg(&path));
    let found: Value = serde_json::from_str(&text).expect("JSON");
    let report = report(&[]);
    let khz = report["summary"]["tsc_khz"].as_u64().expect("a clock") as f64;
    let own = by_name(&report, |function| function["self_ticks"].as_u64().expect("ticks"));
    let calls = calls(&report);
    for (name, &ticks) in &own {
        let ns = ticks as f64 * 1e6 / khz;
        let read = found["functions"][name][0].as_f64().unwrap_or(0.0);
        // Each call was rounded to whole nanoseconds.
        assert!(
            (read - ns).abs() <= calls[name] as f64 / 2.0 + 2.0,
            "{name}: {read} ns in samples, {ns} in the report"
        );
    }
    let functions = found["functions"].as_object().expect("functions");
    assert!(functions.keys().all(|name| own.contains_key(name)), "a function that the report does not know");
    assert!(functions.len() > 4_000, "{} functions", functions.len());
    let names = |key: &str, markers: &str, first: usize| {
        let ours: Vec<&Value> =
            report[key].as_array().expect("a list").iter().skip(first).map(|row| &row["name"]).collect();
        let theirs: Vec<&Value> = found["markers"][markers].as_array().expect("markers").iter().collect();
        assert_eq!(ours.len(), theirs.len(), "{key}");
        assert!(ours.iter().all(|name| theirs.contains(name)), "{key}");
    };
    // All but the firmware, which ran before the trace.
    names("levels", "Level", 1);
    names("initcalls", "Initcall", 0);
    assert!(found["threads"].as_u64() > Some(20), "{}", found["threads"]);
}
