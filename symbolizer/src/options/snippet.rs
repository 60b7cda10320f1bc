// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! Problems as a compiler shows them: the text, and carets under the bytes. In: a text and findings. Out:
//! lines with colours; the caller's stream drops them where no terminal is.

use super::Finding;
use annotate_snippets::{AnnotationKind, Level, Renderer, Snippet};
use bootlevel::line::KEY;

/// One paragraph for each finding; empty without any.
pub fn render(text: &[u8], findings: &[Finding], width: usize) -> String {
    // Where each byte is shown: what is not printable ASCII becomes an escape.
    let mut source = KEY.to_owned();
    let mut places = Vec::with_capacity(text.len() + 1);
    for byte in text {
        places.push(source.len());
        source += &shown(*byte);
    }
    places.push(source.len());
    let place = |at: usize| places.get(at).copied().unwrap_or(source.len());
    let renderer = Renderer::styled().term_width(width);
    let mut out = String::new();
    for Finding { problem, span, hint } in findings {
        let (at, len) = (usize::from(span.at), usize::from(span.len));
        let label = hint.as_ref().map(|hint| format!("did you mean `{hint}`?"));
        let mark = AnnotationKind::Primary.span(place(at)..place(at + len)).label(label);
        let snippet = Snippet::source(source.as_str()).line_numbering(false).annotation(mark);
        let group = Level::ERROR.primary_title(problem.description()).element(snippet);
        out += &renderer.render(&[group]);
        out.push('\n');
    }
    out
}

/// A byte as it is if that can be printed, or as an escape.
fn shown(byte: u8) -> String {
    if byte.is_ascii_graphic() || byte == b' ' { char::from(byte).into() } else { byte.escape_ascii().to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::{check, text};

    fn shown(line: &[u8]) -> String {
        let styled = render(&text(line), &check(line), 100);
        anstream::adapter::strip_str(&styled).to_string()
    }

    #[test]
    fn carets_stand_under_the_bytes() {
        let shown = shown(b"quiet hypergraph=filter:fs hypergraph=\xff\x1b,depth:20,fliter:late");
        let lines: Vec<&str> = shown.lines().collect();
        assert!(!shown.contains('\x1b'));
        let source = lines.iter().position(|line| line.contains("fliter:late")).unwrap();
        let (source, below) = (lines[source], lines[lines.len() - 1]);
        let carets = below.find('^').unwrap();
        assert_eq!(&source[carets..carets + 6], "fliter", "{shown}");
        assert_eq!(below.matches('^').count(), 6, "{shown}");
        assert!(below.ends_with("did you mean `filter`?"), "{shown}");
        assert!(source.contains(r"\xff\x1b"), "{shown}");
    }
}
