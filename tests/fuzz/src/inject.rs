// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! A vmlinux that is to be traced. In: the file. Demanded: an error that names the file and writes
//! nothing, or an image that is an ELF file itself.

use kernel_config::image::Image;
use kernel_config::{Options, inject};

use super::scratch;

/// Injects into it.
pub fn run(data: &[u8]) {
    let dir = scratch::directory();
    let (input, output) = (dir.path().join("vmlinux"), dir.path().join("traced"));
    std::fs::write(&input, data).expect("a small file");
    // One CPU with the smallest ring: the image that is written holds the head of the region.
    let options = Options { ring_bytes: 128 << 10, ..Options::default() };
    match inject(&input, &output, &options) {
        Ok(injected) => {
            assert!(injected.hooked > 0 && injected.hooked <= injected.sites, "{injected:?}");
            let bytes = std::fs::read(&output).expect("the traced image");
            assert!(bytes.starts_with(b"\x7fELF"));
            // It has no symbols any more: that it is read so far says that its segments are in it.
            let reason = Image::open(&output).err().map(|error| error.to_string());
            assert!(reason.as_ref().is_some_and(|reason| reason.contains("no symbols")), "{reason:?}");
        }
        Err(error) => {
            assert!(!error.to_string().is_empty());
            assert!(!output.exists(), "written in spite of: {error}");
        }
    }
}
