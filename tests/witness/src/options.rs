// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! The plugin's arguments. In: `name=value` strings as QEMU passes them. Out: [`Options`], or a
//! message that says what is wrong. Never here: reading the files that they name.

use std::ops::Range;
use std::path::PathBuf;

/// What the user asked for.
#[derive(Debug)]
pub struct Options {
    /// File of sorted little-endian u64: the virtual address of each call instruction.
    pub sites: PathBuf,
    /// Where the JSON goes.
    pub out: PathBuf,
    /// Virtual address ranges that count as the tracer's own code.
    pub hook: Vec<Range<u64>>,
    /// Whether instructions are counted.
    pub instructions: bool,
}

impl Options {
    /// Reads all arguments.
    pub fn parse(arguments: impl Iterator<Item = String>) -> Result<Self, String> {
        let (mut sites, mut out, mut hook, mut instructions) = (None, None, Vec::new(), true);
        for argument in arguments {
            let (name, value) =
                argument.split_once('=').ok_or_else(|| format!("argument \"{argument}\" is not name=value"))?;
            match (name, value) {
                ("sites", path) => sites = Some(PathBuf::from(path)),
                ("out", path) => out = Some(PathBuf::from(path)),
                ("hook", range) => hook.push(parse_range(range)?),
                // QEMU itself turns on and off into whatever it likes, so take its spellings as well.
                ("insns", "on" | "yes" | "true") => instructions = true,
                ("insns", "off" | "no" | "false") => instructions = false,
                _ => {
                    return Err(format!(
                        "unknown argument \"{argument}\": want sites=FILE, out=FILE, hook=START-END or insns=on|off"
                    ));
                }
            }
        }
        Ok(Self {
            sites: sites.ok_or("sites=FILE is missing")?,
            out: out.ok_or("out=FILE is missing")?,
            hook,
            instructions,
        })
    }
}

fn parse_range(text: &str) -> Result<Range<u64>, String> {
    let hexadecimal = |part: &str| u64::from_str_radix(part.trim_start_matches("0x"), 16).ok();
    text.split_once('-')
        .and_then(|(start, end)| Some(hexadecimal(start)?..hexadecimal(end)?))
        .filter(|range| range.start < range.end)
        .ok_or_else(|| format!("\"{text}\" is no range of two hexadecimal addresses START-END"))
}
