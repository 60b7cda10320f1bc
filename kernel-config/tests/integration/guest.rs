// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! What the guest does, instruction by instruction on a real CPU: words, registers, depth, loss, waiting,
//! and interrupts at any point.

use crate::harness::{Machine, handle, run};
use early_ftrace_format::event::Event;
use early_ftrace_format::shared::{CHUNK_SIZE, CHUNK_WORDS, POLICY_DROP, POLICY_WAIT};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

const RET: u8 = 0xc3;

fn site(function: usize) -> u64 {
    0xffff_ffff_0000_0000 | (function as u64 + 5)
}

/// A leaf, and a function that calls it three times.
fn three_leaves(machine: &mut Machine) -> (usize, usize) {
    let leaf = machine.traced(&[RET]);
    let mut body = Vec::new();
    for i in 0..3 {
        body.extend(machine.call(5 + i * 5, leaf));
    }
    body.push(RET);
    (leaf, machine.traced(&body))
}

#[test]
fn a_call_with_leaves_is_five_words() {
    let mut machine = Machine::new(4, POLICY_DROP, 0);
    let (leaf, outer) = three_leaves(&mut machine);
    run(outer, 0, 0); // opens the chunk, touches the pages
    run(outer, 0, 0);
    let (events, holes) = machine.events();
    assert_eq!(holes, 0);
    let sites: Vec<_> = events
        .iter()
        .map(|e| match *e {
            Event::Entry { site, .. } | Event::Leaf { site, .. } => site,
            Event::Exit { .. } => 0,
            ref other => panic!("{other:?}"),
        })
        .collect();
    // The first run may have a leaf too long for one word (page faults); the second has none.
    let last = &sites[sites.len() - 5..];
    assert_eq!(last, [site(outer), site(leaf), site(leaf), site(leaf), 0]);
    let times: Vec<_> = events.iter().map(end_of).collect();
    assert!(times.is_sorted(), "{times:?}");
    assert_eq!(machine.depth(), 0);
    assert_ne!(machine.header().first_tsc, 0);
}

fn repeat(rounds: std::ops::Range<u64>, function: usize) {
    for _ in rounds {
        run(function, 0, 0);
    }
}

fn end_of(event: &Event) -> u64 {
    match *event {
        Event::Entry { time, .. } | Event::Exit { time } => time,
        Event::Leaf { end, .. } => end,
        _ => 0,
    }
}

/// The sum of six arguments in rax and a pattern in rdx: neither trampoline may touch any of them.
#[test]
fn arguments_and_results_pass_through() {
    let mut machine = Machine::new(4, POLICY_DROP, 0);
    let sum = machine.traced(&[
        0x48, 0x8d, 0x04, 0x37, // lea rax, [rdi + rsi]
        0x48, 0x01, 0xd0, // add rax, rdx
        0x48, 0x01, 0xc8, // add rax, rcx
        0x4c, 0x01, 0xc0, // add rax, r8
        0x4c, 0x01, 0xc8, // add rax, r9
        0x48, 0xba, 1, 2, 3, 4, 5, 6, 7, 8, // mov rdx, 0x0807060504030201
        RET,
    ]);
    // Once by the slow paths (the first chunk is opened), then by the fast ones.
    for _ in 0..3 {
        // SAFETY: the code above, with the C convention for a 128-bit result in rdx:rax.
        let function: extern "C" fn(u64, u64, u64, u64, u64, u64) -> u128 = unsafe { std::mem::transmute(sum) };
        let result = function(1, 20, 300, 4_000, 50_000, 600_000);
        assert_eq!(result, 654_321 | 0x0807_0605_0403_0201 << 64);
    }
    // rax on entry: `mov rax, rdi` before a traced function that returns it as it finds it.
    let keep = machine.traced(&[RET]);
    let load = machine.next();
    let mut code = vec![0x48, 0x89, 0xf8]; // mov rax, rdi
    code.extend(machine.call(3, keep));
    code.push(RET);
    // SAFETY: inside the code area, behind the functions above.
    unsafe { std::ptr::copy_nonoverlapping(code.as_ptr(), load as *mut u8, code.len()) };
    assert_eq!(run(load, 0x1234_5678_9abc_def0, 0), 0x1234_5678_9abc_def0);
}

/// `f(n)`: calls itself until n is zero.
fn recursive(machine: &mut Machine) -> usize {
    let me = machine.next();
    let mut body = vec![
        0x48, 0x85, 0xff, // test rdi, rdi
        0x74, 0x08, // jz +8
        0x48, 0xff, 0xcf, // dec rdi
    ];
    body.extend(machine.call(5 + body.len(), me));
    body.push(RET);
    machine.traced(&body)
}

#[test]
fn a_full_shadow_stack_is_counted_and_harmless() {
    let mut machine = Machine::new(16, POLICY_DROP, 0);
    let function = recursive(&mut machine);
    for depth in [100, 126, 127, 128, 500, 126] {
        let before = (machine.header().depth_overflows, machine.events().0.len());
        run(function, depth, 0);
        assert_eq!(machine.depth(), 0, "after {depth}");
        let overflows = machine.header().depth_overflows - before.0;
        // 127 frames above the base: depth n opens n + 1.
        assert_eq!(overflows, (depth + 1).saturating_sub(127), "at {depth}");
        let events = machine.events().0;
        let weight: u64 = events[before.1..].iter().map(Event::weight).sum();
        assert_eq!(weight, (depth + 1 - overflows) * 2, "at {depth}");
        let mut open = 0i64;
        for event in &events[before.1..] {
            match event {
                Event::Entry { .. } => open += 1,
                Event::Exit { .. } => open -= 1,
                _ => {}
            }
            assert!(open >= 0);
        }
        assert_eq!(open, 0, "at {depth}");
    }
}

#[test]
fn a_full_ring_loses_with_a_count() {
    let mut machine = Machine::new(2, POLICY_DROP, 0);
    let (_, outer) = three_leaves(&mut machine);
    let rounds = 10_000;
    repeat(0..rounds, outer);
    let control = machine.control();
    assert_eq!(control.produced, 2);
    let recorded: u64 = machine.events().0.iter().map(Event::weight).sum();
    assert!(recorded > CHUNK_WORDS as u64);
    assert_eq!(recorded + control.lost, rounds * 8);
    assert_eq!(control.waits, 0);
}

#[test]
fn nobody_waits_without_a_consumer() {
    let mut machine = Machine::new(2, POLICY_WAIT, u64::MAX);
    let (_, outer) = three_leaves(&mut machine);
    repeat(0..10_000, outer);
    let control = machine.control();
    assert!(control.lost > 0 && control.wait_ticks < 1 << 32, "{control:?}");
}

#[test]
fn waiting_ends_when_the_consumer_is_dead() {
    let mut machine = Machine::new(2, POLICY_WAIT, 1 << 20);
    machine.attach(true);
    let (_, outer) = three_leaves(&mut machine);
    let rounds = 10_000;
    repeat(0..rounds, outer);
    let control = machine.control();
    let recorded: u64 = machine.events().0.iter().map(Event::weight).sum();
    assert_eq!(recorded + control.lost, rounds * 8);
    assert_eq!(control.waits, 1, "a CPU that waited in vain must not wait at each event");
    assert!(control.wait_ticks >= 1 << 20);
}

#[test]
fn a_consumer_keeps_everything() {
    let mut machine = Machine::new(2, POLICY_WAIT, 1 << 40);
    let (_, outer) = three_leaves(&mut machine);
    machine.attach(true);
    let done = AtomicBool::new(false);
    let taken = AtomicU64::new(0);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let control = Machine::control_pointer();
            while !done.load(Ordering::Relaxed) {
                // SAFETY: the mapped control block; `produced` is the guest's, `consumed` ours.
                unsafe {
                    let produced = AtomicU64::from_ptr(&raw mut (*control).produced).load(Ordering::Acquire);
                    let consumed = (*control).consumed;
                    if produced > consumed {
                        Machine::zero_chunk(consumed % 2);
                        AtomicU64::from_ptr(&raw mut (*control).consumed).store(consumed + 1, Ordering::Release);
                        taken.fetch_add(1, Ordering::Relaxed);
                    }
                }
                std::thread::yield_now();
            }
        });
        repeat(0..100_000, outer);
        done.store(true, Ordering::Relaxed);
    });
    let control = machine.control();
    assert_eq!(control.lost, 0);
    // Five words a round, now and then some more.
    assert!(control.produced >= 100_000 * 5 * 8 / CHUNK_SIZE, "{control:?}");
    assert!(control.waits > 0 || taken.load(Ordering::Relaxed) >= control.produced - 1);
}

static HANDLER_CALLS: AtomicU64 = AtomicU64::new(0);
static HANDLER_FUNCTION: AtomicUsize = AtomicUsize::new(0);

extern "C" fn on_alarm(_signal: i32) {
    run(HANDLER_FUNCTION.load(Ordering::Relaxed), 3, 0);
    HANDLER_CALLS.fetch_add(1, Ordering::Relaxed);
}

/// A storm of interrupts while traced functions run: each call of either side is in the trace once, or
/// counted as lost in an "NMI"; exits pair with entries; nothing returns to a wrong place (that would
/// crash this process).
#[test]
fn interrupts_at_any_instruction() {
    let mut machine = Machine::new(512, POLICY_DROP, 0);
    let (leaf, outer) = three_leaves(&mut machine);
    let inner = recursive(&mut machine);
    HANDLER_FUNCTION.store(inner, Ordering::Relaxed);
    HANDLER_CALLS.store(0, Ordering::Relaxed);
    handle(libc::SIGALRM, on_alarm as *const () as usize);
    let rounds = 300_000u64;
    // SAFETY: the handler runs traced code, which is made to be interrupted by itself. The timer signals
    // this thread only: gs of the others is not set.
    let timer = unsafe { thread_timer(50_000) };
    repeat(0..rounds, outer);
    // SAFETY: made above.
    unsafe { libc::timer_delete(timer) };
    let interrupts = HANDLER_CALLS.load(Ordering::Relaxed);
    assert!(interrupts > 1_000, "only {interrupts} interrupts came: the test proves nothing");
    let (events, holes) = machine.events();
    assert_eq!(holes, 0);
    let control = machine.control();
    assert_eq!(control.lost, control.nmi_lost, "the ring was large enough: {control:?}");
    let (mut entries, mut exits, mut open, mut deepest) = ([0u64; 3], 0u64, 0i64, 0i64);
    for event in &events {
        match *event {
            Event::Entry { site: s, .. } => {
                open += 1;
                deepest = deepest.max(open);
                entries[index(s, leaf, outer, inner)] += 1;
            }
            Event::Exit { .. } => {
                open -= 1;
                exits += 1;
            }
            Event::Leaf { site: s, .. } => {
                entries[index(s, leaf, outer, inner)] += 1;
                exits += 1;
            }
            ref other => panic!("{other:?}"),
        }
        assert!(open >= 0 || control.nmi_lost > 0);
    }
    let expected = rounds * 4 * 2 + interrupts * 4 * 2;
    let recorded = entries.iter().sum::<u64>() + exits;
    assert_eq!(recorded + control.lost, expected, "entries {entries:?}, exits {exits}, {control:?}");
    if control.nmi_lost == 0 {
        assert_eq!(entries, [rounds * 3, rounds, interrupts * 4]);
        assert_eq!(open, 0);
    }
    assert!(deepest >= 3, "no interrupt nested in a traced function");
    assert_eq!(machine.depth(), 0);
}

fn index(s: u64, leaf: usize, outer: usize, inner: usize) -> usize {
    [leaf, outer, inner].iter().position(|&f| site(f) == s).unwrap_or_else(|| panic!("unknown site {s:#x}"))
}

/// A timer that signals this thread each `nanoseconds`.
unsafe fn thread_timer(nanoseconds: i64) -> libc::timer_t {
    // SAFETY: as POSIX asks; SIGEV_THREAD_ID with this thread's id.
    unsafe {
        let mut event: libc::sigevent = std::mem::zeroed();
        event.sigev_notify = libc::SIGEV_THREAD_ID;
        event.sigev_signo = libc::SIGALRM;
        event.sigev_notify_thread_id = libc::gettid();
        let mut timer: libc::timer_t = std::ptr::null_mut();
        assert_eq!(libc::timer_create(libc::CLOCK_MONOTONIC, &mut event, &mut timer), 0);
        let step = libc::timespec { tv_sec: 0, tv_nsec: nanoseconds };
        let spec = libc::itimerspec { it_interval: step, it_value: step };
        assert_eq!(libc::timer_settime(timer, 0, &spec, std::ptr::null_mut()), 0);
        timer
    }
}
