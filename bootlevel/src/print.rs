// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! Parts as the user would write them: what is printed is read back as the same part. For the host; the
//! guest has no `core::fmt`.

use crate::options::{CHANNELS, Channel, EVENTS, EventKind, OVERFLOWS, Overflow, Part};
use core::fmt;

fn nth(names: &'static str, number: u8) -> &'static str {
    names.split(' ').nth(number.into()).unwrap_or("")
}

impl EventKind {
    /// The name that users write.
    pub fn name(self) -> &'static str {
        nth(EVENTS, self as u8)
    }
}

impl Channel {
    /// The name that users write.
    pub fn name(self) -> &'static str {
        nth(CHANNELS, self as u8)
    }
}

impl Overflow {
    /// The name that users write.
    pub fn name(self) -> &'static str {
        nth(OVERFLOWS, self as u8)
    }
}

impl fmt::Display for Part<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let pattern = |f: &mut fmt::Formatter<'_>, key, pattern: &[u8]| write!(f, "{key}:{}", pattern.escape_ascii());
        match *self {
            Part::On => f.write_str("on"),
            Part::Off => f.write_str("off"),
            Part::Filter(first, last) if first == last => write!(f, "filter:{}", first.name()),
            Part::Filter(first, last) => write!(f, "filter:{}-{}", first.name(), last.name()),
            Part::Func(text) => pattern(f, "func", text),
            Part::Notrace(text) => pattern(f, "notrace", text),
            Part::Depth(most) => write!(f, "depth:{most}"),
            Part::Events(kind) => write!(f, "events:{}", kind.name()),
            Part::Until(phase) => write!(f, "until:{}", phase.name()),
            Part::Channel(channel) => write!(f, "channel:{}", channel.name()),
            Part::Overflow(overflow) => write!(f, "overflow:{}", overflow.name()),
            Part::Pack(words) => write!(f, "pack:{words}"),
        }
    }
}
