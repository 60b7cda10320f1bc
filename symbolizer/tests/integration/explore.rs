// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! The terminal explorer: its state by keys, its screens against goldens, and the command in a pseudo-terminal whose
//! other end is read by a terminal emulator.

use std::path::{Path, PathBuf};

use bootlevel::Phase;
use early_ftrace_format::event::Event;
use early_ftrace_format::mark::Mark;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::{Color, Modifier};
use symbolizer::calltree::aggregate::Aggregate;
use symbolizer::calltree::both::Both;
use symbolizer::calltree::contexts::{Contexts, Grouping};
use symbolizer::calltree::filter::Wanted;
use symbolizer::calltree::levels::Levels;
use symbolizer::calltree::phases::Timeline;
use symbolizer::calltree::{self, Filter, Site};
use symbolizer::decode::pipeline;
use symbolizer::explore::mouse::Target;
use symbolizer::explore::page::Pane;
use symbolizer::explore::state::View;
use symbolizer::explore::{Data, Input, Key, Palette, Scope, State, draw};
use symbolizer::report::levels::Boot;
use symbolizer::report::model::{Sort, Sources};
use symbolizer::report::names::Coverage;
use symbolizer::report::{Names, Report};
use symbolizer::resolve::Vmlinux;
use symbolizer::trace_dir::TraceDir;

use super::fixture::{BUILD_ID, Fixture};
use super::golden::golden;

fn mark(mark: Mark, value: u32, time: u64) -> Event {
    Event::Mark { mark, value, time }
}

/// A boot with levels, two initcalls of which one does not end, recursion, an idle CPU, and a task whose name
/// would clear the screen.
fn boot(fixture: &Fixture) -> PathBuf {
    let phase = |phase: Phase, time| mark(Mark::Phase(phase as u8), 0, time);
    let initcall = |name, time| mark(Mark::InitcallStart, (fixture.site(name) - 5) as u32, time);
    let (enter, leaf) = (|name, time| fixture.enter(name, time), |name, from, to| fixture.leaf(name, from, to));
    let exit = |time| Event::Exit { time };
    let mut comm = [0; 16];
    comm[..8].copy_from_slice(b"e\x1b[2Jvil");
    let first = vec![
        Event::Named { pid: 1, name: *b"init\0\0\0\0\0\0\0\0\0\0\0\0" },
        phase(Phase::Start, 1_000_000),
        enter("start_kernel", 1_000_100),
        phase(Phase::Early, 1_100_000),
        initcall("acpi_early_init", 1_100_100),
        enter("acpi_early_init", 1_100_200),
        leaf("__kmalloc", 1_110_000, 1_120_000),
        // A function within itself: its time must not count twice.
        enter("kmem_cache_init", 1_130_000),
        enter("kmem_cache_init", 1_140_000),
        leaf("__kmalloc", 1_150_000, 1_151_000),
        exit(1_160_000),
        exit(1_170_000),
        exit(1_180_000),
        mark(Mark::InitcallEnd, -19i32 as u32, 1_181_000),
        phase(Phase::Fs, 1_200_000),
        Event::Named { pid: 7, name: comm },
        Event::Switch { state: 1, prio: 120, pid: 7, time: 1_210_000 },
        leaf("rest_init", 1_211_000, 1_212_000),
        Event::Switch { state: 1, prio: 120, pid: 1, time: 1_220_000 },
        initcall("kmem_cache_init", 1_230_000),
        enter("kmem_cache_init", 1_230_100),
        leaf("__kmalloc", 1_240_000, 1_900_000),
    ];
    let second = vec![leaf("rest_init", 1_000_600, 1_000_700), leaf("rest_init", 1_500_000, 1_500_900)];
    fixture.trace(fixture.meta(), &[vec![(1_000_000, 0, 1, first)], vec![(1_000_500, 0, 0, second)]])
}

/// Runs `test` with what there is to explore in a trace.
fn explore(fixture: &Fixture, trace: &Path, source: Option<&Path>, test: impl FnOnce(&Data<'_>)) {
    let vmlinux = Vmlinux::open(&fixture.vmlinux).unwrap();
    let names = Names::open(&vmlinux).unwrap();
    let trace = TraceDir::open(trace).unwrap();
    let timeline = Timeline::new(trace.meta().phases());
    let name_of = |site: Site<'_>| names.quick(site).name;
    let filter = || Filter::new(Wanted::default(), &name_of);
    let mut aggregate = Aggregate::new(filter()).by_phase(timeline.clone());
    let mut levels = Levels::new(timeline.clone(), None, None);
    let mut contexts = Contexts::new(filter(), timeline, Grouping { phases: true, tasks: true });
    let totals = pipeline::run(&trace, |pipeline| {
        let mut both = Both(&mut aggregate, &mut levels);
        calltree::build(pipeline, &mut Both(&mut both, &mut contexts), |_| {})
    });
    levels.finish(totals.last, &totals.tasks);
    let merged = contexts.finish();
    let named = names.resolve(totals.functions()).unwrap();
    let sources = Sources {
        meta: trace.meta(),
        build_id: Some(BUILD_ID.to_owned()),
        slide: names.slide(),
        totals: &totals,
        aggregate: &aggregate,
        named: named.clone(),
        coverage: Coverage::of(names.call_sites(), &named),
        nameless: names.nameless(),
        boot: Boot::new(&levels, &aggregate, &totals, &names, 1_000),
    };
    let report = Report::new(sources, Sort::Own, None);
    test(&Data::new(&report, &named, &merged, source.map(Path::to_owned)));
}

/// The same with the boot above and its source.
fn explored(test: impl FnOnce(&Data<'_>)) {
    let fixture = Fixture::pinned();
    let trace = boot(&fixture);
    explore(&fixture, &trace, Some(fixture.dir.path()), test);
}

fn press(state: &mut State<'_>, keys: &str) {
    for key in keys.chars() {
        state.take(Input::Key(match key {
            '\n' => Key::Enter,
            '\x1b' => Key::Esc,
            '\t' => Key::Tab,
            '\x08' => Key::Backspace,
            key => Key::Char(key),
        }));
    }
}

const PLAIN: Palette = Palette { colours: false };

fn screen(state: &mut State<'_>, width: u16, height: u16) -> Buffer {
    let mut buffer = Buffer::empty(Rect { x: 0, y: 0, width, height });
    draw(state, &mut buffer, PLAIN);
    buffer
}

/// What a screen says.
fn text(buffer: &Buffer) -> String {
    let line = |y| {
        let cells: String = (0..buffer.area.width).map(|x| buffer[(x, y)].symbol()).collect();
        cells.trim_end().to_owned() + "\n"
    };
    (0..buffer.area.height).map(line).collect()
}

fn shown(state: &mut State<'_>) -> String {
    text(&screen(state, 100, 30))
}

/// The name under the cursor of the view.
fn selected(state: &mut State<'_>) -> String {
    if state.view == View::Tree && state.page().is_none() {
        return state.tree.function().map_or_else(String::new, |function| state.data.name(function).to_owned());
    }
    state.with_table(|table, rows| table.selected().map(|row| rows.text(row))).flatten().unwrap_or_default()
}

#[test]
fn golden_screens() {
    explored(|data| {
        let mut all = String::new();
        let mut add = |title: &str, screen: String| all.push_str(&format!("=== {title}\n{screen}"));
        let mut state = State::new(data);
        add("overview", text(&screen(&mut state, 100, 24)));
        add("overview, wide", text(&screen(&mut state, 150, 16)));
        press(&mut state, "2");
        add("initcalls", text(&screen(&mut state, 80, 10)));
        press(&mut state, "3e");
        add("call tree", text(&screen(&mut state, 80, 14)));
        press(&mut state, "4");
        add("functions", text(&screen(&mut state, 80, 12)));
        add("functions, narrow", text(&screen(&mut state, 40, 10)));
        press(&mut state, "/alloc\n\n");
        add("page of a function", text(&screen(&mut state, 80, 24)));
        press(&mut state, "qu");
        add("callers as a tree", text(&screen(&mut state, 80, 12)));
        press(&mut state, "5");
        add("tasks", text(&screen(&mut state, 80, 10)));
        press(&mut state, "?");
        add("help", text(&screen(&mut state, 90, 34)));
        golden("explore.txt", &all);
    });
}

#[test]
fn figures_are_those_of_the_report() {
    let check = |data: &Data<'_>| {
        let sums = data.sums(Scope::default());
        let mut seen = 0;
        for row in &data.report.functions {
            let of_it = |named: &&symbolizer::report::names::Named| **named == row.named;
            let number = (0..data.functions() as u32).find(|&number| data.named(number).as_ref().is_some_and(of_it));
            let sum = sums[number.unwrap() as usize];
            let name = &row.named.name;
            assert_eq!(sum.own, row.busy_own(), "self time of {name}");
            assert_eq!(sum.total, row.busy_total(), "total time of {name}");
            assert_eq!(sum.calls, row.all.calls - row.idle.calls, "calls of {name}");
            seen += usize::from(sum.calls > 0);
        }
        assert!(seen > 2, "{seen} functions compared");
        for level in data.report.boot.levels.iter().filter(|level| level.phase != Phase::Firmware) {
            let sums = data.sums(Scope { phase: Some(level.phase), task: None });
            for (name, figures) in &level.functions {
                let number = (0..data.functions() as u32).find(|&number| data.name(number) == name).unwrap();
                let sum = sums[number as usize];
                assert_eq!((sum.own, sum.calls), (figures.own, figures.calls), "{name} in {}", level.phase.name());
                assert_eq!(sum.total, figures.total, "{name} in {}", level.phase.name());
            }
        }
        for (row, task) in data.report.tasks.iter().enumerate() {
            let sums = data.sums(Scope { phase: None, task: Some(row) });
            assert_eq!(sums.iter().map(|sum| sum.calls).sum::<u64>(), task.calls, "calls of {}", task.name);
            assert_eq!(sums.iter().map(|sum| sum.own).sum::<u64>(), task.traced, "time of {}", task.name);
        }
    };
    explored(check);
    let fixture = Fixture::new();
    let trace = fixture.boot();
    explore(&fixture, &trace, None, check);
}

#[test]
fn a_level_opens_its_initcalls_and_limits_all_views() {
    explored(|data| {
        let mut state = State::new(data);
        // The longest level has the cursor.
        assert!(selected(&mut state).starts_with("fs"), "{}", selected(&mut state));
        press(&mut state, "k\n");
        assert_eq!((state.view, state.scope.phase), (View::Initcalls, Some(Phase::Early)));
        assert_eq!(state.initcalls.rows.len(), 1);
        assert!(shown(&mut state).contains("-19"), "what it returned");
        press(&mut state, "\n");
        let page = state.page().unwrap();
        assert_eq!(data.name(page.function), "acpi_early_init");
        assert!(shown(&mut state).contains("initcall in early"), "{}", shown(&mut state));
        press(&mut state, "q]");
        assert_eq!(state.scope.phase, Some(Phase::Fs));
        assert!(selected(&mut state).starts_with("kmem_cache_init"));
        press(&mut state, "]");
        assert_eq!(state.scope, Scope::default(), "behind the last level is the whole boot");
        press(&mut state, "[4");
        assert_eq!(state.scope.phase, Some(Phase::Fs));
        assert!(!shown(&mut state).contains("acpi_early_init"));
        press(&mut state, "\x1b\x1b\x1b");
        assert_eq!((state.scope, state.view), (Scope::default(), View::Overview));
        assert!(!state.quit);
        press(&mut state, "q");
        assert!(state.quit);
    });
}

#[test]
fn the_tree_opens_closes_and_turns_round() {
    explored(|data| {
        let mut state = State::new(data);
        press(&mut state, "3");
        assert_eq!(selected(&mut state), "start_kernel");
        press(&mut state, "ll");
        assert_eq!(selected(&mut state), "kmem_cache_init", "the longest first");
        press(&mut state, "sss");
        assert_eq!(selected(&mut state), "kmem_cache_init", "the cursor stays when the order changes");
        press(&mut state, "hh");
        assert_eq!((selected(&mut state).as_str(), state.tree.shown.len()), ("start_kernel", 2));
        // All of the function's calls, one within the other counted once.
        press(&mut state, "/kmem_cache\nd");
        let root = state.tree.line(state.tree.selected().unwrap()).clone();
        let (outer, open) = (40_000, 669_900);
        assert_eq!((root.sum.total, root.sum.calls), (outer + open, 3), "{root:?}");
        press(&mut state, "u");
        let callers = |state: &State<'_>| {
            let line = |&line: &u32| {
                let line = state.tree.line(line);
                (data.name(line.function).to_owned(), line.sum.calls, line.sum.total)
            };
            state.tree.shown.iter().map(line).collect::<Vec<_>>()
        };
        assert_eq!(
            callers(&state),
            [
                ("kmem_cache_init".to_owned(), 3, outer + open),
                ("start_kernel".to_owned(), 1, open),
                ("acpi_early_init".to_owned(), 1, outer),
                ("kmem_cache_init".to_owned(), 1, 0),
            ]
        );
        press(&mut state, "\x1b\x1b");
        let outermost: Vec<_> = callers(&state).into_iter().map(|line| line.0).collect();
        assert_eq!(outermost, ["start_kernel", "rest_init"], "the whole tree again");
    });
}

#[test]
fn searches_find_what_is_closed_and_leave_no_trace_if_given_up() {
    explored(|data| {
        let mut state = State::new(data);
        press(&mut state, "3");
        let before = state.tree.shown.clone();
        press(&mut state, "/__kmal");
        assert_eq!(selected(&mut state), "__kmalloc");
        assert!(state.tree.shown.len() > before.len());
        press(&mut state, "zz");
        assert!(state.message.as_deref().is_some_and(|message| message.contains("no match")));
        assert_eq!(state.tree.shown, before, "what earlier letters opened");
        press(&mut state, "\x08\x08");
        assert_eq!(selected(&mut state), "__kmalloc");
        press(&mut state, "\x1b");
        assert_eq!((state.tree.shown.clone(), selected(&mut state).as_str()), (before, "start_kernel"));
        // Round the end, both ways; each place is visited once.
        press(&mut state, "/kmalloc\n");
        let mut places = vec![state.tree.selected()];
        loop {
            press(&mut state, "n");
            assert_eq!(selected(&mut state), "__kmalloc");
            if state.tree.selected() == places[0] {
                break;
            }
            places.push(state.tree.selected());
            assert!(places.len() < 10, "{places:?}");
        }
        assert_eq!(places.len(), 3, "below acpi_early_init, below its kmem_cache_init, below that of start_kernel");
        let mut back = Vec::new();
        for _ in &places {
            press(&mut state, "N");
            back.push(state.tree.selected());
        }
        // From the first place backwards: the last one first, the first one last.
        back.reverse();
        assert_eq!(back, places);
        press(&mut state, "4/REST_init\n");
        assert!(state.message.is_some(), "a capital makes case matter");
        press(&mut state, "/rest_init\n");
        assert!(selected(&mut state).starts_with("rest_init"));
    });
}

#[test]
fn filters_and_orders_change_what_tables_show() {
    explored(|data| {
        let mut state = State::new(data);
        press(&mut state, "4");
        let all = state.functions.rows.len();
        press(&mut state, "fkm");
        assert_eq!(state.functions.rows.len(), 2, "as it is typed");
        press(&mut state, "em\n");
        assert_eq!((state.functions.rows.len(), selected(&mut state).contains("kmem_cache_init")), (1, true));
        assert!(shown(&mut state).contains("filter: kmem"));
        press(&mut state, "\x1b");
        assert_eq!(state.functions.rows.len(), all);
        press(&mut state, "gss");
        let calls = |state: &State<'_>| -> Vec<u64> {
            state.functions.rows.iter().map(|&row| state.sums.0[row].calls).collect()
        };
        let sorted = calls(&state);
        assert!(sorted.is_sorted_by(|a, b| a >= b) && sorted.first() > sorted.last(), "{sorted:?}");
        press(&mut state, "r");
        assert_eq!(calls(&state), sorted.iter().rev().copied().collect::<Vec<_>>());
    });
}

#[test]
fn a_page_has_callers_callees_and_source() {
    explored(|data| {
        let mut state = State::new(data);
        press(&mut state, "4/kmem_cache\n\n");
        let page = state.page().unwrap();
        let edges = |edges: &[symbolizer::explore::rows::Edge]| {
            let mut edges: Vec<_> =
                edges.iter().map(|edge| (edge.function.map(|f| data.name(f).to_owned()), edge.sum.calls)).collect();
            edges.sort();
            edges
        };
        let some = |name: &str| Some(name.to_owned());
        let callers = [(some("acpi_early_init"), 1), (some("kmem_cache_init"), 1), (some("start_kernel"), 1)];
        assert_eq!(edges(&page.callers.0), callers);
        assert_eq!(edges(&page.callees.0), [(some("__kmalloc"), 2), (some("kmem_cache_init"), 1)]);
        let text = shown(&mut state);
        assert!(text.contains("mm/slub.c:4"), "{text}");
        let line = text.lines().find(|line| line.starts_with('>') && line.contains("4")).unwrap_or_default().to_owned();
        assert!(line.contains('{') || line.contains("kmem_cache_init"), "the line of its entry: {text}");
        assert_eq!(page_pane(&state), Some(Pane::Callees));
        press(&mut state, "/kmall\n\n");
        assert_eq!(data.name(state.page().unwrap().function), "__kmalloc", "a callee's page");
        press(&mut state, "\x1b\x1b");
        assert_eq!(data.name(state.page().unwrap().function), "kmem_cache_init", "and back");
        press(&mut state, "t");
        assert_eq!((state.view, selected(&mut state).as_str()), (View::Tree, "kmem_cache_init"));
    });
}

fn page_pane(state: &State<'_>) -> Option<Pane> {
    state.page().map(|page| page.pane)
}

#[test]
fn clicks_and_the_wheel_do_what_keys_do() {
    explored(|data| {
        let mut state = State::new(data);
        let find = |state: &mut State<'_>, wanted: Target| {
            screen(state, 80, 24);
            let found = state.targets.iter().find(|(_, target)| *target == wanted);
            let [x, y, ..] = found.unwrap_or_else(|| panic!("{wanted:?} is nowhere: {:?}", state.targets)).0;
            Input::Click(x, y)
        };
        let click = find(&mut state, Target::View(View::Functions));
        state.take(click);
        assert_eq!(state.view, View::Functions);
        let click = find(&mut state, Target::Title(3));
        state.take(click);
        assert_eq!(state.functions.sort, 3);
        let click = find(&mut state, Target::Line(2));
        state.take(click);
        assert_eq!((state.functions.list.selected, state.page().is_none()), (2, true));
        state.take(click);
        assert!(state.page().is_some(), "a second click opens");
        let click = find(&mut state, Target::Pane(Pane::Source, None));
        state.take(click);
        assert_eq!(page_pane(&state), Some(Pane::Source));
        let Input::Click(x, y) = click else { unreachable!() };
        let before = state.page().unwrap().sight.top;
        state.take(Input::Wheel(x, y, -3));
        screen(&mut state, 80, 24);
        assert_eq!(state.page().unwrap().sight.top, before.saturating_sub(3));
    });
}

#[test]
fn any_size_is_drawn_and_the_cursor_stays_in_sight() {
    explored(|data| {
        let mut state = State::new(data);
        let walks = ["", "?", "\x1b2", "3eee", "4", "\n", "\t", "\t", "q5", "f", "zzz", "\x1b1"];
        for keys in walks {
            press(&mut state, keys);
            for width in (0..60).chain([80, 139, 140, 300]) {
                for height in (0..14).chain([24, 60]) {
                    screen(&mut state, width, height);
                }
            }
        }
        // 40 x 10 is small, but does.
        for (view, wanted) in [("1", ">fs"), ("2", ">"), ("3", "start_kernel"), ("4", "__kmalloc"), ("5", "swapper/1")]
        {
            press(&mut state, view);
            let text = text(&screen(&mut state, 40, 10));
            assert!(text.contains(wanted) && text.contains("? help"), "{text}");
        }
        press(&mut state, "4G");
        assert!(text(&screen(&mut state, 40, 6)).lines().any(|line| line.starts_with('>')));
    });
}

#[test]
fn without_colours_there_are_none_and_nothing_is_told_by_colour_alone() {
    explored(|data| {
        let mut state = State::new(data);
        for keys in ["", "2", "3e", "4", "/km\n", "\n", "5", "?"] {
            press(&mut state, keys);
            let area = Rect { x: 0, y: 0, width: 100, height: 30 };
            let (mut plain, mut coloured) = (Buffer::empty(area), Buffer::empty(area));
            draw(&mut state, &mut plain, PLAIN);
            draw(&mut state, &mut coloured, Palette { colours: true });
            assert_eq!(text(&plain), text(&coloured), "the same is said");
            let colour = |cell: &ratatui::buffer::Cell| cell.fg != Color::Reset || cell.bg != Color::Reset;
            assert!(!plain.content().iter().any(colour));
            assert!(coloured.content().iter().any(colour), "the test can tell");
            let sixteen = |colour: Color| !matches!(colour, Color::Rgb(..) | Color::Indexed(_));
            assert!(coloured.content().iter().all(|cell| sixteen(cell.fg) && sixteen(cell.bg)));
            let reversed = |cell: &ratatui::buffer::Cell| cell.modifier.contains(Modifier::REVERSED);
            assert!(plain.content().iter().any(reversed), "the cursor");
        }
    });
}

#[test]
fn a_page_says_so_when_there_is_no_source() {
    let fixture = Fixture::pinned();
    let trace = boot(&fixture);
    explore(&fixture, &trace, None, |data| {
        let mut state = State::new(data);
        press(&mut state, "4\n");
        assert!(shown(&mut state).contains("--source DIR"));
    });
}

#[test]
fn names_from_a_guest_cannot_steer_the_terminal() {
    explored(|data| {
        let mut state = State::new(data);
        press(&mut state, "5");
        let text = shown(&mut state);
        assert!(text.contains("e\u{fffd}[2Jvil") && !text.contains('\x1b'), "{text}");
    });
}
