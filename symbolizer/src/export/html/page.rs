// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! The page: the template with style, scripts, sentences and data put in. In: those. Out: HTML. Never here:
//! figures. What comes from outside is text: `&`, `<`, `>` and quotes are written as such.

use std::io::{self, Write};

use super::facts::Facts;
use super::words::{Piece, Text, Words};
use crate::report::Report;
use crate::report::style::printable;

const TEMPLATE: &str = include_str!("page.html");
const STYLE: &str = include_str!("page.css");
/// In the order in which they run.
const SCRIPTS: &[&str] = &[
    include_str!("state.js"),
    include_str!("chart.js"),
    include_str!("timeline.js"),
    include_str!("tree.js"),
    include_str!("details.js"),
    include_str!("tables.js"),
    include_str!("start.js"),
];

/// Text as HTML.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c if c.is_control() => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

/// JSON that may stand in a script element: `<` begins neither an end tag nor a comment.
pub fn in_script(json: &str) -> String {
    json.replace('<', "\\u003c")
}

fn text(text: &Text) -> String {
    text.0
        .iter()
        .map(|piece| match piece {
            Piece::Plain(plain) => escaped(plain),
            Piece::Strong(strong) => format!("<strong>{}</strong>", escaped(strong)),
            Piece::Code(code) => format!("<code>{}</code>", escaped(code)),
        })
        .collect()
}

fn headline(words: &Words) -> String {
    let mut out = String::new();
    for (index, sentence) in words.headline.iter().enumerate() {
        let class = if index == 0 { " class=\"lead\"" } else { "" };
        out.push_str(&format!("<p{class}>{}</p>\n", text(sentence)));
    }
    out
}

fn tiles(words: &Words) -> String {
    let tile = |tile: &super::words::Tile| {
        format!(
            "<li><span class=\"what\">{}</span><span class=\"figure\">{}</span><span class=\"name\">{}</span><span class=\"more\">{}</span></li>\n",
            escaped(&tile.what),
            escaped(&tile.figure),
            escaped(&tile.name),
            escaped(&tile.more),
        )
    };
    words.tiles.iter().map(tile).collect()
}

/// What the times are of.
fn times(report: &Report<'_>) -> &'static str {
    match report.correction {
        Some(_) => "Times are of the traced boot, without the time that tracing itself took.",
        None => "Times are of the traced boot, and tracing itself takes time.",
    }
}

fn facts(facts: &Facts) -> String {
    let row =
        |(name, value): &(&str, String)| format!("<div><dt>{}</dt><dd>{}</dd></div>\n", escaped(name), escaped(value));
    facts.rows.iter().map(row).collect()
}

fn warnings(facts: &Facts) -> String {
    if facts.warnings.is_empty() {
        return String::new();
    }
    let lines: String = facts.warnings.iter().map(|line| format!("<li>{}</li>\n", escaped(line))).collect();
    format!(
        "<section id=\"warnings\" role=\"note\"><h2>This trace is not whole</h2>\n<p>What follows is missing or not \
         certain; times and counts below are without it.</p>\n<ul>{lines}</ul></section>"
    )
}

/// Writes the page.
///
/// # Errors
/// Of the output.
pub fn write(out: &mut dyn Write, report: &Report<'_>, words: &Words, found: &Facts, data: &str) -> io::Result<()> {
    let mut rest = TEMPLATE;
    while let Some((before, after)) = rest.split_once("{{") {
        out.write_all(before.as_bytes())?;
        let Some((name, after)) = after.split_once("}}") else { break };
        match name {
            "release" => out.write_all(escaped(&printable(&report.meta.release)).as_bytes())?,
            "style" => out.write_all(STYLE.as_bytes())?,
            "headline" => out.write_all(headline(words).as_bytes())?,
            "times" => out.write_all(times(report).as_bytes())?,
            "tiles" => out.write_all(tiles(words).as_bytes())?,
            "warnings" => out.write_all(warnings(found).as_bytes())?,
            "facts" => out.write_all(facts(found).as_bytes())?,
            "data" => out.write_all(data.as_bytes())?,
            "scripts" => SCRIPTS.iter().try_for_each(|script| out.write_all(script.as_bytes()))?,
            _ => {}
        }
        rest = after;
    }
    out.write_all(rest.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_from_outside_is_text() {
        assert_eq!(escaped("<b onx='\"'>&\u{1b}"), "&lt;b onx=&#39;&quot;&#39;&gt;&amp;\u{fffd}");
        let json = serde_json::to_string("</script><!--<script>").unwrap();
        let safe = in_script(&json);
        assert!(!safe.contains('<'));
        assert_eq!(serde_json::from_str::<String>(&safe).unwrap(), "</script><!--<script>");
        let sentence = Text(vec![Piece::Strong("<i>".into()), Piece::Plain("&".into())]);
        assert_eq!(text(&sentence), "<strong>&lt;i&gt;</strong>&amp;");
    }

    #[test]
    fn all_places_of_the_template_are_known() {
        let places: Vec<&str> =
            TEMPLATE.split("{{").skip(1).map(|part| part.split_once("}}").expect("an end").0).collect();
        assert_eq!(
            places,
            ["release", "style", "release", "headline", "tiles", "times", "warnings", "facts", "data", "scripts"]
        );
        // What is put in must not end its element.
        assert!(!STYLE.contains("</"));
        assert!(SCRIPTS.iter().all(|script| !script.contains("</script") && !script.contains("<!--")));
    }
}
