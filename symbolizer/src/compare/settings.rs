// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! What boots must have in common for their figures to mean the same. In: what each trace says of itself. Out: where
//! they differ, in words. Never here: figures.

use std::collections::HashSet;
use std::fmt;

use crate::report::style::printable;
use crate::trace_dir::Meta;

/// Clocks that differ by more than this part are of different machines.
const SAME_CLOCK: f64 = 0.01;

/// Boots that are named for each value.
const NAMED: usize = 3;

/// A setting that is not the same in all boots.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// Which setting.
    pub what: &'static str,
    /// Its values, and the boots of each, in the order of the boots.
    pub values: Vec<(String, Vec<String>)>,
}

impl Difference {
    /// Of a setting with its value in each boot and the boot's name; none if it is the same in all.
    pub fn of(what: &'static str, told: impl Iterator<Item = (String, String)>) -> Option<Difference> {
        let mut values: Vec<(String, Vec<String>)> = Vec::new();
        for (value, name) in told {
            match values.iter_mut().find(|(known, _)| *known == value) {
                Some((_, names)) => names.push(name),
                None => values.push((value, vec![name])),
            }
        }
        (values.len() > 1).then_some(Difference { what, values })
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.what)?;
        for (index, (value, boots)) in self.values.iter().enumerate() {
            let named = boots.iter().take(NAMED).map(String::as_str).collect::<Vec<_>>().join(", ");
            let more = boots.len().saturating_sub(NAMED);
            let more = if more > 0 { format!(" and {more} more") } else { String::new() };
            write!(f, "{}{value} ({named}{more})", if index > 0 { "; " } else { "" })?;
        }
        Ok(())
    }
}

/// A setting: what it is called, and its parts as a trace tells them.
type Setting = (&'static str, fn(&Meta) -> Vec<String>);

/// All that must be the same, but for the clock.
const SETTINGS: [Setting; 5] = [
    ("build ID", |meta| vec![meta.build_id.clone()]),
    ("CPUs", |meta| vec![meta.cpus.to_string()]),
    ("command line", |meta| vec![format!("'{}'", meta.command_line)]),
    ("how the tracer came into the kernel", |meta| vec![meta.origin.clone()]),
    ("virtual machine", machine),
];

/// The monitor and its options with their values; those with paths aside, which are others each time, and the
/// command line, which is a setting of its own.
fn machine(meta: &Meta) -> Vec<String> {
    let mut options: Vec<String> = Vec::new();
    for word in &meta.vmm {
        match options.last_mut() {
            Some(option) if option.starts_with('-') && !option.contains(' ') && !word.starts_with('-') => {
                option.push(' ');
                option.push_str(word);
            }
            _ => options.push(word.clone()),
        }
    }
    options.retain(|option| !option.contains('/') && !["-append ", "-initrd "].iter().any(|o| option.starts_with(o)));
    options
}

/// Where boots, each with a name, differ.
pub fn differences(boots: &[(String, Meta)]) -> Vec<Difference> {
    let mut found: Vec<Difference> = SETTINGS
        .iter()
        .filter_map(|&(what, tell)| {
            let told: Vec<Vec<String>> = boots.iter().map(|(_, meta)| tell(meta)).collect();
            let sets: Vec<HashSet<&String>> = told.iter().map(|parts| parts.iter().collect()).collect();
            let everywhere = |part: &String| sets.iter().all(|parts| parts.contains(part));
            Difference::of(
                what,
                boots.iter().zip(&told).map(|((name, _), parts)| {
                    let own: Vec<&str> = parts.iter().filter(|part| !everywhere(part)).map(String::as_str).collect();
                    let value = if own.concat().is_empty() { "none".to_owned() } else { printable(&own.join(" ")) };
                    (value, name.clone())
                }),
            )
        })
        .collect();
    found.extend(clocks(boots));
    found
}

/// Clocks run at about the same speed, or none of the traces knows.
fn clocks(boots: &[(String, Meta)]) -> Option<Difference> {
    let speed = |meta: &Meta| meta.tsc_khz.filter(|&khz| khz > 0);
    let (first, meta) = boots.first()?;
    let same = |other: &Meta| match (speed(meta), speed(other)) {
        (Some(one), Some(other)) => (one as f64 - other as f64).abs() <= one as f64 * SAME_CLOCK,
        (one, other) => one == other,
    };
    let (other, differs) = boots.iter().find(|(_, other)| !same(other))?;
    let show = |meta: &Meta| speed(meta).map_or_else(|| "not known".to_owned(), |khz| format!("{khz} kHz"));
    let values = [(first, meta), (other, differs)].map(|(name, meta)| (show(meta), vec![name.clone()]));
    Some(Difference { what: "speed of the clock", values: values.to_vec() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn boots(metas: [Meta; 2]) -> Vec<(String, Meta)> {
        ["one", "two"].map(str::to_owned).into_iter().zip(metas).collect()
    }

    #[test]
    fn boots_that_are_alike_have_no_differences() {
        let vmm = |path: &str| ["qemu", "-smp", "1", "-kernel", path].map(str::to_owned).to_vec();
        let meta = |khz, path| Meta { cpus: 1, tsc_khz: Some(khz), vmm: vmm(path), ..Meta::default() };
        assert_eq!(differences(&boots([meta(2_000_000, "/tmp/a"), meta(2_000_100, "/tmp/b")])), []);
        assert_eq!(differences(&[]), []);
    }

    #[test]
    fn each_difference_is_told_with_its_boots() {
        let vmm = |words: &str| words.split(' ').map(str::to_owned).collect();
        let first = Meta {
            cpus: 1,
            command_line: "quiet".to_owned(),
            tsc_khz: Some(1_000),
            vmm: vmm("qemu -nographic -accel tcg -m 1G -kernel /a"),
            ..Meta::default()
        };
        let second = Meta {
            cpus: 2,
            command_line: "quiet\n".to_owned(),
            vmm: vmm("qemu -nographic -accel kvm -m 1G -kernel /b -append x"),
            ..Meta::default()
        };
        let told: Vec<String> = differences(&boots([first, second])).iter().map(ToString::to_string).collect();
        let wanted = [
            "CPUs: 1 (one); 2 (two)",
            "command line: 'quiet' (one); 'quiet\u{fffd}' (two)",
            "virtual machine: -accel tcg (one); -accel kvm (two)",
            "speed of the clock: 1000 kHz (one); not known (two)",
        ];
        assert_eq!(told, wanted);
    }
}
