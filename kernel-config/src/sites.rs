// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! Call sites: the table that the kernel's build leaves in `__mcount_loc`, and what stands there. In:
//! an image. Out: the sites that call `__fentry__`, counts of the others, reasons to refuse.

use crate::error::InjectError;
use crate::facts::KernelFacts;
use crate::image::Image;

/// `call rel32`.
pub const CALL: u8 = 0xe8;

/// Five-byte nops that compilers and objtool leave: `nopl 0x0(%rax,%rax,1)`, and the older form.
pub const NOPS: [[u8; 5]; 2] = [[0x0f, 0x1f, 0x44, 0x00, 0x00], [0x66, 0x66, 0x66, 0x66, 0x90]];

/// What stands at the sites of an image.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sites {
    /// Addresses of `call __fentry__` instructions, ascending.
    pub live: Vec<u64>,
    /// Sites that are nops.
    pub nops: usize,
    /// Sites that are something else (already hooked, or not x86 code).
    pub other: usize,
}

impl Sites {
    /// Reads the table and looks at each site. Zero entries (weak functions that lost) do not count.
    ///
    /// # Errors
    /// When the table is not in the file, or no site is live.
    pub fn read(image: &Image, facts: &KernelFacts) -> Result<Sites, InjectError> {
        let (start, stop) = facts.mcount_loc;
        let table = stop.checked_sub(start).and_then(|len| image.read(start, len as usize)).ok_or_else(|| {
            InjectError::Malformed {
                path: image.path().into(),
                what: "its __mcount_loc table is not in the file".into(),
            }
        })?;
        let mut sites = Sites::default();
        for entry in table.chunks_exact(8) {
            let at = u64::from_le_bytes(entry.try_into().unwrap_or_default());
            if at == 0 {
                continue;
            }
            match image.read(at, 5) {
                Some(code) if code[0] == CALL && target(at, code) == facts.fentry => sites.live.push(at),
                Some(code) if NOPS.iter().any(|nop| nop == code) => sites.nops += 1,
                _ => sites.other += 1,
            }
        }
        sites.live.sort_unstable();
        sites.live.dedup();
        if sites.live.is_empty() {
            let clang = image.comment.to_lowercase().contains("clang");
            return Err(InjectError::NoLiveSites {
                path: image.path().into(),
                sites: sites.nops + sites.other,
                nops: sites.nops,
                cause: if clang { "a clang build: -mfentry with -mnop-mcount" } else { "built with -mnop-mcount" },
            });
        }
        Ok(sites)
    }
}

/// Where a five-byte call or jump at `at` goes.
pub fn target(at: u64, code: &[u8]) -> u64 {
    let relative = i32::from_le_bytes([code[1], code[2], code[3], code[4]]);
    at.wrapping_add(5).wrapping_add(relative as i64 as u64)
}
