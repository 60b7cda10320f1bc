// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! What comes from the terminal, without the terminal; and which keys there are. In: nothing. Out: [`Input`], the
//! table of keys that the help shows. Never here: what a key does ([`super::state`]).

/// A key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key {
    /// A character, as typed.
    Char(char),
    /// With Ctrl held.
    Ctrl(char),
    /// Return.
    Enter,
    /// Escape.
    Esc,
    /// Tabulator.
    Tab,
    /// The same with Shift.
    BackTab,
    /// Delete to the left.
    Backspace,
    /// Cursor up.
    Up,
    /// Cursor down.
    Down,
    /// Cursor left.
    Left,
    /// Cursor right.
    Right,
    /// A screen up.
    PageUp,
    /// A screen down.
    PageDown,
    /// To the begin.
    Home,
    /// To the end.
    End,
}

/// What comes in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Input {
    /// A key was pressed.
    Key(Key),
    /// The left button was pressed in this column and line.
    Click(u16, u16),
    /// The wheel was turned over this column and line: lines down, or up.
    Wheel(u16, u16, isize),
}

/// The keys, by what they are for: keys, and what they do.
pub const KEYS: &[(&str, &[(&str, &str)])] = &[
    (
        "Go",
        &[
            ("1 2 3 4 5", "overview, initcalls, call tree, functions, tasks"),
            ("Tab, Shift-Tab", "next, previous view; on a function's page: pane"),
            ("Enter", "open: a level's initcalls, a function's page, a task's calls"),
            ("Esc, Backspace", "back: close, clear the search or the filter, leave the page"),
            ("q", "leave the page, or quit;  Q, Ctrl-C quit at once"),
        ],
    ),
    (
        "Move",
        &[
            ("j k, Down Up", "a line down, up"),
            ("PgDn PgUp, Space b", "a screen down, up;  Ctrl-D Ctrl-U: half of it"),
            ("g G, Home End", "first, last line"),
        ],
    ),
    (
        "Find",
        &[
            ("/", "search as you type, in the call tree also what is not opened"),
            ("n N", "next, previous match"),
            ("f", "filter as you type: show only lines that match"),
        ],
    ),
    (
        "Choose",
        &[
            ("[ ]", "previous, next level, for initcalls, call tree and functions"),
            ("a", "all levels, all tasks again"),
            ("s S", "sort by the next, previous column;  r: the other way round"),
        ],
    ),
    (
        "Call tree",
        &[
            ("l h, Right Left", "open, close a line;  +  -  o: the same, or either"),
            ("e", "open along the longest calls"),
            ("c", "close all"),
            ("t", "from other views: show the selected function in the call tree"),
            ("d", "tree down from all calls of the selected function"),
            ("u", "tree up from it: its callers, with the time of its calls"),
        ],
    ),
    ("Mouse", &[("click, wheel", "select and open, sort by a title, change view; scroll")]),
];
