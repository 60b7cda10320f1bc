// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! The styles: the same meaning as in the text report, from the terminal's 16 colours, or from none. In: whether
//! colours are wanted. Out: styles. No style alone tells anything: brackets, marks and words say the same.

use ratatui::style::{Color, Modifier, Style};

/// See the module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Palette {
    /// Colours are wanted.
    pub colours: bool,
}

impl Palette {
    fn coloured(self, colour: Color) -> Style {
        if self.colours { Style::new().fg(colour) } else { Style::new() }
    }

    /// Of most text.
    pub fn plain(self) -> Style {
        Style::new()
    }

    /// Of what is secondary.
    pub fn dim(self) -> Style {
        Style::new().add_modifier(Modifier::DIM)
    }

    /// Of names that matter.
    pub fn strong(self) -> Style {
        Style::new().add_modifier(Modifier::BOLD)
    }

    /// Of headings.
    pub fn heading(self) -> Style {
        self.coloured(Color::Cyan).add_modifier(Modifier::BOLD)
    }

    /// Of what needs attention.
    pub fn warn(self) -> Style {
        self.coloured(Color::Yellow).add_modifier(Modifier::BOLD)
    }

    /// Of bars.
    pub fn bar(self) -> Style {
        self.coloured(Color::Green)
    }

    /// Of the view that is seen.
    pub fn active(self) -> Style {
        self.heading().add_modifier(Modifier::REVERSED)
    }

    /// Of the line with the cursor.
    pub fn selected(self) -> Style {
        Style::new().add_modifier(Modifier::REVERSED)
    }

    /// Of what was searched for.
    pub fn hit(self) -> Style {
        self.coloured(Color::Yellow).add_modifier(Modifier::BOLD | Modifier::UNDERLINED)
    }
}
