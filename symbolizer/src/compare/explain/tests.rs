// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! One comparison for each kind of regression, and what is said of it.

use super::super::diff::Basis;
use super::super::sketch::Sketch;
use super::headline;

/// A driver whose init probes a device.
fn driver(calls: (f64, f64), probe: (f64, f64), delay: (f64, f64), waits: (f64, f64)) -> Sketch {
    Sketch::new(Basis::Exact)
        .way("device;do_initcalls;foo_init", (1.0, 1.0), (1e6, 1e6))
        .way("device;do_initcalls;foo_init;driver_register", (1.0, 1.0), (2e5, 2e5))
        .way("device;do_initcalls;foo_init;driver_register;foo_probe", calls, probe)
        .way("device;do_initcalls;foo_init;driver_register;foo_probe;__const_udelay", (calls.0, delay.1 / 1e6), delay)
        .initcall("foo_init", waits)
}

#[test]
fn a_delay_in_a_probe() {
    // One call of 1 ms before, 41 after.
    let told = headline(&driver((1.0, 1.0), (1e5, 1e5), (1e6, 41e6), (0.0, 0.0)).build());
    assert_eq!(
        told,
        [
            "boot is 40.0 ms (4.0 %) slower; 40.0 ms of it in level device: `foo_init` -> `driver_register` -> `foo_probe` \
          -> `__const_udelay` called 40 times more (1 -> 41)"
        ]
    );
}

#[test]
fn a_delay_that_sleeps() {
    let sleep = "device;do_initcalls;foo_init;driver_register;foo_probe;msleep";
    let diff = driver((1.0, 1.0), (1e5, 1e5), (1e6, 1e6), (0.0, 40e6))
        .way(sleep, (0.0, 1.0), (0.0, 1e3))
        .way(&format!("{sleep};schedule_timeout"), (0.0, 1.0), (0.0, 1e3))
        .build();
    let told = headline(&diff);
    assert_eq!(
        told[0],
        "boot is 40.0 ms (4.0 %) slower; 40.0 ms of it in level device: `foo_init` waits 40.0 ms longer: `foo_init` -> \
         `driver_register` -> `foo_probe` -> `msleep` called once more (0 -> 1)"
    );
}

#[test]
fn a_longer_wait_with_nothing_that_says_why() {
    let told = headline(&driver((1.0, 1.0), (1e5, 1e5), (1e6, 1e6), (2e6, 42e6)).build());
    let wait = "`foo_init` waits 40.0 ms longer (4.30 ms -> 44.3 ms from begin to end; on a CPU 2.30 ms on both sides)";
    assert_eq!(told, [format!("boot is 40.0 ms (4.0 %) slower; 40.0 ms of it in level device: {wait}")]);
}

#[test]
fn a_square_of_a_number_in_an_init() {
    let diff = Sketch::new(Basis::Tested)
        .way("fs;do_initcalls;init_foofs", (1.0, 1.0), (1e5, 1e5))
        .way("fs;do_initcalls;init_foofs;foofs_hash", (1_000.0, 1_000.0), (1e6, 25e6))
        .initcall("init_foofs", (0.0, 0.0))
        .build();
    assert_eq!(
        headline(&diff),
        [
            "boot is 24.0 ms (2.4 %) slower; 24.0 ms of it in level fs: `init_foofs` -> `foofs_hash` itself takes 24.0 ms \
          more (1.00 ms -> 25.0 ms)"
        ]
    );
}

#[test]
fn a_function_called_a_thousand_times_more() {
    let diff = Sketch::new(Basis::Exact)
        .way("fs;do_initcalls;init_foofs", (1.0, 1.0), (1e5, 1e5))
        .way("fs;do_initcalls;init_foofs;foofs_check", (1.0, 1_001.0), (20.0, 20_020.0))
        .way("fs;do_initcalls;init_foofs;foofs_check;memset", (1.0, 1_001.0), (20.0, 20_020.0))
        .initcall("init_foofs", (0.0, 0.0))
        .build();
    assert_eq!(
        headline(&diff),
        [
            "boot takes 1.00 s as before; level fs is 40.0 us slower: `init_foofs` -> `foofs_check` called 1,000 times more \
          (1 -> 1,001)"
        ]
    );
}

#[test]
fn an_initcall_that_moved_is_told_and_not_its_levels() {
    let moved = |level: &str, calls, own| {
        let path = format!("{level};do_initcalls;foo_init");
        move |sketch: Sketch| {
            sketch.way(&path, calls, own).way(&format!("{path};memset"), (calls.0 * 50.0, calls.1 * 50.0), own)
        }
    };
    let sketch = moved("arch", (0.0, 1.0), (0.0, 3e6))(Sketch::new(Basis::Exact));
    let sketch = moved("device", (1.0, 0.0), (3e6, 0.0))(sketch);
    assert_eq!(
        headline(&sketch.initcall("foo_init", (0.0, 0.0)).build()),
        ["boot takes 1.01 s as before; initcall `foo_init` moved from level device to level arch (6.00 ms)"]
    );
}

#[test]
fn work_that_moved_to_another_cpu() {
    let work = |path: &str, calls: (f64, f64), own: (f64, f64)| {
        let path = path.to_owned();
        move |sketch: Sketch| {
            sketch.way(&format!("{path};build_table"), calls, own).way(
                &format!("{path};build_table;build_entry"),
                (calls.0 * 9.0, calls.1 * 9.0),
                own,
            )
        }
    };
    let sketch = work("device;do_initcalls;foo_init", (1.0, 0.0), (10e6, 0.0))(Sketch::new(Basis::Tested));
    let sketch = work("device;worker_thread;process_one_work", (0.0, 1.0), (0.0, 10e6))(sketch)
        .way("device;do_initcalls;foo_init;flush_work", (0.0, 1.0), (0.0, 1e4))
        .way("device;do_initcalls;foo_init;flush_work;schedule", (0.0, 1.0), (0.0, 1e4));
    let diff = sketch.initcall("foo_init", (0.0, 20e6)).cpu("build_table", (1.0, 0.0)).cpu("build_entry", (1.0, 0.0));
    let told = headline(&diff.build());
    assert!(
        told[0].contains("; `build_table` moved from CPU 0 to CPU 1 (20.0 ms); `foo_init` now waits for it"),
        "{told:#?}"
    );
    assert!(!told.concat().contains("build_entry"), "{told:#?}");
}

#[test]
fn new_and_vanished_functions() {
    let diff = Sketch::new(Basis::Exact)
        .way("device;do_initcalls;acpi_init;acpi_check", (0.0, 5.0), (0.0, 8e6))
        .way("late;do_initcalls;clk_init;clk_scan", (3.0, 0.0), (20e6, 0.0))
        .build();
    assert_eq!(
        headline(&diff),
        [
            "boot is 12.0 ms (1.2 %) faster; level late is 20.0 ms faster: `clk_init` -> `clk_scan` no longer called (was 3 \
             times)",
            "8.00 ms slower in level device: new function `acpi_init` -> `acpi_check`, called 5 times",
        ]
    );
}

#[test]
fn new_and_vanished_initcalls() {
    let diff = Sketch::new(Basis::Exact)
        .way("device;do_initcalls;foo_init", (0.0, 1.0), (0.0, 8e6))
        .way("late;do_initcalls;bar_init", (1.0, 0.0), (2e6, 0.0))
        .initcall("foo_init", (0.0, 0.0))
        .initcall("bar_init", (0.0, 0.0))
        .build();
    assert_eq!(
        headline(&diff),
        [
            "boot is 6.00 ms (0.6 %) slower; new initcall `foo_init` in level device (8.00 ms)",
            "vanished initcall `bar_init` in level late (2.00 ms)",
        ]
    );
}

#[test]
fn several_causes_are_told_each_with_the_largest_first() {
    let diff = driver((1.0, 121.0), (3e5, 36.3e6), (1e3, 1.21e5), (0.0, 0.0))
        .way("fs;do_initcalls;init_foofs", (1.0, 1.0), (1e6, 6e6))
        .initcall("init_foofs", (0.0, 0.0))
        .build();
    assert_eq!(
        headline(&diff),
        [
            "boot is 41.1 ms (4.1 %) slower; 36.1 ms of it in level device: `foo_init` -> `driver_register` -> `foo_probe` \
             called 120 times more (1 -> 121)",
            "5.00 ms slower in level fs: `init_foofs` itself takes 5.00 ms more (1.00 ms -> 6.00 ms)",
        ]
    );
}

#[test]
fn a_wrapper_around_old_work_is_no_cause() {
    // The work is called through a new function, and another one is slower.
    let diff = Sketch::new(Basis::Exact)
        .way("device;do_initcalls;foo_init", (1.0, 1.0), (1e6, 3e6))
        .way("device;do_initcalls;foo_init;old_work", (1.0, 0.0), (50e6, 0.0))
        .way("device;do_initcalls;foo_init;wrapper", (0.0, 1.0), (0.0, 1e3))
        .way("device;do_initcalls;foo_init;wrapper;old_work", (0.0, 1.0), (0.0, 50e6))
        .initcall("foo_init", (0.0, 0.0))
        .build();
    let told = headline(&diff);
    assert!(told[0].contains("`foo_init` itself takes 2.00 ms more"), "{told:#?}");
    assert!(!told.concat().contains("old_work"), "{told:#?}");
}

#[test]
fn a_new_caller_of_all_threads_is_no_cause_though_they_do_more() {
    // As ret_from_fork became C: what threads do is below it now, and one of them does more.
    let diff = Sketch::new(Basis::Exact)
        .way("user;kthread", (9.0, 0.0), (1e6, 0.0))
        .way("user;kthread;test_one", (9.0, 0.0), (9e6, 0.0))
        .way("user;kthread;test_other", (9.0, 0.0), (30e6, 0.0))
        .way("user;ret_from_fork", (0.0, 9.0), (0.0, 1e3))
        .way("user;ret_from_fork;kthread", (0.0, 9.0), (0.0, 1e6))
        .way("user;ret_from_fork;kthread;test_one", (0.0, 90.0), (0.0, 90e6))
        .way("user;ret_from_fork;kthread;test_other", (0.0, 9.0), (0.0, 10e6))
        .build();
    let told = headline(&diff);
    assert!(told[0].contains("`test_one` called 81 times more (9 -> 90)"), "{told:#?}");
    assert!(told[1].contains("20.0 ms faster: `test_other` itself takes 20.0 ms less"), "{told:#?}");
}

#[test]
fn a_function_that_is_slower_everywhere_is_told_once() {
    let mut sketch = Sketch::new(Basis::Exact);
    for caller in ["a", "b", "c", "d"] {
        sketch = sketch.way(&format!("late;do_initcalls;clk_init;{caller};kmalloc"), (10.0, 10.0), (1e6, 3e6));
    }
    assert_eq!(
        headline(&sketch.build()),
        [
            "boot is 8.00 ms (0.8 %) slower; 8.00 ms slower: `kmalloc` itself takes 8.00 ms more (4.00 ms -> 12.0 ms, in many \
          places)"
        ]
    );
}

#[test]
fn no_change_says_what_would_have_been_seen() {
    let told = headline(&Sketch::new(Basis::Tested).build());
    assert_eq!(told, ["no change: boot 1.00 s on both sides; a change of 0.2 % would have been seen"]);
    let told = headline(&Sketch::new(Basis::Exact).build());
    assert_eq!(
        told,
        [
            "no change: boot 1.00 s and 13,000,000 events on both sides (deterministic boots: any difference would be seen)"
        ]
    );
}

#[test]
fn too_few_boots_are_said_before_all_else() {
    let diff = Sketch::new(Basis::TooFew).way("late;do_initcalls;clk_init;clk_scan", (3.0, 3.0), (20e6, 50e6)).build();
    let told = headline(&diff);
    assert_eq!(
        told[0],
        "cannot tell from chance with 1 boot a side: boot is 30.0 ms (2.9 %) slower; 30.0 ms of it in level late: \
         `clk_init` -> `clk_scan` itself takes 30.0 ms more (20.0 ms -> 50.0 ms)"
    );
}

#[test]
fn without_call_trees_functions_speak_for_themselves() {
    let mut diff =
        Sketch::new(Basis::Exact).way("late;do_initcalls;clk_init;clk_scan", (3.0, 30.0), (2e6, 20e6)).build();
    diff.ways.clear();
    assert!(headline(&diff)[0].contains("`clk_scan` called 27 times more (3 -> 30)"), "{:#?}", headline(&diff));
    diff.functions.clear();
    assert!(headline(&diff)[0].contains("18.0 ms of it in level late"), "{:#?}", headline(&diff));
}

#[test]
fn names_from_a_trace_cannot_write_to_the_terminal() {
    let diff =
        Sketch::new(Basis::Exact).way("late;do_initcalls;clk_init;evil\u{1b}[31m", (0.0, 3.0), (0.0, 2e7)).build();
    assert!(headline(&diff).iter().all(|line| !line.contains('\u{1b}')));
}
