// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! `hypergraph=` before the boot and after it: what a kernel command line asks for, in words ([`words`]),
//! and what is wrong with it, with the bytes marked ([`snippet`]). In: command lines, or the text and the
//! problems that a guest has noted. Out: text for people. Never here: the grammar (that is `bootlevel`'s).

pub mod snippet;
pub mod words;

use bootlevel::options::{CHANNELS, EVENTS, KEYS, OVERFLOWS, PHASES};
use bootlevel::{Item, Phase, Problem, Span};

/// A part of the text that is left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What is wrong.
    pub problem: Problem,
    /// Where in the text.
    pub span: Span,
    /// What was probably meant, as it should be written.
    pub hint: Option<String>,
}

/// The text: the values of all `hypergraph=` words, with commas between them.
pub fn text(line: &[u8]) -> Vec<u8> {
    bootlevel::texts(line).map(|(_, value)| value).collect::<Vec<_>>().join(&b',')
}

/// All that is wrong with a kernel command line.
pub fn check(line: &[u8]) -> Vec<Finding> {
    let text = text(line);
    let problems = bootlevel::items(line).filter_map(|(item, span)| match item {
        Item::Problem(problem) => Some(Finding { problem, span, hint: hint(problem, bytes(&text, span)) }),
        Item::Part(_) => None,
    });
    problems.collect()
}

/// A problem that a guest has noted, in one line: `'fliter' (byte 0): no such part: ... Did you mean
/// 'filter'?`. Nothing that the guest says is trusted: an unknown code and a place outside the text are
/// said to be such.
pub fn one_line(text: &[u8], code: u8, span: Span) -> String {
    let word = bytes(text, span);
    let place = if word.is_empty() {
        format!("byte {}", span.at)
    } else {
        format!("'{}' (byte {})", word.escape_ascii(), span.at)
    };
    let Some(problem) = Problem::from_u8(code) else {
        return format!("{place}: a problem of a kind that this version does not know ({code})");
    };
    let hint = hint(problem, word).map(|hint| format!(". Did you mean '{hint}'?")).unwrap_or_default();
    format!("{place}: {}{hint}", problem.description())
}

/// Words of a command line that look as if they should have been `hypergraph=`, each with what is wrong.
pub fn strays(line: &[u8]) -> Vec<String> {
    let mut found = Vec::new();
    let mut for_init = false;
    let line = String::from_utf8_lossy(line);
    for word in line.split_ascii_whitespace() {
        for_init |= word == "--";
        let name = word.split_once('=').map_or(word, |(name, _)| name).trim_matches('"');
        let ours = name == "hypergraph";
        if ours && for_init {
            found.push(format!("'{}' stands after `--`: it is for init, the kernel does not see it", shown(word)));
        } else if ours && !word.contains('=') {
            found.push(format!("'{}' says nothing: write hypergraph=on", shown(word)));
        } else if !ours && (name.starts_with("hypergraph") || strsim::damerau_levenshtein(name, "hypergraph") <= 2) {
            found.push(format!("'{}' is not ours: did you mean hypergraph=...?", shown(word)));
        }
    }
    found
}

fn shown(word: &str) -> String {
    word.escape_debug().to_string()
}

fn bytes(text: &[u8], span: Span) -> &[u8] {
    let at = usize::from(span.at);
    text.get(at..at + usize::from(span.len)).unwrap_or_default()
}

/// What was probably meant, as it should stand in the place of `word`.
fn hint(problem: Problem, word: &[u8]) -> Option<String> {
    let word = std::str::from_utf8(word).ok()?;
    let key = |word: &str| nearest(word, KEYS.split_whitespace());
    let level = |word: &str| phase(word).map(Phase::name);
    match problem {
        Problem::UnknownPart => key(word).map(str::to_owned),
        Problem::NoPart | Problem::UnknownPhase | Problem::UnknownEvent | Problem::BadPattern => {
            // `depth=20` and `depth 20` are meant for `depth:20`.
            if let Some((name, value)) = word.split_once(['=', ' '])
                && let Some(key) = key(name.trim())
            {
                return Some(format!("{key}:{}", value.trim()));
            }
            match problem {
                Problem::NoPart => {
                    let range = word.split_once('-').and_then(|(first, last)| Some((level(first)?, level(last)?)));
                    (range.map(|(first, last)| format!("filter:{first}-{last}")))
                        .or_else(|| level(word).map(|phase| format!("filter:{phase}")))
                        .or_else(|| {
                            key(word)
                                .map(|key| if matches!(key, "on" | "off") { key.into() } else { format!("{key}:...") })
                        })
                }
                Problem::UnknownPhase => level(word).map(str::to_owned).or_else(|| part_in_list(word)),
                Problem::UnknownEvent => {
                    nearest(word, EVENTS.split_whitespace()).map(str::to_owned).or_else(|| part_in_list(word))
                }
                _ => None,
            }
        }
        Problem::RangeBackwards => {
            word.split_once('-').map(|(first, last)| format!("{}-{}", last.trim(), first.trim()))
        }
        Problem::TakesNoValue => word.split_once(':').map(|(name, _)| name.trim().to_owned()),
        Problem::UnknownChannel => nearest(word, CHANNELS.split_whitespace()).map(str::to_owned),
        Problem::UnknownOverflow => nearest(word, OVERFLOWS.split_whitespace()).map(str::to_owned),
        Problem::NoValue | Problem::BeforeTheKernel | Problem::BadDepth | Problem::BadPack => None,
    }
}

/// A part's name without its colon, in the list of the part before it.
fn part_in_list(word: &str) -> Option<String> {
    KEYS.split_whitespace().skip(2).find(|key| *key == word).map(|key| format!("{key}:..."))
}

/// The phase that a word means: by its name, by the kernel's name for the level, or nearly so.
fn phase(word: &str) -> Option<Phase> {
    let lower = word.to_ascii_lowercase();
    let plain = lower.strip_suffix("_initcall").or_else(|| lower.strip_suffix("_initcall_sync")).unwrap_or(&lower);
    if plain == "module_init" || plain == "module" {
        return Some(Phase::Device);
    }
    let name = nearest(plain, PHASES.split_whitespace().skip(1))?;
    Phase::ALL.into_iter().find(|phase| phase.name() == name)
}

/// The name that is nearest to the word, if it is near: one in three letters may be wrong.
fn nearest<'a>(word: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let lower = word.to_ascii_lowercase();
    names
        .map(|name| (strsim::damerau_levenshtein(&lower, name), name))
        .filter(|(distance, name)| *distance <= (name.len().max(2) / 3).max(1) && *distance < name.len())
        .min_by_key(|(distance, name)| (*distance, !name.starts_with(&lower)))
        .map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hints(text: &str) -> Vec<String> {
        let line = format!("hypergraph={text}");
        check(line.as_bytes()).into_iter().map(|finding| finding.hint.unwrap_or("-".into())).collect()
    }

    #[test]
    fn what_was_meant_is_guessed() {
        for (text, expected) in [
            ("fliter:fs", "filter"),
            ("FILTER:fs", "filter"),
            ("no_trace:x", "notrace"),
            ("filter:dvice", "device"),
            ("filter:fs_initcall", "fs"),
            ("filter:module_init", "device"),
            ("filter:late-fs", "fs-late"),
            ("filter:fs,depth=20", "depth:20"),
            ("filter:fs,depth", "depth:..."),
            ("filter=fs", "filter:fs"),
            ("fs", "filter:fs"),
            ("core-fs", "filter:core-fs"),
            ("of", "off"),
            ("depth", "depth:..."),
            ("off:1", "off"),
            ("events:function", "-"),
            ("events:irqs", "irq"),
            ("channel:ivshm", "ivshmem"),
            ("overflow:dorp", "drop"),
            ("zebra:1", "-"),
            ("depth:0", "-"),
            ("filter:firmware", "-"),
        ] {
            assert_eq!(hints(text), [expected], "{text}");
        }
    }

    #[test]
    fn hints_are_right_themselves() {
        for text in
            ["fliter:fs", "filter:dvice", "filter:late-fs", "filter=fs", "fs", "core-fs", "off:1", "filter:fs,depth=20"]
        {
            let line = format!("hypergraph={text}");
            let finding = check(line.as_bytes()).remove(0);
            let (at, len) = (usize::from(finding.span.at), usize::from(finding.span.len));
            let mended = format!("hypergraph={}{}{}", &text[..at], finding.hint.unwrap(), &text[at + len..]);
            assert_eq!(check(mended.as_bytes()), [], "{mended}");
        }
    }

    #[test]
    fn a_guests_problems_are_told_in_one_line_whatever_it_says() {
        let told = |text: &str, code, at, len| one_line(text.as_bytes(), code, Span { at, len });
        let line = told("on,fliter:fs", Problem::UnknownPart as u8, 3, 6);
        assert!(line.starts_with("'fliter' (byte 3): no such part: "), "{line}");
        assert!(line.ends_with(". Did you mean 'filter'?"), "{line}");
        assert!(told("on", 99, 0, 2).starts_with("'on' (byte 0): a problem of a kind"));
        assert!(told("on", Problem::BadDepth as u8, 7, 65535).starts_with("byte 7: no depth"));
        assert!(!told("\x1b[2J", Problem::UnknownPart as u8, 0, 4).contains('\x1b'));
    }

    #[test]
    fn words_that_miss_their_name_are_found() {
        let count = |line: &str| strays(line.as_bytes()).len();
        assert_eq!(count("quiet hypergraph=on ro"), 0);
        assert_eq!(count("\"hypergraph=on\" console=ttyS0"), 0);
        assert_eq!(count("hypergaph=on"), 1);
        assert_eq!(count("hypergraph.filter=fs"), 1);
        assert_eq!(count("hypergraph"), 1);
        assert_eq!(count("ro -- hypergraph=on"), 1);
    }
}
