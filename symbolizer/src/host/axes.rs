// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! The way to the guest's time of each vCPU. In: the file of host events, the frequency of the guest's time stamp
//! counter. Out: [`Axes`]: by the offsets that KVM has set if they were recorded, else by bounds from hypercalls.
//! Never here: exits one by one.

use std::collections::BTreeMap;

use super::bounds::Bounds;
use super::clock::{Axis, Clock, Offsets};
use super::corridor::Corridor;
use super::event::HostEvent;
use super::file::{HostFile, time};

/// See the module.
#[derive(Debug, Default)]
pub struct Axes {
    /// By vCPU.
    pub by_vcpu: BTreeMap<u32, Axis>,
    /// Exits in the file.
    pub exits: u64,
    /// Of these, such as have no place in the guest's time: nothing tells the way, or not from so early on.
    pub unplaced: u64,
    /// Events in blocks that are damaged.
    pub damaged: u64,
    /// The counters' frequencies of the host and of the guest in kHz, if KVM scales the latter (`tsc-frequency`, a guest
    /// that came from another machine): the offset alone does not lead to the guest's time.
    pub scaled: Option<(u64, u64)>,
}

/// Parts in a thousand that the frequencies of host and guest differ by at least where KVM scales: a guest that
/// measures the counter itself is wrong by less.
const SCALED: u64 = 2;

/// Reads through the file once.
pub fn axes(file: &HostFile, khz: Option<u64>) -> Axes {
    let mut axes = Axes { scaled: scaled(file.clock(), khz), ..Axes::default() };
    let rate = match file.clock() {
        Clock::Tsc | Clock::Ticks { .. } => Some(1.0),
        Clock::Ns { .. } => khz.map(|khz| khz as f64 / 1e6),
    };
    for vcpu in file.vcpus() {
        let mut bounds =
            rate.and_then(Corridor::new).map(|corridor| Bounds::new(corridor.with_slack(file.clock().made())));
        let (mut offsets, mut exits, mut early) = (Offsets::default(), 0, 0);
        let mut span: Option<(u64, u64)> = None;
        let mut events = file.events(vcpu);
        for event in events.by_ref() {
            match &event {
                HostEvent::Exit(exit) => {
                    exits += 1;
                    early += u64::from(offsets.is_empty());
                    if let Some(bounds) = &mut bounds {
                        bounds.push(exit);
                    }
                }
                HostEvent::Offset { time, next, .. } => offsets.push(*time, *next),
                HostEvent::Away { .. } => {}
            }
            let now = time(&event);
            span = Some(span.map_or((now, now), |(first, last)| (first.min(now), last.max(now))));
        }
        axes.damaged = axes.damaged.saturating_add(events.damaged());
        axes.exits += exits;
        let (first, last) = span.unwrap_or_default();
        let estimated = || Axis::of_corridor(file.clock(), bounds.as_ref()?.corridor(), first, last);
        let offset = if axes.scaled.is_none() { Axis::of_offsets(file.clock(), offsets) } else { None };
        match offset {
            Some(axis) => {
                axes.unplaced += early;
                axes.by_vcpu.insert(vcpu, axis);
            }
            None => match estimated() {
                Some(axis) => drop(axes.by_vcpu.insert(vcpu, axis)),
                None => axes.unplaced += exits,
            },
        }
    }
    axes
}

/// Both frequencies, if they are known and too different for the same counter.
fn scaled(clock: Clock, guest: Option<u64>) -> Option<(u64, u64)> {
    let (host, guest) = (clock.khz()?, guest.filter(|khz| *khz > 0)?);
    (host.abs_diff(guest) > guest / 1_000 * SCALED).then_some((host, guest))
}

#[cfg(test)]
mod tests {
    use super::super::clock::Conversion;
    use super::*;

    #[test]
    fn a_counter_of_another_frequency_is_a_scaled_one() {
        // 2.6 GHz: mult / 2^shift nanoseconds a tick.
        let clock = Clock::Ns { conversion: Some(Conversion { zero: 7, mult: 3_303_820_997, shift: 33 }) };
        assert_eq!(clock.khz(), Some(2_600_000));
        assert_eq!(scaled(clock, Some(2_599_000)), None);
        assert_eq!(scaled(clock, Some(2_000_000)), Some((2_600_000, 2_000_000)));
        assert_eq!(scaled(clock, None), None);
        assert_eq!(scaled(Clock::Tsc, Some(2_000_000)), None);
        assert_eq!(scaled(Clock::Ns { conversion: None }, Some(2_000_000)), None);
    }
}
