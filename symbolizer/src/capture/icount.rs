// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! Boots that repeat: QEMU's icount, under which time is instructions. In: the user's arguments for QEMU. Out: what
//! contradicts, what must be added, and what of the machine is outside of that time. Never here: running it.
//!
//! Under `-icount shift=0,sleep=off` each instruction takes 1 ns of the guest's time, and an idle guest does not wait:
//! its clock goes forward to the next timer. `-seed` gives all random numbers that QEMU hands out, `-rtc` the date.
//! What is left is what comes from outside when it is ready, such as the data of a disk: it comes after another number
//! of instructions in each boot.

use super::CaptureError;
use super::qemu_args::{Request, options};
use crate::trace_dir::meta::CpuMeta;
use crate::trace_dir::{Ended, Meta};
use std::borrow::Cow;
use std::ffi::OsString;

const KVM: &str = "under --deterministic time is instructions, which QEMU can count only where it emulates the \
                   processor (-accel tcg); leave it out";
const THREADS: &str = "under --deterministic all virtual CPUs run in one thread, in turn; leave thread=multi out";
const ICOUNT: &str = "--deterministic sets icount itself (shift=0,sleep=off); leave it out";
const RTC: &str = "under --deterministic the date must be the same in each boot, and go with the guest's time: \
                   leave -rtc out, or say -rtc base=2026-01-01T00:00:00,clock=vm";
const HOST_CPU: &str = "--deterministic emulates the processor; name a model, such as -cpu max";

/// The date at which all such boots begin.
const DATE: &str = "base=2026-01-01T00:00:00,clock=vm";

/// Any number, the same in all boots.
const SEED: &str = "1";

/// Options that bring a disk, by name.
const DISKS: [&str; 12] =
    ["drive", "blockdev", "hda", "hdb", "hdc", "hdd", "cdrom", "fda", "fdb", "sd", "mtdblock", "pflash"];

/// Options that bring a network or files of the host.
const OTHERS: [(&str, &str); 5] = [
    ("netdev", "network"),
    ("nic", "network"),
    ("net", "network"),
    ("virtfs", "shared files"),
    ("fsdev", "shared files"),
];

/// Beginnings of values that bring something else of the host.
const VALUES: [(&str, &str, &str); 7] = [
    ("device", "vfio-", "device of the host"),
    ("device", "vhost-", "device of the host"),
    ("device", "usb-host", "device of the host"),
    ("device", "vmgenid", "random number of the host"),
    ("object", "rng-random", "random numbers of the host"),
    ("object", "rng-egd", "random numbers of the host"),
    ("tpmdev", "", "TPM of the host"),
];

/// The user's options with their values, without the dashes; the value may be another option, if that one has none.
fn pairs(args: &[OsString]) -> impl Iterator<Item = (Cow<'_, str>, Cow<'_, str>)> {
    let texts = || args.iter().map(|arg| arg.to_string_lossy());
    let values = texts().skip(1).chain([Cow::Borrowed("")]);
    texts().zip(values).filter_map(|(name, value)| {
        let bare = name.strip_prefix("--").or_else(|| name.strip_prefix('-'))?.to_owned();
        Some((Cow::Owned(bare), value))
    })
}

/// Refuses what contradicts.
///
/// # Errors
/// [`CaptureError::Conflict`].
pub fn check(args: &[OsString]) -> Result<(), CaptureError> {
    for (name, value) in pairs(args) {
        let has = |wanted: &str, key: &str| options(&value).any(|(k, v)| k == key && v == wanted);
        let other_accel = |key: &str| options(&value).any(|(k, v)| k == key && v.split(':').next() != Some("tcg"));
        let why = match &*name {
            "enable-kvm" => KVM,
            "accel" if other_accel("") => KVM,
            "accel" if has("multi", "thread") => THREADS,
            "machine" | "M" if other_accel("accel") => KVM,
            "cpu" if options(&value).next() == Some(("", "host")) => HOST_CPU,
            "icount" => ICOUNT,
            "rtc" if !says_date(&value) => RTC,
            _ => continue,
        };
        let argument = if name == "enable-kvm" { format!("-{name}") } else { format!("-{name} {value}") };
        return Err(CaptureError::Conflict { argument, why });
    }
    Ok(())
}

/// A date of its own, and a clock that is the guest's.
fn says_date(value: &str) -> bool {
    let date = options(value).any(|(key, value)| key == "base" && value.starts_with(|c: char| c.is_ascii_digit()));
    date && options(value).any(|pair| pair == ("clock", "vm"))
}

/// What to add behind the user's arguments.
pub fn added(args: &[OsString]) -> Vec<OsString> {
    let has = |wanted: &str| pairs(args).any(|(name, _)| name == wanted);
    let mut added = vec!["-icount", "shift=0,sleep=off"];
    if !has("seed") {
        added.extend(["-seed", SEED]);
    }
    if !has("rtc") {
        added.extend(["-rtc", DATE]);
    }
    added.into_iter().map(OsString::from).collect()
}

/// What of the machine answers in the host's time, in words: a boot that uses it need not repeat.
pub fn outside(args: &[OsString]) -> Vec<String> {
    let mut found = Vec::new();
    for (name, value) in pairs(args) {
        let none = options(&value).next() == Some(("", "none"));
        let disk = DISKS.contains(&&*name).then_some("disk");
        let other = OTHERS.iter().find(|(option, _)| *option == name && !none).map(|&(_, what)| what);
        let by_value =
            VALUES.iter().find(|(option, begin, _)| *option == name && value.starts_with(begin)).map(|found| found.2);
        if let Some(what) = disk.or(other).or(by_value) {
            found.push(format!("{what} (-{name} {value})"));
        }
    }
    found
}

/// Size of each CPU's ring in MiB: an eighth of the guest's memory for all, within bounds. It depends on the machine
/// alone, so that other kernels get the same memory. The rings are filled slowly under icount; the rest does
/// [`super::vmm::Watch::brake`].
pub fn ring_mib(request: &Request) -> u32 {
    const LEAST: u64 = 8;
    const MOST: u64 = 128;
    let all = (request.memory >> 23).clamp(LEAST, MOST);
    let each = (all / u64::from(request.cpus.max(1))).clamp(LEAST, 64);
    1 << each.ilog2()
}

/// Why another boot of this machine may differ from one that was recorded to its end, in words.
pub fn broken(meta: &Meta) -> Option<String> {
    let sum = |count: fn(&CpuMeta) -> u64| meta.per_cpu.iter().fold(0u64, |sum, cpu| sum.saturating_add(count(cpu)));
    let (waits, lost) = (sum(|cpu| cpu.waits), meta.totals.lost);
    let damaged = sum(|cpu| cpu.unwritten.saturating_add(cpu.damaged_chunks));
    if waits > 0 {
        Some(format!("the guest waited {waits} times for the recorder, and that took instructions"))
    } else if lost > 0 {
        Some(format!("{lost} events were lost"))
    } else if damaged > 0 || !meta.warnings.is_empty() {
        Some("what the guest has written is damaged".to_owned())
    } else if meta.ended != Some(Ended::PowerOff) {
        Some("the boot did not go on to its end, which is power-off".to_owned())
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capture::qemu_args;

    fn words(line: &str) -> Vec<OsString> {
        line.split_whitespace().map(OsString::from).collect()
    }

    #[test]
    fn what_contradicts_is_refused_with_the_way_out() {
        for (line, said) in [
            ("-enable-kvm", "-accel tcg"),
            ("-accel kvm", "-accel tcg"),
            ("--accel kvm:tcg", "-accel tcg"),
            ("-M q35,accel=kvm", "-accel tcg"),
            ("-machine accel=hvf", "-accel tcg"),
            ("-accel tcg,thread=multi", "one thread"),
            ("-cpu host", "-cpu max"),
            ("-cpu host,-avx", "-cpu max"),
            ("-icount shift=7", "leave it out"),
            ("-rtc base=utc", "clock=vm"),
            ("-rtc base=2020-01-01", "clock=vm"),
            ("-rtc clock=vm", "base="),
        ] {
            let error = check(&words(line)).expect_err(line).to_string();
            assert!(error.contains(said) && error.contains(line.trim_start_matches('-')), "{line}: {error}");
        }
        for line in [
            "-M q35 -accel tcg -cpu max -smp 2 -nographic",
            "-machine q35,accel=tcg -accel tcg,thread=single",
            "-rtc base=2020-01-01T10:00:00,clock=vm -seed 7",
            "-cpu EPYC,+svm -display none -serial stdio",
        ] {
            assert!(check(&words(line)).is_ok(), "{line}");
        }
    }

    #[test]
    fn what_the_user_has_said_is_not_added_again() {
        let all = ["-icount", "shift=0,sleep=off", "-seed", "1", "-rtc", DATE];
        assert_eq!(added(&words("-m 1G")), all);
        assert_eq!(added(&words("-seed 7 --rtc base=2020-01-01,clock=vm")), all[..2]);
    }

    #[test]
    fn what_is_the_hosts_is_named() {
        assert!(outside(&words("-M q35 -nographic -nic none -device virtio-rng-pci -serial stdio")).is_empty());
        let line = "-drive file=a,if=virtio -hda b -netdev user,id=n -object rng-random,id=r -device vfio-pci,host=1";
        let found = outside(&words(line));
        assert_eq!(found.len(), 5, "{found:?}");
        assert_eq!(found[0], "disk (-drive file=a,if=virtio)");
    }

    #[test]
    fn a_boot_that_waited_lost_or_did_not_end_need_not_repeat() {
        let whole = Meta { ended: Some(Ended::PowerOff), per_cpu: vec![CpuMeta::default()], ..Meta::default() };
        assert_eq!(broken(&whole), None);
        let with = |change: fn(&mut Meta)| {
            let mut meta = whole.clone();
            change(&mut meta);
            broken(&meta).expect("a reason")
        };
        assert!(with(|meta| meta.per_cpu[0].waits = 3).contains("3 times"));
        assert!(with(|meta| meta.totals.lost = 7).contains("7 events"));
        assert!(with(|meta| meta.per_cpu[0].unwritten = 1).contains("damaged"));
        assert!(with(|meta| meta.ended = None).contains("power-off"));
        assert!(with(|meta| meta.ended = Some(Ended::Died { detail: String::new() })).contains("power-off"));
    }

    #[test]
    fn rings_are_a_part_of_the_memory() {
        for (line, mib) in [
            ("-m 1G", 64),
            ("-m 512M", 64),
            ("-m 256M", 32),
            ("-m 64M", 8),
            ("-m 64G", 64),
            ("-m 1G -smp 2", 64),
            ("-m 600M -smp 3", 16),
            ("-m 4G -smp 8", 16),
        ] {
            let request = qemu_args::read(&words(line)).expect(line);
            assert_eq!(ring_mib(&request), mib, "{line}");
        }
    }
}
