// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! The arguments of the user's QEMU command. In: arguments with NUL bytes between them. Demanded: an
//! answer or an error that names the argument; what is added does not contradict the answer.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use symbolizer::capture::qemu_args::{Boot, Device, added, device, read};

/// Reads the arguments and makes the added ones.
pub fn run(data: &[u8]) {
    let args: Vec<OsString> = data.split(|&byte| byte == 0).map(|arg| OsStr::from_bytes(arg).to_owned()).collect();
    let request = match read(&args) {
        Ok(request) => request,
        Err(error) => return assert!(!error.to_string().is_empty()),
    };
    assert!(request.memory > 0 && request.cpus > 0, "{request:?}");
    let path = Path::new("a,b");
    let boot = Boot { kernel: path, command_line: "quiet", initrd: Some(path), ram_file: Some(path) };
    let added = added(&request, &boot);
    assert_eq!(added.iter().any(|arg| arg == "-m"), !request.says_memory);
    assert_eq!(added.iter().any(|arg| arg == "-no-reboot"), !request.no_reboot);
    for kind in [Device::Ivshmem, Device::Pmem] {
        assert!(device(kind, &request, path, 1 << 24).iter().any(|arg| arg == "-device"));
    }
}
