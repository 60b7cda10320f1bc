// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! Which part of the kernel an initcall belongs to. In: the entries of a vmlinux's initcall tables. Out:
//! for the address of a function its `kmod` name, which is what the module would be called if the code
//! were one. Never here: initcalls of modules, traces.

use std::collections::HashMap;

use object::{Object, ObjectSymbol};

use super::image::{Elf, bytes_at};

/// What the symbols of entries begin with (include/linux/init.h: `__initcall_name`).
const PREFIX: &str = "__initcall__kmod_";

/// The kmod name of each initcall.
#[derive(Debug, Default)]
pub struct Initcalls<'a> {
    by_address: HashMap<u64, &'a str>,
}

impl<'a> Initcalls<'a> {
    /// Reads the tables; kernels before 5.11 do not name the kmod and have none.
    pub fn read(elf: &Elf<'a>) -> Initcalls<'a> {
        let mut by_address = HashMap::new();
        for symbol in elf.symbols() {
            let Some(kmod) = symbol.name().ok().and_then(kmod) else { continue };
            // An entry is the distance from itself to the function (CONFIG_HAVE_ARCH_PREL32_RELOCATIONS).
            let entry = bytes_at(elf, symbol.address(), 4).and_then(|bytes| bytes.try_into().ok());
            let Some(distance) = entry.map(i32::from_le_bytes) else { continue };
            by_address.insert(symbol.address().wrapping_add_signed(i64::from(distance)), kmod);
        }
        Initcalls { by_address }
    }

    /// All, by address.
    pub fn sorted(&self) -> Vec<(u64, &'a str)> {
        let mut all: Vec<(u64, &str)> = self.by_address.iter().map(|(&address, &kmod)| (address, kmod)).collect();
        all.sort_unstable();
        all
    }

    /// What the initcall with its function at this address belongs to.
    pub fn kmod(&self, address: u64) -> Option<&'a str> {
        self.by_address.get(&address).copied()
    }
}

/// `acpi` of `__initcall__kmod_acpi__441_1445_acpi_init4`: what stands before a counter and a line.
fn kmod(symbol: &str) -> Option<&str> {
    let rest = symbol.strip_prefix(PREFIX)?;
    let number = |text: &str| text.bytes().take_while(u8::is_ascii_digit).count();
    rest.match_indices("__").map(|(at, _)| at).find_map(|at| {
        let tail = &rest[at + 2..];
        let counter = number(tail);
        let line = tail[counter..].strip_prefix('_')?;
        (counter > 0 && number(line) > 0 && at > 0).then_some(&rest[..at])
    })
}

#[cfg(test)]
mod tests {
    use super::kmod;

    #[test]
    fn kmod_names_end_before_counter_and_line() {
        assert_eq!(kmod("__initcall__kmod_acpi__441_1445_acpi_init4"), Some("acpi"));
        assert_eq!(kmod("__initcall__kmod_8250_dw__313_829_dw8250_platform_driver_init6"), Some("8250_dw"));
        assert_eq!(kmod("__initcall__kmod_a__b__3_8_init__fs5s"), Some("a__b"));
        for other in
            ["__initcall__kmod_acpi", "__initcall__kmod___1_2_x", "__initcall_start", "__initcall__kmod_a__x_1"]
        {
            assert_eq!(kmod(other), None, "{other}");
        }
    }
}
