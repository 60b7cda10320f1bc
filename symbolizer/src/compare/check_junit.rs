// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! A check for CI systems: JUnit XML as Jenkins and GitLab read it, a test case for each finding; and the annotations
//! of GitHub Actions. In: a [`Check`]. Out: text. Never here: judging.

use std::io::{self, Write};

use super::check::{Check, Finding, Unit, Verdict};
use super::check_text::{sentence, summary};
use crate::report::style::printable;

/// Writes JUnit XML.
///
/// # Errors
/// Those of the writer.
pub fn write(check: &Check, out: &mut dyn Write) -> io::Result<()> {
    let count = |verdict| check.with(verdict).count();
    let (all, broken, unclear) = (check.findings.len(), count(Verdict::Broken), count(Verdict::Unclear));
    let suite = if check.has_budgets { "boot budgets" } else { "boot regressions" };
    let numbers = format!("tests=\"{all}\" failures=\"{broken}\" errors=\"{unclear}\"");
    writeln!(out, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>")?;
    writeln!(out, "<testsuites name=\"symbolize check\" {numbers} time=\"0\">")?;
    writeln!(out, "  <testsuite name=\"{suite}\" {numbers} skipped=\"0\" time=\"0\">")?;
    writeln!(out, "    <properties>")?;
    let mut property = |name: &str, values: &[String]| {
        writeln!(out, "      <property name=\"{name}\" value=\"{}\"/>", escaped(&values.join(", ")))
    };
    property("kernel", &check.boots.releases)?;
    property("boots", &check.boots.boots)?;
    if let Some(baseline) = &check.baseline {
        property("baseline kernel", &baseline.releases)?;
        property("baseline boots", &baseline.boots)?;
    }
    writeln!(out, "    </properties>")?;
    for finding in &check.findings {
        case(finding, out)?;
    }
    let notes: Vec<&String> = check.headline.iter().chain(&check.doubts).collect();
    if !notes.is_empty() {
        let notes: Vec<String> = notes.into_iter().map(|note| escaped(note)).collect();
        writeln!(out, "    <system-out>{}</system-out>", notes.join("\n"))?;
    }
    writeln!(out, "  </testsuite>\n</testsuites>")
}

fn case(finding: &Finding, out: &mut dyn Write) -> io::Result<()> {
    let Finding { title, limit, verdict, value, .. } = finding;
    let group = title.split(' ').next().unwrap_or_default();
    // A time is shown as what the test took: so CI draws its course.
    let seconds = if finding.unit == Unit::Nanoseconds { value.mean / 1e9 } else { 0.0 };
    let name = if finding.line.is_some() { format!("{title} {limit}") } else { title.clone() };
    write!(
        out,
        "    <testcase classname=\"boot.{}\" name=\"{}\" time=\"{seconds:.9}\"",
        escaped(group),
        escaped(&name)
    )?;
    let told = escaped(&sentence(finding));
    match verdict {
        Verdict::Good if finding.remark.is_empty() => writeln!(out, "/>"),
        Verdict::Good => writeln!(out, ">\n      <system-out>{told}</system-out>\n    </testcase>"),
        Verdict::Broken => {
            writeln!(out, ">\n      <failure type=\"regression\" message=\"{told}\">{told}</failure>\n    </testcase>")
        }
        Verdict::Unclear => {
            writeln!(out, ">\n      <error type=\"unclear\" message=\"{told}\">{told}</error>\n    </testcase>")
        }
    }
}

/// Text in XML: characters that XML cannot have at all are replaced.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out += "&amp;",
            '<' => out += "&lt;",
            '>' => out += "&gt;",
            '"' => out += "&quot;",
            '\'' => out += "&apos;",
            '\t' | '\n' | '\r' => out.push(' '),
            c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

/// A line for each broken or unclear finding, as GitHub Actions shows them beside the commit; `budgets` is the file.
pub fn annotations(check: &Check, budgets: Option<&str>) -> Vec<String> {
    let mut lines = Vec::new();
    for finding in &check.findings {
        let level = match finding.verdict {
            Verdict::Broken => "error",
            // Without budgets one line says it for all of them.
            Verdict::Unclear if !check.has_budgets => continue,
            Verdict::Unclear => "warning",
            Verdict::Good if !finding.remark.is_empty() => "notice",
            Verdict::Good => continue,
        };
        let place = match (budgets, finding.line) {
            (Some(file), Some(line)) => format!("file={},line={line},", property(file)),
            _ => String::new(),
        };
        let title = property(&format!("symbolize check: {}", printable(&finding.title)));
        lines.push(format!("::{level} {place}title={title}::{}", data(&sentence(finding))));
    }
    if check.verdict() != Verdict::Good {
        lines.push(format!("::notice title=symbolize check::{}", data(&summary(check))));
    }
    lines
}

/// Text after the `::`.
fn data(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

/// A value before it.
fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}
