// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! The `metadata` file of a CTF trace, in TSDL: how packets and events are laid out. In: what is known of the
//! trace. Out: text. Never here: bytes of events.
//!
//! The parts that Trace Compass looks for are as LTTng-UST writes them: `domain` and `tracer_name` in `env`,
//! the large event header, contexts `_vpid`, `_vtid` and `_procname`, events `lttng_ust_cyg_profile:*`. A field
//! `_x` is shown as `x`.

use std::fmt::Write;

use super::super::Head;

/// Class of streams with calls, one stream a CPU.
pub const CALLS: u32 = 0;
/// Class of streams with switches, one a CPU.
pub const SWITCHES: u32 = 1;
/// Class of the stream with all that concerns the whole boot.
pub const BOOT: u32 = 2;

/// Events of [`CALLS`].
pub const FUNC_ENTRY: u16 = 0;
/// See [`FUNC_ENTRY`].
pub const FUNC_EXIT: u16 = 1;
/// Event of [`SWITCHES`].
pub const SCHED_SWITCH: u16 = 0;
/// Events of [`BOOT`].
pub const LEVEL_BEGIN: u16 = 0;
/// See [`LEVEL_BEGIN`].
pub const LEVEL_END: u16 = 1;
/// See [`LEVEL_BEGIN`].
pub const INITCALL_START: u16 = 2;
/// See [`LEVEL_BEGIN`].
pub const INITCALL_FINISH: u16 = 3;
/// See [`LEVEL_BEGIN`].
pub const LOST: u16 = 4;
/// See [`LEVEL_BEGIN`].
pub const GAP: u16 = 5;

/// Bytes of a task's name with its NUL, as LTTng has it.
pub const NAME: usize = 17;

const TYPES: &str = r#"typealias integer { size = 8; align = 8; signed = false; } := uint8_t;
typealias integer { size = 16; align = 8; signed = false; } := uint16_t;
typealias integer { size = 32; align = 8; signed = false; } := uint32_t;
typealias integer { size = 64; align = 8; signed = false; } := uint64_t;
typealias integer { size = 32; align = 8; signed = true; } := int32_t;
typealias integer { size = 64; align = 8; signed = false; base = 16; } := address_t;
"#;

const STREAMS: &str = r#"
typealias integer { size = 32; align = 8; signed = false; map = clock.monotonic.value; } := uint32_clock_monotonic_t;
typealias integer { size = 64; align = 8; signed = false; map = clock.monotonic.value; } := uint64_clock_monotonic_t;

struct event_header_large {
	enum : uint16_t { compact = 0 ... 65534, extended = 65535 } id;
	variant <id> {
		struct { uint32_clock_monotonic_t timestamp; } compact;
		struct { uint32_t id; uint64_clock_monotonic_t timestamp; } extended;
	} v;
} align(8);

struct packet_context {
	uint64_clock_monotonic_t timestamp_begin;
	uint64_clock_monotonic_t timestamp_end;
	uint64_t content_size;
	uint64_t packet_size;
	uint64_t packet_seq_num;
	uint64_t events_discarded;
	uint32_t cpu_id;
};

struct boot_packet_context {
	uint64_clock_monotonic_t timestamp_begin;
	uint64_clock_monotonic_t timestamp_end;
	uint64_t content_size;
	uint64_t packet_size;
	uint64_t packet_seq_num;
	uint64_t events_discarded;
};

stream {
	id = 0;
	event.header := struct event_header_large;
	packet.context := struct packet_context;
	event.context := struct {
		int32_t _vpid;
		int32_t _vtid;
		string _procname;
	};
};

stream {
	id = 1;
	event.header := struct event_header_large;
	packet.context := struct packet_context;
};

stream {
	id = 2;
	event.header := struct event_header_large;
	packet.context := struct boot_packet_context;
};

event {
	name = "lttng_ust_cyg_profile:func_entry";
	id = 0;
	stream_id = 0;
	loglevel = 12;
	fields := struct { address_t _addr; address_t _call_site; string _name; };
};

event {
	name = "lttng_ust_cyg_profile:func_exit";
	id = 1;
	stream_id = 0;
	loglevel = 12;
	fields := struct { address_t _addr; address_t _call_site; };
};

event {
	name = "sched_switch";
	id = 0;
	stream_id = 1;
	fields := struct { string _prev_comm; int32_t _prev_tid; string _next_comm; int32_t _next_tid; };
};

event {
	name = "level_begin";
	id = 0;
	stream_id = 2;
	fields := struct { string _level; };
};

event {
	name = "level_end";
	id = 1;
	stream_id = 2;
	fields := struct { string _level; };
};

event {
	name = "initcall_start";
	id = 2;
	stream_id = 2;
	fields := struct { address_t _func; string _name; string _level; string _module; string _task; };
};

event {
	name = "initcall_finish";
	id = 3;
	stream_id = 2;
	fields := struct { address_t _func; string _name; int32_t _ret; string _outcome; };
};

event {
	name = "lost";
	id = 4;
	stream_id = 2;
	fields := struct { uint32_t _cpu; uint64_t _events; };
};

event {
	name = "gap";
	id = 5;
	stream_id = 2;
	fields := struct { uint32_t _cpu; string _reason; };
};
"#;

/// The whole text.
pub fn text(head: &Head<'_>, uuid: &[u8; 16]) -> String {
    let uuid = uuid_text(uuid);
    let mut out = String::from("/* CTF 1.8 */\n\n");
    out.push_str(TYPES);
    // Writing to a String cannot fail.
    let _ = write!(
        out,
        r#"
trace {{
	major = 1;
	minor = 8;
	uuid = "{uuid}";
	byte_order = le;
	packet.header := struct {{
		uint32_t magic;
		uint8_t uuid[16];
		uint32_t stream_id;
		uint64_t stream_instance_id;
	}};
}};

env {{
	domain = "ust";
	tracer_name = "lttng-ust";
	tracer_major = 2;
	tracer_minor = 13;
	hostname = "guest";
	writer = "early-ftrace {version}";
	kernel_release = {release};
	kernel_build_id = {build_id};
	kernel_command_line = {command_line};
	time_unit = "{unit}";
	filtered = {filtered};
}};

clock {{
	name = "monotonic";
	description = "Since the trace began";
	freq = 1000000000;
	offset = 0;
}};
"#,
        version = env!("CARGO_PKG_VERSION"),
        release = quoted(&head.meta.release),
        build_id = quoted(&head.meta.build_id),
        command_line = quoted(&head.meta.command_line),
        unit = if head.clock.khz().is_some() { "ns" } else { "ticks" },
        filtered = quoted(head.filtered.unwrap_or_default()),
    );
    out.push_str(STREAMS);
    out
}

/// A string literal; what is no plain character becomes a blank, since readers differ in what they take.
fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            ' '..='~' => out.push(c),
            _ => out.push(' '),
        }
    }
    out.push('"');
    out
}

fn uuid_text(uuid: &[u8; 16]) -> String {
    let mut out = String::new();
    for (index, byte) in uuid.iter().enumerate() {
        if matches!(index, 4 | 6 | 8 | 10) {
            out.push('-');
        }
        let _ = write!(out, "{byte:02x}");
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_cannot_end_their_literal() {
        assert_eq!(quoted("a\"b\\c\n\u{e4}"), r#""a\"b\\c  ""#);
        assert_eq!(uuid_text(&[0xab; 16]), "abababab-abab-abab-abab-abababababab");
    }
}
