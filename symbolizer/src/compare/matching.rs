// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! Which function of one kernel is which of another. In: the functions of both. Out: [`pairs`], each function at most
//! once, the same each time. What finds no partner is new or has vanished: a name that could be several is left so,
//! since a wrong partner would hide both. Never here: figures.
//!
//! From what is certain to what is likely, each step with what the one before has left:
//! 1. the same name, file and module;
//! 2. the same name and file: built in on one side, loaded as a module on the other;
//! 3. the same name and module in another file: one called the same (`fs/a.c`, `fs/new/a.c`), else if only one
//!    function of each side has this name (an `init_once` of one file is not that of another);
//! 4. names less what the compiler appends (`.isra.0`, `.constprop.0`, `.part.0`, `.cold`, `.llvm.1`), in the same
//!    file; if there are several, and as many on both sides, in their order;
//! 5. the same in another file, as in 3;
//! 6. names less what a kernel-wide change gave them: `_noprof` (memory allocation profiling, Linux 6.10 and later),
//!    if only one function of each side has this name;
//! 7. names less leading underscores too, in the same file, if only one function of each side has this name there: a
//!    wrapper came or went (`__napi_alloc_skb`, `napi_alloc_skb`).

use std::collections::HashMap;
use std::hash::Hash;

use super::boot::Function;

/// Parts of a name that the compiler appends, less their numbers.
const SUFFIXES: [&str; 8] = ["isra", "constprop", "part", "cold", "llvm", "lto_priv", "localalias", "str"];

/// What kernel-wide changes append to names of functions that stay the same.
const WIDE: [&str; 1] = ["_noprof"];

/// The name less ` [MODULE]`.
pub fn bare(function: &Function) -> &str {
    bare_name(&function.name)
}

/// The same of a name.
pub fn bare_name(name: &str) -> &str {
    name.split_once(" [").map_or(name, |(bare, _)| bare)
}

/// The name less what the compiler has appended, in any order.
pub fn base(function: &Function) -> &str {
    base_name(&function.name)
}

/// The same of a name.
pub fn base_name(name: &str) -> &str {
    let mut name = bare_name(name);
    while let Some((front, last)) = name.rsplit_once('.') {
        let number = !last.is_empty() && last.bytes().all(|byte| byte.is_ascii_digit());
        if front.is_empty() || !(number || SUFFIXES.contains(&last)) {
            break;
        }
        name = front;
    }
    name
}

/// The name less what a kernel-wide change has appended, and leading underscores.
fn inner(function: &Function) -> &str {
    wide(function).trim_start_matches('_')
}

/// The name less what a kernel-wide change has appended.
fn wide(function: &Function) -> &str {
    let name = base(function);
    WIDE.iter().find_map(|suffix| name.strip_suffix(suffix)).unwrap_or(name)
}

fn file_name(function: &Function) -> &str {
    function.file.rsplit('/').next().unwrap_or_default()
}

/// Partners by their numbers in `a` and `b`, in the order of `a`.
pub fn pairs(a: &[Function], b: &[Function]) -> Vec<(usize, usize)> {
    let mut matching = Matching { a, b, partners: vec![None; a.len()], taken: vec![false; b.len()] };
    matching.by(Rule::Single, |f| Some((f.name.as_str(), f.file.as_str(), f.module.as_str())));
    matching.by(Rule::Single, |f| Some((bare(f), known(&f.file)?)));
    matching.by(Rule::Single, |f| Some((bare(f), known(file_name(f))?, f.module.as_str())));
    matching.by(Rule::SingleOfAll, |f| Some((bare(f), f.module.as_str())));
    matching.by(Rule::InOrder, |f| Some((base(f), f.file.as_str(), f.module.as_str())));
    matching.by(Rule::Single, |f| Some((base(f), known(file_name(f))?)));
    matching.by(Rule::SingleOfAll, |f| Some((base(f), f.module.as_str())));
    matching.by(Rule::SingleOfAll, |f| Some((wide(f), f.module.as_str())));
    matching.by(Rule::SingleOfAll, |f| Some((inner(f), known(&f.file)?)));
    let partners = matching.partners.iter().enumerate();
    partners.filter_map(|(number, partner)| Some((number, (*partner)?))).collect()
}

/// A file that is known.
fn known(file: &str) -> Option<&str> {
    (!file.is_empty()).then_some(file)
}

/// When functions with one key are partners.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Rule {
    /// If it is one of each side that has none yet.
    Single,
    /// If it is one of each side, also of those that have one.
    SingleOfAll,
    /// If as many of each side have none yet: by their names.
    InOrder,
}

struct Matching<'a> {
    a: &'a [Function],
    b: &'a [Function],
    partners: Vec<Option<usize>>,
    taken: Vec<bool>,
}

impl<'a> Matching<'a> {
    fn by<K: Hash + Eq>(&mut self, rule: Rule, key: impl Fn(&'a Function) -> Option<K>) {
        let mut groups: HashMap<K, [Vec<usize>; 2]> = HashMap::new();
        for (side, functions) in [self.a, self.b].into_iter().enumerate() {
            for (number, function) in functions.iter().enumerate() {
                let has = if side == 0 { self.partners[number].is_some() } else { self.taken[number] };
                if has && rule != Rule::SingleOfAll {
                    continue;
                }
                if let Some(key) = key(function) {
                    groups.entry(key).or_default()[side].push(number);
                }
            }
        }
        // Groups share no function: their order does not matter.
        for [mut a, mut b] in groups.into_values() {
            if a.len() != b.len() || (a.len() != 1 && rule != Rule::InOrder) {
                continue;
            }
            a.sort_by_key(|&number| &self.a[number]);
            b.sort_by_key(|&number| &self.b[number]);
            for (a, b) in a.into_iter().zip(b) {
                if self.partners[a].is_none() && !self.taken[b] {
                    self.partners[a] = Some(b);
                    self.taken[b] = true;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn function(words: &str) -> Function {
        let mut words = words.split(' ').map(str::to_owned);
        let mut next = || words.next().unwrap_or_default();
        let (name, file, module) = (next(), next(), next());
        let name = if module.is_empty() { name } else { format!("{name} [{module}]") };
        Function { name, file, module }
    }

    /// The partner's name and file of each of `a`.
    fn partners(a: &[&str], b: &[&str]) -> Vec<String> {
        let [a, b] = [a, b].map(|side| side.iter().map(|words| function(words)).collect::<Vec<_>>());
        let pairs = pairs(&a, &b);
        let of =
            |at| pairs.iter().find(|pair| pair.0 == at).map(|pair| format!("{} {}", b[pair.1].name, b[pair.1].file));
        (0..a.len()).map(|at| of(at).unwrap_or_else(|| "-".to_owned())).collect()
    }

    #[test]
    fn the_same_function_is_its_own_partner_first() {
        let told = partners(&["f a.c", "f b.c", "f.isra.0 a.c"], &["f.isra.0 a.c", "f b.c", "f a.c", "g a.c"]);
        assert_eq!(told, ["f a.c", "f b.c", "f.isra.0 a.c"]);
    }

    #[test]
    fn static_functions_of_one_name_stay_apart() {
        assert_eq!(
            partners(
                &["init_once fs/inode.c", "init_once net/socket.c"],
                &["init_once fs/dcache.c", "init_once net/socket.c"]
            ),
            ["-", "init_once net/socket.c"]
        );
    }

    #[test]
    fn a_file_that_moved_keeps_its_functions() {
        assert_eq!(
            partners(&["probe drivers/a.c"], &["probe drivers/char/a.c", "probe drivers/b.c"]),
            ["probe drivers/char/a.c"]
        );
        assert_eq!(partners(&["only fs/one.c"], &["only fs/other.c"]), ["only fs/other.c"]);
    }

    #[test]
    fn what_the_compiler_appends_does_not_count() {
        let told = partners(
            &["f.isra.0 a.c", "g a.c", "h.part.0.cold a.c", "x.y a.c"],
            &["f.constprop.3.isra.1 a.c", "g.llvm.123 a.c", "h a.c", "x a.c"],
        );
        assert_eq!(told, ["f.constprop.3.isra.1 a.c", "g.llvm.123 a.c", "h a.c", "-"]);
        assert_eq!(partners(&["f.isra.0 a.c", "f.part.0 a.c"], &["f.isra.1 a.c"]), ["-", "-"]);
    }

    #[test]
    fn a_module_may_be_built_in() {
        assert_eq!(partners(&["e1000_probe e/main.c e1000"], &["e1000_probe e/main.c"]), ["e1000_probe e/main.c"]);
        assert_eq!(
            partners(&["e1000_probe e/main.c"], &["e1000_probe e/main.c e1000"]),
            ["e1000_probe [e1000] e/main.c"]
        );
    }

    #[test]
    fn wrappers_of_a_kernel_wide_change_are_what_they_wrap() {
        assert_eq!(
            partners(&["__kmalloc mm/slab_common.c"], &["__kmalloc_noprof mm/slub.c"]),
            ["__kmalloc_noprof mm/slub.c"]
        );
    }

    #[test]
    fn a_wrapper_may_come_or_go() {
        assert_eq!(partners(&["__alloc_bulk mm/a.c"], &["alloc_bulk_noprof mm/a.c"]), ["alloc_bulk_noprof mm/a.c"]);
        // Which of both was meant cannot be told.
        assert_eq!(partners(&["_f a.c"], &["f a.c", "__f a.c"]), ["-"]);
        assert_eq!(partners(&["__f a.c"], &["f b.c"]), ["-"]);
    }

    fn some() -> impl Strategy<Value = Vec<Function>> {
        let one = ("_?[fg](\\.isra\\.[01]|\\.part\\.0)?", "([ab]\\.c)?", "m?");
        let one = one.prop_map(|(name, file, module)| function(&format!("{name} {file} {module}")));
        proptest::collection::vec(one, 0..12).prop_map(|mut all| {
            all.sort();
            all.dedup();
            all
        })
    }

    proptest! {
        #[test]
        fn nobody_has_two_partners_and_the_order_does_not_matter(a in some(), b in some(), seed in any::<u64>()) {
            let found = pairs(&a, &b);
            let mut seen = std::collections::HashSet::new();
            for &(_, partner) in &found {
                prop_assert!(seen.insert(partner));
            }
            let mut shuffled = b.clone();
            shuffled.sort_by_key(|f| crc32fast::hash(format!("{seed}{f:?}").as_bytes()));
            let again = pairs(&a, &shuffled);
            let names = |pairs: &[(usize, usize)], b: &[Function]| -> Vec<(usize, Function)> {
                pairs.iter().map(|&(at, partner)| (at, b[partner].clone())).collect()
            };
            prop_assert_eq!(names(&found, &b), names(&again, &shuffled));
            // Backwards the partners are the same.
            let mut back: Vec<_> = pairs(&b, &a).into_iter().map(|(b, a)| (a, b)).collect();
            back.sort_unstable();
            prop_assert_eq!(found, back);
        }

        #[test]
        fn a_set_is_its_own_partner(a in some()) {
            prop_assert_eq!(pairs(&a, &a), (0..a.len()).map(|at| (at, at)).collect::<Vec<_>>());
        }
    }
}
