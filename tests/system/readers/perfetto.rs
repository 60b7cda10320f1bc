// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! Perfetto traces, read with Perfetto's own protobuf classes.

use std::collections::BTreeMap;
use std::process::Command;

use serde_json::Value;

use super::{SOME, calls, export, printed, report, script};
use crate::boots::scratch;

#[test]
fn perfetto_counts_the_calls_of_the_report() {
    let path = scratch("perfetto").join("boot.pftrace");
    export("perfetto", &path, SOME);
    let python = xtask::python::with(xtask::python::READERS).expect("Python");
    let found: Value =
        serde_json::from_str(&printed(Command::new(python).arg(script("perfetto_read.py")).arg(&path))).expect("JSON");

    let report = report(SOME);
    let slices: BTreeMap<String, u64> = serde_json::from_value(found["slices"].clone()).expect("counts");
    assert_eq!(slices, calls(&report));
    let functions = report["functions"].as_array().expect("functions");
    let open: u64 = functions.iter().map(|function| function["open"].as_u64().expect("a count")).sum();
    assert_eq!(found["open"], open);

    // The counter of calls counts all of them.
    let all: u64 = slices.values().sum();
    assert_eq!(found["counted"]["CPU 0: calls"], all);
    let rows = |name: &str| -> Vec<&str> {
        let row = found["rows"][name].as_array().unwrap_or_else(|| panic!("no row {name}"));
        row.iter().map(|name| name.as_str().expect("a name")).collect()
    };
    let levels: Vec<&str> = report["levels"]
        .as_array()
        .expect("levels")
        .iter()
        .map(|level| level["name"].as_str().expect("a name"))
        .filter(|&level| level != "firmware")
        .collect();
    assert_eq!(rows("levels"), levels);
    let initcalls = report["initcalls"].as_array().expect("initcalls");
    assert_eq!(rows("initcalls").len(), initcalls.len());
    assert!(initcalls.iter().all(|row| rows("initcalls").contains(&row["name"].as_str().expect("a name"))));
    assert!(rows("CPU 0: task").contains(&"kthreadd"));
    assert_eq!(found["parents"]["CPU 0: task"], "CPUs");
    assert_eq!(found["parents"]["initcalls"], "Boot");
    let threads = found["threads"].as_array().expect("threads");
    assert!(threads.contains(&"swapper/0".into()) && threads.contains(&"kthreadd".into()), "{threads:?}");
}
