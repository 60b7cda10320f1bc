// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! What a kernel command line asks for, in plain words. In: the line; if known, the names of the
//! functions that can be traced. Out: pairs of a topic and what holds for it.

use bootlevel::{Channel, EventKind, Item, Level, Options, Overflow, Part, Phase, PhaseSet};

/// A topic and what holds for it.
pub type Line = (&'static str, String);

/// All that the line says, and the defaults where it says nothing. `functions`: names of all functions
/// that can be traced.
pub fn meaning(line: &[u8], functions: Option<&[String]>) -> Vec<Line> {
    let options = Options::read(line);
    let mut lines = Vec::new();
    match options.on {
        Some(true) => lines.push(("tracing", "on".into())),
        Some(false) => return vec![("tracing", "off: nothing is recorded".into())],
        None => lines
            .push(("tracing", "not said: an injected kernel traces, one built with CONFIG_HYPERGRAPH does not".into())),
    }
    lines.push(("phases", phases(options.phases)));
    lines.push(("until", until(options.until)));
    lines.push(("functions", wanted(line, functions)));
    lines.push(match options.depth {
        None => ("depth", "any".into()),
        Some(1) => ("depth", "only functions that no traced function has called".into()),
        Some(most) => ("depth", format!("at most {most} traced functions on a task's stack")),
    });
    let kinds = EventKind::ALL.into_iter().filter(|kind| options.events.contains(*kind));
    let kinds: Vec<&str> = kinds.map(kind).collect();
    lines.push(("events", kinds.join(", ")));
    lines.push(("channel", channel(options.channel).into()));
    lines.push(match options.overflow {
        None => ("full ring", "as the recorder says (record --overflow; waits if that says nothing)".into()),
        Some(Overflow::Wait) => ("full ring", "wait for the recorder, for a bounded time".into()),
        Some(Overflow::Drop) => ("full ring", "lose events, and count them".into()),
    });
    if let Some(words) = options.pack {
        lines.push(("hypercalls", format!("{words} of 4 words in each")));
    }
    lines
}

/// The patterns of the line that match none of the functions, as they are written.
pub fn idle_patterns(line: &[u8], functions: &[String]) -> Vec<String> {
    let idle = bootlevel::items(line).filter_map(|(item, _)| match item {
        Item::Part(part @ (Part::Func(pattern) | Part::Notrace(pattern))) => {
            let alone = [b"hypergraph=func:", pattern].concat();
            let hits = functions.iter().any(|name| bootlevel::selects(&alone, name.as_bytes()));
            (!hits).then(|| part.to_string())
        }
        _ => None,
    });
    idle.collect()
}

/// Runs of phases, with the levels told from what is around them.
fn phases(set: PhaseSet) -> String {
    if set == PhaseSet::ALL {
        return "all, from the first traced function to the last".into();
    }
    let mut runs: Vec<(Phase, Phase)> = Vec::new();
    for phase in Phase::ALL.into_iter().filter(|phase| set.contains(*phase)) {
        match runs.last_mut() {
            Some((_, last)) if *last as u8 + 1 == phase as u8 => *last = phase,
            _ => runs.push((phase, phase)),
        }
    }
    let runs: Vec<String> = runs
        .into_iter()
        .map(|(first, last)| match first == last {
            true if first.level() == Some(Level::Device) => {
                "device (device_initcall, module_init of built-in code)".into()
            }
            true if first.level().is_some() => format!("{} ({}_initcall)", first.name(), first.name()),
            true => format!("{} ({})", first.name(), first.description()),
            false => format!("{} to {}", first.name(), last.name()),
        })
        .collect();
    format!("only {}", runs.join("; "))
}

fn until(last: Option<Phase>) -> String {
    match last {
        None | Some(Phase::Shutdown) => "the guest ends".into(),
        Some(Phase::Late) => "the last initcall has returned".into(),
        Some(Phase::Final) => "the kernel is about to execute init".into(),
        Some(Phase::Init) => "init is executed, before user space runs".into(),
        Some(Phase::User) => "the shutdown begins".into(),
        Some(phase) => format!("phase {} ends", phase.name()),
    }
}

fn wanted(line: &[u8], functions: Option<&[String]>) -> String {
    let patterns = |which: fn(&Part<'_>) -> Option<String>| -> Vec<String> {
        bootlevel::items(line)
            .filter_map(|(item, _)| if let Item::Part(part) = item { which(&part) } else { None })
            .collect()
    };
    let func = patterns(|part| if let Part::Func(text) = part { Some(text.escape_ascii().to_string()) } else { None });
    let notrace =
        patterns(|part| if let Part::Notrace(text) = part { Some(text.escape_ascii().to_string()) } else { None });
    let mut words = if func.is_empty() { "all".to_owned() } else { format!("only {}", func.join(", ")) };
    if !notrace.is_empty() {
        words += &format!(", but not {}", notrace.join(", "));
    }
    if let Some(functions) = functions {
        let hits = functions.iter().filter(|name| bootlevel::selects(line, name.as_bytes())).count();
        words += &format!(": {hits} of {} that can be traced", functions.len());
    }
    words
}

fn kind(kind: EventKind) -> &'static str {
    match kind {
        EventKind::Func => "functions",
        EventKind::Sched => "context switches",
        EventKind::Initcall => "initcalls",
        EventKind::Irq => "interrupts",
    }
}

fn channel(channel: Option<Channel>) -> &'static str {
    match channel {
        None | Some(Channel::Auto) => "the first that is there",
        Some(Channel::Ram) => "guest memory that the host can see",
        Some(Channel::Ivshmem) => "the memory of an ivshmem device",
        Some(Channel::Hypercall) => "hypercalls",
        Some(Channel::Port) => "an I/O port",
        Some(Channel::Pmem) => "the memory of a virtio-pmem device",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(line: &str, topic: &str) -> String {
        let lines = meaning(line.as_bytes(), Some(&["vfs_read".into(), "vfs_write".into(), "do_exit".into()]));
        lines.into_iter().find(|(name, _)| *name == topic).map(|(_, said)| said).unwrap_or_default()
    }

    #[test]
    fn parts_are_put_into_words() {
        assert_eq!(said("hypergraph=filter:core-fs,late", "phases"), "only core to fs; late (late_initcall)");
        assert_eq!(said("hypergraph=depth:3", "phases"), "all, from the first traced function to the last");
        assert_eq!(said("hypergraph=until:init", "until"), "init is executed, before user space runs");
        assert_eq!(
            said("hypergraph=func:vfs_*,notrace:*_read", "functions"),
            "only vfs_*, but not *_read: 1 of 3 that can be traced"
        );
        assert_eq!(said("hypergraph=events:irq,func", "events"), "functions, interrupts");
        assert_eq!(said("hypergraph=off,filter:fs", "tracing"), "off: nothing is recorded");
        assert_eq!(said("hypergraph=off,filter:fs", "phases"), "");
        assert!(said("quiet", "tracing").starts_with("not said"));
    }

    #[test]
    fn patterns_that_match_nothing_are_found() {
        let functions = ["vfs_read".to_owned(), "ext4_put.isra.0".to_owned()];
        let line = b"hypergraph=func:vfs_*,vfs_raed,ext4_put,notrace:x*";
        assert_eq!(idle_patterns(line, &functions), ["func:vfs_raed", "notrace:x*"]);
    }
}
