// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! `symbolize resolve VMLINUX [ADDRESS..]`: functions, files and lines of any addresses in a kernel. In: addresses from
//! arguments or standard input. Out: a line for each, or what llvm-symbolizer would print. Never here: traces.

use std::borrow::Cow;
use std::io::{self, BufWriter, Read, Write};
use std::path::PathBuf;

use anyhow::Context;
use clap::ValueEnum;
use serde::Serialize;
use symbolizer::report::style::printable;
use symbolizer::resolve::table::{Path, Spot};
use symbolizer::resolve::{Found, Frame, Kernel, Slide, Vmlinux, Want};

use super::names::Keep;

const EXAMPLES: &str = "\
Examples:
  symbolize resolve vmlinux 0xffffffff81097a7f ffffffff810c0060
  symbolize resolve vmlinux start_kernel+0x1a0/0x3f0 --inlines
  grep -o 'ffffffff8[0-9a-f]*' dmesg.txt | symbolize resolve vmlinux --slide 0x1e200000
  symbolize resolve vmlinux --format json < addresses.txt | jq -r .name
  symbolize resolve vmlinux --format llvm < addresses.txt    as llvm-symbolizer --obj vmlinux --no-inlines

What is not known is ??; a function without a symbol goes by its name in DWARF, without +OFFSET.
Answers come when the input has ended.

Exit codes: 0 done, 2 an error.";

/// Arguments of `symbolize resolve`.
#[derive(clap::Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// The vmlinux with symbols
    vmlinux: PathBuf,
    /// Addresses in hexadecimal, or SYMBOL+OFFSET; without any, standard input is read: one a line, what
    /// follows the first word is ignored
    addresses: Vec<String>,
    /// The functions that are inlined at the address, too, innermost first
    #[arg(long)]
    inlines: bool,
    /// What to print
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
    /// How far KASLR had moved the kernel that the addresses are from, in hexadecimal
    #[arg(long, value_name = "BYTES", default_value = "0", value_parser = slide)]
    slide: Slide,
    #[command(flatten)]
    keep: Keep,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// ADDRESS NAME+OFFSET FILE:LINE
    Text,
    /// An object for each address, one a line
    Json,
    /// NAME, FILE:LINE:COLUMN and an empty line, with paths as DWARF has them
    Llvm,
}

/// One address and its answer.
struct Answer<'k> {
    /// As it was given.
    asked: u64,
    /// In the vmlinux.
    address: u64,
    function: Option<Found<'k>>,
    /// DWARF's name, where there is no symbol.
    name: Option<&'k str>,
    spot: Spot<'k>,
    /// Innermost first; none if they were not asked for.
    frames: Vec<Frame>,
}

/// Runs it; the exit code.
pub fn run(args: &Args) -> anyhow::Result<u8> {
    let vmlinux = Vmlinux::open(&args.vmlinux)?;
    let kernel = Kernel::open(&vmlinux, args.keep.cache())?;
    let asked = addresses(args, &kernel)?;
    let linked: Vec<u64> = asked.iter().map(|&address| args.slide.undo(address)).collect();
    let functions: Vec<Option<Found<'_>>> = linked.iter().map(|&address| kernel.covering(address)).collect();
    let want = |(&address, function): (&u64, &Option<Found<'_>>)| Want { address, name: function.is_none() };
    let answers = kernel.look_up(&linked.iter().zip(&functions).map(want).collect::<Vec<_>>())?;
    let mut frames = if args.inlines { kernel.frames(&linked, args.format != Format::Llvm)? } else { Vec::new() };
    let mut out = BufWriter::with_capacity(1 << 16, io::stdout().lock());
    for (index, (&asked, function)) in asked.iter().zip(functions).enumerate() {
        let (spot, name) = answers.get(index);
        let frames = frames.get_mut(index).map(std::mem::take).unwrap_or_default();
        let answer = Answer { asked, address: linked[index], function, name, spot, frames };
        match args.format {
            Format::Text => answer.text(&mut out)?,
            Format::Json => answer.json(&mut out)?,
            Format::Llvm => answer.llvm(&mut out)?,
        }
    }
    out.flush()?;
    Ok(0)
}

fn slide(text: &str) -> Result<Slide, String> {
    let digits = text.strip_prefix("0x").unwrap_or(text);
    Slide::by(u64::from_str_radix(digits, 16).map_err(|_| "expected a hexadecimal number".to_owned())?)
}

/// Those of the arguments, or of standard input.
fn addresses(args: &Args, kernel: &Kernel<'_>) -> anyhow::Result<Vec<u64>> {
    let read = |word: &str| address(word, args.slide, kernel);
    if !args.addresses.is_empty() {
        return args.addresses.iter().map(|word| read(word)).collect();
    }
    let mut input = Vec::new();
    io::stdin().lock().read_to_end(&mut input).context("cannot read standard input")?;
    let mut all = Vec::new();
    for (number, line) in (1..).zip(input.split(|&byte| byte == b'\n')) {
        let line = line.trim_ascii();
        let word = line.split(u8::is_ascii_whitespace).next().unwrap_or_default();
        if !word.is_empty() {
            let word = String::from_utf8_lossy(word);
            all.push(read(&word).with_context(|| format!("standard input, line {number}"))?);
        }
    }
    Ok(all)
}

/// A hexadecimal number, or SYMBOL+OFFSET, which may have the symbol's size after it, as the kernel prints it.
fn address(word: &str, slide: Slide, kernel: &Kernel<'_>) -> anyhow::Result<u64> {
    let number = |text: &str| u64::from_str_radix(text.strip_prefix("0x").unwrap_or(text), 16).ok();
    if let Some(address) = number(word) {
        return Ok(address);
    }
    let (name, rest) = word.split_once('+').unwrap_or((word, "0"));
    let offset = number(rest.split_once('/').map_or(rest, |(offset, _size)| offset));
    let found = kernel.named(name).zip(offset).map(|(found, offset)| found.address.wrapping_add(offset));
    let address =
        found.with_context(|| format!("{}: this is no hexadecimal address, nor SYMBOL+OFFSET", printable(word)))?;
    Ok(slide.apply(address))
}

/// Fit for a terminal; nearly all text is.
fn shown(text: &str) -> Cow<'_, str> {
    if text.bytes().all(|byte| (b' '..0x7f).contains(&byte)) { Cow::Borrowed(text) } else { printable(text).into() }
}

impl Answer<'_> {
    fn name(&self) -> Option<&str> {
        self.function.map(|function| function.name).or(self.name)
    }

    fn offset(&self) -> Option<u64> {
        self.function.map(|function| self.address.wrapping_sub(function.address))
    }

    fn text(&self, out: &mut impl Write) -> io::Result<()> {
        write!(out, "{:#018x} {}", self.asked, shown(self.name().unwrap_or("??")))?;
        if let Some(offset) = self.offset() {
            write!(out, "+{offset:#x}")?;
        }
        let file = self.spot.file.map_or("??", |file| file.relative);
        writeln!(out, " {}:{}", shown(file), self.spot.line.unwrap_or(0))?;
        // A function in which nothing is inlined here has been told.
        let inlined = self.frames.len().saturating_sub(1);
        for (index, frame) in self.frames.iter().enumerate().filter(|_| inlined > 0) {
            let how = if index == 0 { "    in" } else { "    inlined into" };
            let (name, file) = (frame.name.as_deref(), frame.file.as_deref());
            let name = if index == inlined { self.name().or(name) } else { name };
            let (name, file) = (shown(name.unwrap_or("??")), shown(file.unwrap_or("??")));
            writeln!(out, "{how} {name} {file}:{}", frame.line.unwrap_or(0))?;
        }
        Ok(())
    }

    fn llvm(&self, out: &mut impl Write) -> io::Result<()> {
        let mut one = |name: Option<&str>, file: Option<&str>, line: Option<u32>, column: Option<u32>| {
            let (name, file) = (shown(name.unwrap_or("??")), shown(file.unwrap_or("??")));
            writeln!(out, "{name}\n{file}:{}:{}", line.unwrap_or(0), column.unwrap_or(0))
        };
        match self.frames.split_last() {
            Some((outermost, inlined)) => {
                for frame in inlined {
                    one(frame.name.as_deref(), frame.file.as_deref(), frame.line, frame.column)?;
                }
                let name = self.name().or(outermost.name.as_deref());
                one(name, outermost.file.as_deref(), outermost.line, outermost.column)?;
            }
            None => {
                let file = self.spot.file.map(|Path { full, .. }| full);
                one(self.name(), file, self.spot.line, self.spot.column)?;
            }
        }
        writeln!(out)
    }

    fn json(&self, out: &mut impl Write) -> io::Result<()> {
        let frame = |frame: &Frame| Place {
            name: frame.name.as_deref().map(|name| shown(name).into_owned()),
            file: frame.file.as_deref().map(|file| shown(file).into_owned()),
            line: frame.line,
            column: frame.column,
        };
        let line = Line {
            address: format!("{:#x}", self.asked),
            place: Place {
                name: self.name().map(|name| shown(name).into_owned()),
                file: self.spot.file.map(|file| shown(file.relative).into_owned()),
                line: self.spot.line,
                column: self.spot.column,
            },
            offset: self.offset(),
            frames: self.frames.iter().map(frame).collect(),
        };
        serde_json::to_writer(&mut *out, &line)?;
        writeln!(out)
    }
}

/// A function and a place in it.
#[derive(Serialize)]
struct Place {
    name: Option<String>,
    file: Option<String>,
    line: Option<u32>,
    column: Option<u32>,
}

/// The object of an address.
#[derive(Serialize)]
struct Line {
    address: String,
    #[serde(flatten)]
    place: Place,
    offset: Option<u64>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    frames: Vec<Place>,
}
