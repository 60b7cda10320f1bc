// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! One change of one text, and back. In: a text, an [`Action`]. Out: the text changed, and an [`Edit`]
//! that undoes it. Never here: files.

use super::places::Action;

/// A change that was made, by what it left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Edit {
    /// These lines were inserted, in a row.
    Inserted(Vec<String>),
    /// The call of the first function became one of the second.
    Renamed(String, String),
}

/// Makes a change.
///
/// # Errors
/// When the anchor is not there exactly once, with what was looked for.
pub fn apply(text: &str, action: &Action) -> Result<(String, Edit), String> {
    match action {
        Action::Before(anchor, lines) | Action::After(anchor, lines) => {
            let at = only_line(text, anchor)? + usize::from(matches!(action, Action::After(..)));
            let lines: Vec<String> = lines.iter().map(|&line| line.to_owned()).collect();
            let mut all: Vec<&str> = text.split_inclusive('\n').collect();
            let block = lines.iter().map(|line| format!("{line}\n")).collect::<String>();
            all.insert(at, &block);
            Ok((all.concat(), Edit::Inserted(lines)))
        }
        Action::Rename(names) => {
            let mut found = names.iter().flat_map(|&(from, to)| calls(text, from).map(move |at| (at, from, to)));
            let wanted = || names.iter().map(|(from, _)| format!("`{from}(`")).collect::<Vec<_>>().join(" or ");
            match (found.next(), found.next()) {
                (Some((at, from, to)), None) => {
                    let changed = [&text[..at], to, &text[at + from.len()..]].concat();
                    Ok((changed, Edit::Renamed(from.to_owned(), to.to_owned())))
                }
                (None, _) => Err(format!("no {} in it", wanted())),
                (Some(_), Some(_)) => Err(format!("more than one {} in it", wanted())),
            }
        }
    }
}

/// Takes a change back.
///
/// # Errors
/// When what it left is not there exactly once.
pub fn undo(text: &str, edit: &Edit) -> Result<String, String> {
    match edit {
        Edit::Inserted(lines) => {
            let all: Vec<&str> = text.split_inclusive('\n').collect();
            let is = |i: &usize| {
                lines
                    .iter()
                    .enumerate()
                    .all(|(j, line)| all.get(i + j).is_some_and(|&l| l.strip_suffix('\n') == Some(line)))
            };
            let mut found = (0..all.len()).filter(is);
            let shown = lines.iter().find(|line| !line.is_empty()).map_or("", |line| line.trim());
            match (found.next(), found.next()) {
                (Some(at), None) => Ok([&all[..at], &all[at + lines.len()..]].concat().concat()),
                (None, _) => Err(format!("the lines that were added at `{shown}` are not there any more")),
                (Some(_), Some(_)) => Err(format!("the lines that were added at `{shown}` are there twice")),
            }
        }
        Edit::Renamed(from, to) => {
            let mut found = calls(text, to);
            match (found.next(), found.next()) {
                (Some(at), None) => Ok([&text[..at], from, &text[at + to.len()..]].concat()),
                (None, _) => Err(format!("the call of `{to}` is not there any more")),
                (Some(_), Some(_)) => Err(format!("more than one call of `{to}`")),
            }
        }
    }
}

/// Number of the only line that is `anchor`.
fn only_line(text: &str, anchor: &str) -> Result<usize, String> {
    let mut found = text.lines().enumerate().filter(|(_, line)| line.trim() == anchor).map(|(i, _)| i);
    match (found.next(), found.next()) {
        (Some(at), None) => Ok(at),
        (None, _) => Err(format!("no line `{anchor}` in it")),
        (Some(_), Some(_)) => Err(format!("more than one line `{anchor}` in it")),
    }
}

/// Places where `name` stands as a whole word before a parenthesis.
fn calls<'a>(text: &'a str, name: &'a str) -> impl Iterator<Item = usize> + 'a {
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    text.match_indices(name)
        .filter(move |&(at, _)| text[at + name.len()..].starts_with('(') && !text[..at].ends_with(word))
        .map(|(at, _)| at)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "a();\n\tload();\n  b_load();\nx = load(1);\n";

    #[test]
    fn each_change_can_be_taken_back() {
        for action in [
            Action::Before("load();", &["one", "", "two"]),
            Action::After("x = load(1);", &["\tlast"]),
            Action::Rename(&[("b_load", "ours"), ("missing", "other")]),
        ] {
            let (changed, edit) = apply(TEXT, &action).unwrap();
            assert_ne!(changed, TEXT);
            assert_eq!(undo(&changed, &edit).unwrap(), TEXT, "{action:?}");
        }
    }

    #[test]
    fn lines_go_where_the_anchor_says() {
        let (before, _) = apply(TEXT, &Action::Before("load();", &["new"])).unwrap();
        assert!(before.starts_with("a();\nnew\n\tload();\n"));
        let (after, _) = apply(TEXT, &Action::After("load();", &["new"])).unwrap();
        assert!(after.starts_with("a();\n\tload();\nnew\n"));
    }

    #[test]
    fn a_missing_or_ambiguous_anchor_is_refused() {
        let missing = apply(TEXT, &Action::Before("c();", &["new"])).unwrap_err();
        assert!(missing.contains("no line `c();`"), "{missing}");
        let twice = apply("b();\nb();\n", &Action::After("b();", &["new"])).unwrap_err();
        assert!(twice.contains("more than one"), "{twice}");
        // `load(` is called twice; `b_load(` is another function.
        let twice = apply(TEXT, &Action::Rename(&[("load", "ours")])).unwrap_err();
        assert!(twice.contains("more than one `load(`"), "{twice}");
    }

    #[test]
    fn what_somebody_has_changed_is_not_guessed() {
        let (changed, edit) = apply(TEXT, &Action::Before("load();", &["one", "two"])).unwrap();
        assert!(undo(&changed.replace("two", "three"), &edit).is_err());
        assert!(undo(&[&*changed, &*changed].concat(), &edit).is_err());
    }
}
