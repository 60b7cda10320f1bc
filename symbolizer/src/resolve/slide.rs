// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! How far KASLR has moved the kernel. In: where `_stext` was in the guest, and where the vmlinux has it.
//! Out: a [`Slide`], which turns addresses as they ran into those of the vmlinux. Both numbers come from
//! outside: what KASLR cannot do is refused. Never here: modules, whose addresses know no link address.

use object::{Object, ObjectSymbol};

use super::ResolveError;
use super::image::Elf;

/// The kernel is moved by multiples of this: `CONFIG_PHYSICAL_ALIGN` is at least `PMD_SIZE`
/// (arch/x86/Kconfig).
pub const ALIGN: u64 = 2 << 20;

/// `__START_KERNEL_map` (arch/x86/include/asm/page_64_types.h).
pub const IMAGE_START: u64 = 0xffff_ffff_8000_0000;

/// The end of what KASLR uses: `KERNEL_IMAGE_SIZE` is 1 GiB with `CONFIG_RANDOMIZE_BASE`. Modules come
/// after it.
pub const IMAGE_END: u64 = 0xffff_ffff_c000_0000;

/// Bytes by which the kernel ran above its link address.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Slide(u64);

impl Slide {
    /// From the address of `_stext` as it ran, which is 0 if the trace does not say, and as it was
    /// linked; a vmlinux without that symbol says nothing of a slide.
    ///
    /// # Errors
    /// [`ResolveError::Slide`] if KASLR does nothing of the kind.
    pub fn between(ran: u64, linked: Option<u64>) -> Result<Slide, ResolveError> {
        let Some(linked) = linked.filter(|_| ran != 0) else { return Ok(Slide::default()) };
        if ran == linked {
            return Ok(Slide::default());
        }
        let slide = ran.checked_sub(linked).filter(|slide| slide % ALIGN == 0);
        let inside = |address| (IMAGE_START..IMAGE_END).contains(&address);
        match slide.filter(|_| inside(ran) && inside(linked)) {
            Some(bytes) => Ok(Slide(bytes)),
            None => Err(ResolveError::Slide { ran, linked }),
        }
    }

    /// By this many bytes.
    ///
    /// # Errors
    /// KASLR does nothing of the kind, as text.
    pub fn by(bytes: u64) -> Result<Slide, String> {
        if bytes.is_multiple_of(ALIGN) && bytes < IMAGE_END - IMAGE_START {
            Ok(Slide(bytes))
        } else {
            Err("KASLR moves a kernel by a multiple of 0x200000 (2 MiB), and by less than 0x40000000 (1 GiB)"
                .to_owned())
        }
    }

    /// Bytes.
    pub const fn bytes(self) -> u64 {
        self.0
    }

    /// The vmlinux's address of kernel code that ran at one.
    pub const fn undo(self, ran: u64) -> u64 {
        if ran >= IMAGE_START && ran < IMAGE_END { ran.wrapping_sub(self.0) } else { ran }
    }

    /// Where kernel code with an address in the vmlinux ran.
    pub const fn apply(self, linked: u64) -> u64 {
        if linked >= IMAGE_START && linked < IMAGE_END { linked.wrapping_add(self.0) } else { linked }
    }
}

/// Where the vmlinux has `_stext`.
pub fn text_start(elf: &Elf<'_>) -> Option<u64> {
    elf.symbols().find(|symbol| symbol.name() == Ok("_stext")).map(|symbol| symbol.address())
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINKED: u64 = 0xffff_ffff_8100_0000;

    #[test]
    fn a_slide_is_undone() {
        let slide = Slide::between(LINKED + 0x1e20_0000, Some(LINKED)).unwrap();
        assert_eq!(slide.bytes(), 0x1e20_0000);
        assert_eq!(slide.undo(LINKED + 0x1e20_0000 + 0x1234), LINKED + 0x1234);
        assert_eq!(slide.apply(LINKED + 0x1234), LINKED + 0x1e20_1234);
        assert_eq!(slide.undo(IMAGE_END + 5), IMAGE_END + 5, "a module");
        assert_eq!(slide.undo(0), 0, "no site");
    }

    #[test]
    fn where_nothing_is_said_nothing_slid() {
        assert_eq!(Slide::between(0, Some(LINKED)).unwrap().bytes(), 0);
        assert_eq!(Slide::between(LINKED, None).unwrap().bytes(), 0);
        assert_eq!(Slide::between(LINKED, Some(LINKED)).unwrap().bytes(), 0);
    }

    #[test]
    fn what_kaslr_does_not_do_is_refused() {
        for (ran, linked, why) in [
            (LINKED + 0x1000, LINKED, "no multiple of 2 MiB"),
            (LINKED - ALIGN, LINKED, "downwards"),
            (IMAGE_END, LINKED, "into the modules"),
            (LINKED, 0x0010_0000, "further than 1 GiB"),
            (u64::MAX, LINKED, "past the end"),
        ] {
            let refused = Slide::between(ran, Some(linked)).unwrap_err();
            assert!(matches!(refused, ResolveError::Slide { .. }), "{why}: {refused}");
        }
    }
}
