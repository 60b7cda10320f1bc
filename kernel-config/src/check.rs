// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! Can this kernel be traced? In: a vmlinux or the `.config` of a build. Out: what is known, and what is
//! missing, a line each. Never here: a change.

use crate::InjectError;
use crate::facts::KernelFacts;
use crate::image::Image;
use crate::sites::Sites;
use object::{Object, ObjectSymbol, SymbolKind};
use std::path::Path;

/// The answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Findings {
    /// What is known, a line each.
    pub facts: Vec<String>,
    /// What is missing, a line each with what to do.
    pub missing: Vec<String>,
}

/// Larger files are no configuration.
const LARGEST_CONFIG: u64 = 4 << 20;

/// Options that tracing needs, by either way, and what for.
const NEEDED: &[(&str, &str)] = &[
    ("CONFIG_X86_64", "only x86-64 kernels can be traced"),
    ("CONFIG_FUNCTION_TRACER", "call sites at the functions: set it"),
    ("CONFIG_DYNAMIC_FTRACE", "the table of call sites: set it"),
    ("CONFIG_FUNCTION_GRAPH_TRACER", "the place in task_struct for shadow stacks: set it"),
];

/// Options that injection needs beyond.
const NEEDED_BY_INJECTION: &[(&str, &str)] = &[
    ("CONFIG_PVH", "QEMU boots an uncompressed vmlinux by its PVH entry: set it"),
    ("CONFIG_KALLSYMS", "symbols: set it"),
    ("CONFIG_DEBUG_INFO", "structure offsets are read from DWARF: choose CONFIG_DEBUG_INFO_DWARF_TOOLCHAIN_DEFAULT"),
];

/// Looks at a vmlinux (an ELF file) or a configuration (any other).
///
/// # Errors
/// When the file cannot be read or is neither.
pub fn check(path: &Path) -> Result<Findings, InjectError> {
    let io = |source| InjectError::Io { path: path.into(), action: "read", source };
    let length = std::fs::metadata(path).map_err(io)?.len();
    if length <= LARGEST_CONFIG
        && let Ok(text) = std::fs::read_to_string(path)
        && text.lines().any(|line| line.starts_with("CONFIG_"))
    {
        return Ok(configuration(&text));
    }
    image(path)
}

/// Whether a vmlinux was built with CONFIG_HYPERGRAPH.
///
/// # Errors
/// When it is no x86-64 vmlinux with symbols.
pub fn is_in_tree(path: &Path) -> Result<bool, InjectError> {
    Ok(has_tracer(&Image::open(path)?))
}

fn has_tracer(image: &Image) -> bool {
    image.symbol("hypergraph_region").is_some()
}

/// What a `.config` says.
pub fn configuration(text: &str) -> Findings {
    let set = |name: &str| text.lines().any(|line| line.strip_prefix(name) == Some("=y"));
    let lacking = |list: &[(&str, &str)]| -> Vec<String> {
        let missing = list.iter().filter(|(name, _)| !set(name));
        missing.map(|(name, why)| format!("{name}: {why}")).collect()
    };
    let mut found = Findings { missing: lacking(NEEDED), ..Findings::default() };
    if set("CONFIG_HYPERGRAPH") {
        found.facts.push("CONFIG_HYPERGRAPH: the tracer is built in; no injection is needed".into());
    } else {
        found.missing.extend(lacking(NEEDED_BY_INJECTION));
    }
    if set("CONFIG_CC_IS_CLANG") && !set("CONFIG_HYPERGRAPH") {
        found.missing.push("a gcc build: clang leaves nops at the call sites, which injection cannot use".into());
    }
    found
}

fn image(path: &Path) -> Result<Findings, InjectError> {
    let image = Image::open(path)?;
    let mut found = Findings::default();
    let in_tree = has_tracer(&image);
    if in_tree {
        found.facts.push("the tracer is built in (CONFIG_HYPERGRAPH); no injection is needed".into());
    } else if !image.has_pvh_entry {
        found.missing.push(InjectError::NoPvhNote(path.into()).to_string());
    }
    let sites = KernelFacts::read(&image).and_then(|facts| {
        found.facts.push(format!("kernel {}", facts.release));
        Sites::read(&image, &facts)
    });
    match sites {
        Ok(sites) => {
            let functions = functions(image.bytes());
            let all = sites.live.len() + sites.nops + sites.other;
            found.facts.push(format!(
                "{} live call sites, {} nops, {} others",
                sites.live.len(),
                sites.nops,
                sites.other
            ));
            let without = functions.saturating_sub(all);
            let share = 100.0 * without as f64 / functions.max(1) as f64;
            found.facts.push(format!(
                "{without} of {functions} functions ({share:.1} %) have no call site: assembly, notrace, and files \
                 that the kernel builds without"
            ));
        }
        Err(error) if in_tree => found.facts.push(format!("its call sites cannot be counted: {error}")),
        Err(error) => found.missing.push(error.to_string()),
    }
    Ok(found)
}

/// Functions of the kernel, each once whatever it is called; padding that bears a name is none.
fn functions(bytes: &[u8]) -> usize {
    let Ok(file) = object::File::parse(bytes) else { return 0 };
    let mut addresses: Vec<u64> = file
        .symbols()
        .filter(|symbol| symbol.kind() == SymbolKind::Text && symbol.is_definition())
        .filter(|symbol| symbol.name().is_ok_and(|name| !name.starts_with("__pfx_") && !name.starts_with("__cfi_")))
        .map(|symbol| symbol.address())
        .collect();
    addresses.sort_unstable();
    addresses.dedup();
    addresses.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHOLE: &str = "CONFIG_X86_64=y\nCONFIG_FUNCTION_TRACER=y\nCONFIG_DYNAMIC_FTRACE=y\n\
        CONFIG_FUNCTION_GRAPH_TRACER=y\nCONFIG_PVH=y\nCONFIG_KALLSYMS=y\nCONFIG_DEBUG_INFO=y\n";

    #[test]
    fn a_configuration_that_has_all_lacks_nothing() {
        assert_eq!(configuration(WHOLE), Findings::default());
    }

    #[test]
    fn each_missing_option_is_a_line() {
        let found = configuration(&WHOLE.replace("CONFIG_PVH=y", "# CONFIG_PVH is not set"));
        assert_eq!(found.missing.len(), 1);
        assert!(found.missing[0].starts_with("CONFIG_PVH: "), "{found:?}");
        assert_eq!(configuration("CONFIG_FUNCTION_TRACER_NOT=y\n").missing.len(), 7);
    }

    #[test]
    fn a_kernel_with_the_tracer_built_in_needs_no_pvh() {
        let found = configuration(&format!("{}CONFIG_HYPERGRAPH=y\n", WHOLE.replace("CONFIG_PVH=y\n", "")));
        assert_eq!(found.missing, [""; 0]);
        assert_eq!(found.facts.len(), 1);
    }
}
