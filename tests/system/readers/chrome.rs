// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! Chrome's trace event JSON, read by Python: rows by process and thread, calls nested by their times alone.

use std::collections::BTreeMap;
use std::process::Command;

use serde_json::Value;

use super::{SOME, calls, export, printed, report, script};
use crate::boots::scratch;

#[test]
fn chrome_events_are_the_calls_of_the_report() {
    let path = scratch("chrome").join("boot.json");
    export("chrome", &path, SOME);
    let text = printed(Command::new("python3").arg(script("chrome.py")).arg(&path));
    let found: Value = serde_json::from_str(&text).expect("JSON");
    let report = report(SOME);
    let ours: BTreeMap<String, u64> = serde_json::from_value(found["calls"].clone()).expect("counts");
    assert_eq!(ours, calls(&report));
    let self_ns = |name: &str| found["self_ns"][name].as_f64().expect("a time");
    // Calls in which the task was away are longer here: these never sleep.
    for name in ["kmem_cache_alloc", "_raw_spin_lock_irqsave"] {
        let function = report["functions"].as_array().expect("functions").iter().find(|f| f["name"] == name);
        let function = function.unwrap_or_else(|| panic!("no {name}"));
        let (ns, calls) = (function["self_ns"].as_f64().expect("a time"), function["calls"].as_f64().expect("calls"));
        assert!((self_ns(name) - ns).abs() <= calls + ns * 0.05, "{name}: {} ns, {ns} in the report", self_ns(name));
    }
    let initcalls = report["initcalls"].as_array().expect("initcalls").len();
    assert_eq!(found["initcalls"], initcalls);
    let levels = found["rows"]["Boot"]["levels"].as_array().expect("levels");
    assert!(levels.windows(2).any(|pair| pair == ["arch", "subsys"]), "{levels:?}");
    assert!(found["rows"]["CPUs"]["CPU 0"].as_array().expect("tasks").contains(&"kthreadd".into()));
    assert!(found["threads"].as_array().expect("threads").contains(&"swapper/0".into()));
}
