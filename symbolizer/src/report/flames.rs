// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! Flame graphs as inferno draws them: one SVG that zooms and searches in any browser. In: lines of frames, outermost
//! first, with their times; a colour for each frame; what the mouse is told. Out: SVG. Never here: which frames there
//! are.

use std::io;

use inferno::flamegraph::color::{BackgroundColor, PaletteMap};
use inferno::flamegraph::{Direction, Options, TextTruncateDirection, from_lines};

pub use inferno::flamegraph::color::Color;

/// A frame is drawn if it takes at least one part in so many of the whole: half a pixel of a large screen.
pub const PARTS: u64 = 5_000;

/// Most rows, and most frames: only a damaged trace has more.
pub const ROWS: usize = 200;
/// See [`ROWS`].
pub const FRAMES: usize = 50_000;

/// Parts a frame's name from what the mouse gets, for inferno knows names only. For private use, so in no name.
const MARK: char = '\u{e000}';

/// A name as the format allows it: semicolons part frames.
pub fn name(name: &str) -> String {
    name.replace([';', MARK], ":")
}

/// A frame: its name, and what the mouse is told besides its time.
pub fn frame(name: &str, note: &str) -> String {
    // The mark at the end keeps a number there from being taken for a column of its own.
    format!("{name}{MARK}{}{MARK}", note.replace([';', MARK], ","))
}

/// Whether it is one with a note.
pub fn has_note(frame: &str) -> bool {
    frame.contains(MARK)
}

/// What stands above, and what times are in.
#[derive(Clone, Debug)]
pub struct Above {
    /// The title.
    pub title: String,
    /// Below it; may be empty.
    pub subtitle: String,
    /// Times are nanoseconds, else ticks.
    pub ns: bool,
}

/// What inferno gets: lines, and a colour for each frame.
#[derive(Debug, Default)]
pub struct Drawing {
    lines: Vec<String>,
    /// By frames, with their notes.
    pub colours: PaletteMap,
}

impl Drawing {
    /// A frame below those of `path`, which is the last of them, and its time without that of frames below it. Lines
    /// come in the order of the picture, callers first.
    pub fn line(&mut self, path: &[String], time: u64) {
        self.lines.push(format!("{} {time}", path.join(";")));
    }

    /// How many lines there are.
    pub fn len(&self) -> usize {
        self.lines.len()
    }

    /// Nothing to draw.
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// Draws it.
    ///
    /// # Errors
    /// There is nothing to draw.
    pub fn draw(mut self, above: Above) -> io::Result<String> {
        if self.is_empty() {
            let nothing = "no call took any time, so there is nothing to draw; do the filters leave anything?";
            return Err(io::Error::new(io::ErrorKind::InvalidData, nothing));
        }
        self.colours.insert("", Color { r: 225, g: 225, b: 233 });
        let mut options = Options::default();
        options.title = above.title;
        options.subtitle = Some(above.subtitle).filter(|text| !text.is_empty());
        options.count_name = if above.ns { "ns" } else { "ticks" }.to_owned();
        options.name_type = "Call:".to_owned();
        options.palette_map = Some(&mut self.colours);
        options.bgcolors = Some(BackgroundColor::Flat(Color { r: 250, g: 250, b: 252 }));
        options.direction = Direction::Inverted;
        options.text_truncate_direction = TextTruncateDirection::Right;
        options.min_width = 0.0;
        // Lines as they are, from the last to the first: in the order in which they came.
        options.flame_chart = true;
        let mut svg = Vec::new();
        from_lines(&mut options, self.lines.iter().rev().map(String::as_str), &mut svg)?;
        let svg = String::from_utf8(svg).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
        Ok(with_notes(&svg))
    }
}

/// Names behind which the notes have gone to the words for the mouse.
fn with_notes(svg: &str) -> String {
    let mut out = String::with_capacity(svg.len());
    let mut rest = svg;
    while let Some(at) = rest.find(MARK) {
        out.push_str(&rest[..at]);
        let after = &rest[at + MARK.len_utf8()..];
        let end = after.find('<').unwrap_or(after.len());
        // In a title the numbers of inferno stand behind the note; in a text there is nothing.
        if let Some((note, numbers)) = after[..end].rsplit_once(" (") {
            let numbers = numbers.strip_suffix(')').unwrap_or(numbers);
            out.push_str(&format!(" ({numbers}; {})", note.trim_end_matches(MARK)));
        }
        rest = &after[end..];
    }
    out.push_str(rest);
    out
}
