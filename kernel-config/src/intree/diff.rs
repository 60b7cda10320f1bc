// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! A change as a unified diff that `patch -p1` takes. In: a file before and after. Out: text.

/// Lines around a change.
const CONTEXT: usize = 3;

/// So many equal lines end a change; by then both sides are in step again.
const IN_STEP: usize = 3;

/// One line of the comparison.
enum Line<'a> {
    Same(&'a str),
    Old(&'a str),
    New(&'a str),
}

/// The diff of one file; `None`: does not exist.
pub fn unified(path: &str, before: Option<&str>, after: Option<&str>) -> String {
    let name = |side: char, text: Option<&str>| text.map_or("/dev/null".into(), |_| format!("{side}/{path}"));
    let mut out = format!("--- {}\n+++ {}\n", name('a', before), name('b', after));
    let lines = compare(before.unwrap_or(""), after.unwrap_or(""));
    let changed: Vec<usize> = (0..lines.len()).filter(|&i| !matches!(lines[i], Line::Same(_))).collect();
    let mut rest = &changed[..];
    // Line numbers before the line `at`.
    let (mut at, mut old, mut new) = (0, 0, 0);
    while let Some(&first) = rest.first() {
        let length = rest.windows(2).take_while(|pair| pair[1] - pair[0] <= 2 * CONTEXT).count() + 1;
        let hunk = first.saturating_sub(CONTEXT)..(rest[length - 1] + CONTEXT + 1).min(lines.len());
        rest = &rest[length..];
        let count = |range: &[Line<'_>]| {
            let old = range.iter().filter(|line| !matches!(line, Line::New(_))).count();
            (old, range.iter().filter(|line| !matches!(line, Line::Old(_))).count())
        };
        let before = count(&lines[at..hunk.start]);
        (old, new) = (old + before.0, new + before.1);
        let inside = count(&lines[hunk.clone()]);
        // An empty side is counted from the line before.
        let start = |done: usize, count: usize| done + usize::from(count > 0);
        let (from, to) = (start(old, inside.0), start(new, inside.1));
        out.push_str(&format!("@@ -{from},{} +{to},{} @@\n", inside.0, inside.1));
        for line in &lines[hunk.clone()] {
            let (mark, text) = match line {
                Line::Same(text) => (' ', text),
                Line::Old(text) => ('-', text),
                Line::New(text) => ('+', text),
            };
            out.push(mark);
            out.push_str(text);
            if !text.ends_with('\n') {
                out.push_str("\n\\ No newline at end of file\n");
            }
        }
        (old, new, at) = (old + inside.0, new + inside.1, hunk.end);
    }
    out
}

/// Walks both sides; where they differ, finds the nearest place at which they agree again. Right for any
/// input, short for the small changes that it is used for.
fn compare<'a>(before: &'a str, after: &'a str) -> Vec<Line<'a>> {
    let (old, new): (Vec<_>, Vec<_>) = (before.split_inclusive('\n').collect(), after.split_inclusive('\n').collect());
    let (mut i, mut j) = (0, 0);
    let mut lines = Vec::new();
    while i < old.len() || j < new.len() {
        if i < old.len() && j < new.len() && old[i] == new[j] {
            lines.push(Line::Same(old[i]));
            (i, j) = (i + 1, j + 1);
            continue;
        }
        let agree = |i: usize, j: usize| {
            let (left, right) = (&old[i..old.len().min(i + IN_STEP)], &new[j..new.len().min(j + IN_STEP)]);
            left == right
        };
        let most = (old.len() - i) + (new.len() - j);
        let (skip_old, skip_new) = (1..=most)
            .flat_map(|sum| (0..=sum).map(move |k| (k, sum - k)))
            .filter(|&(k, l)| i + k <= old.len() && j + l <= new.len())
            .find(|&(k, l)| agree(i + k, j + l))
            .unwrap_or((old.len() - i, new.len() - j));
        lines.extend(old[i..i + skip_old].iter().map(|&line| Line::Old(line)));
        lines.extend(new[j..j + skip_new].iter().map(|&line| Line::New(line)));
        (i, j) = (i + skip_old, j + skip_new);
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_has_its_context_and_line_numbers() {
        let before: String = (1..=20).map(|n| format!("{n}\n")).collect();
        let after = before.replace("10\n", "ten\n").replace("20\n", "20\nend\n");
        assert_eq!(
            unified("f", Some(&before), Some(&after)),
            "--- a/f\n+++ b/f\n@@ -7,7 +7,7 @@\n 7\n 8\n 9\n-10\n+ten\n 11\n 12\n 13\n\
             @@ -18,3 +18,4 @@\n 18\n 19\n 20\n+end\n"
        );
    }

    #[test]
    fn new_and_removed_files_are_whole() {
        assert_eq!(unified("f", None, Some("a\n")), "--- /dev/null\n+++ b/f\n@@ -0,0 +1,1 @@\n+a\n");
        assert_eq!(unified("f", Some("a\n"), None), "--- a/f\n+++ /dev/null\n@@ -1,1 +0,0 @@\n-a\n");
    }
}
