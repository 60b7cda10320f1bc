// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! Whether two boots are one and the same, by whatever path they came: a trace and the file that was kept of it are. In:
//! [`Boot`]s. Out: [`Identity`]. Never here: whether boots are alike ([`super::settings`]).

use super::boot::Boot;

/// What no other boot has.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Identity {
    build_id: String,
    started_at: u64,
    first_tsc: u64,
    /// Of each CPU: its number, words, events, and ticks that it waited.
    cpus: Vec<[u64; 4]>,
}

impl Identity {
    /// Of this boot.
    pub fn of(boot: &Boot) -> Identity {
        let meta = &boot.meta;
        Identity {
            build_id: meta.build_id.clone(),
            started_at: meta.started_at,
            first_tsc: meta.first_tsc,
            cpus: meta.per_cpu.iter().map(|cpu| [cpu.cpu.into(), cpu.words, cpu.events, cpu.wait_ticks]).collect(),
        }
    }

    /// Whether it says enough: of traces that do not know when they began, two deterministic ones look like one.
    pub fn is_known(&self) -> bool {
        self.started_at > 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_boot_is_itself_under_any_name_and_no_other() {
        let mut boot = Boot { name: "trace/".to_owned(), ..Boot::default() };
        assert!(!Identity::of(&boot).is_known());
        boot.meta.started_at = 1_700_000_000;
        let kept = Boot { name: "trace.boot.zst".to_owned(), ..boot.clone() };
        assert!(Identity::of(&boot) == Identity::of(&kept) && Identity::of(&boot).is_known());
        let mut next = kept;
        next.meta.first_tsc += 1;
        assert_ne!(Identity::of(&boot), Identity::of(&next));
    }
}
