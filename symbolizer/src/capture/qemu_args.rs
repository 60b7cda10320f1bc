// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! QEMU's arguments: what the user's ask for, and what must be added so that the traced kernel boots
//! with its memory in a file. In and out: argument lists. Never here: running it.

use super::CaptureError;
use std::ffi::{OsStr, OsString};
use std::path::Path;

/// Memory of a guest whose command says nothing: QEMU's own default, 128 MiB, is small for a kernel
/// and its rings.
pub const DEFAULT_MEMORY: u64 = 512 << 20;

/// What the user's arguments ask for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// Guest RAM in bytes.
    pub memory: u64,
    /// Whether the arguments say so (`-m`).
    pub says_memory: bool,
    /// Whether they say how much there may ever be (`-m ...,maxmem=`).
    pub says_most_memory: bool,
    /// CPUs that the guest may ever have.
    pub cpus: u32,
    /// Whether the arguments say `-no-reboot`.
    pub no_reboot: bool,
}

/// What is to be booted.
#[derive(Clone, Copy, Debug)]
pub struct Boot<'a> {
    /// The traced kernel.
    pub kernel: &'a Path,
    /// The whole command line.
    pub command_line: &'a str,
    /// The initial RAM disk.
    pub initrd: Option<&'a Path>,
    /// The file that is to be the guest's RAM; `None`: nobody looks into it.
    pub ram_file: Option<&'a Path>,
}

/// A device with memory that guest and host share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Device {
    /// ivshmem-plain.
    Ivshmem,
    /// virtio-pmem-pci.
    Pmem,
}

const KERNEL: &str =
    "`symbolize record` boots the traced kernel itself; leave it out and give the kernel with --vmlinux";
const APPEND: &str = "`symbolize record` adds to the command line; give yours with --append before the `--`";
const INITRD: &str = "give it to `symbolize record` with --initrd before the `--`";
const MEMORY: &str =
    "`symbolize record` puts the guest's memory in a file itself; leave it out (--ram-file names the file)";
const DAEMON: &str = "`symbolize record` must see when the guest ends; leave it out";
const PAUSED: &str = "`symbolize record` has nobody to start the guest later; leave it out";

/// Reads the arguments that follow the program's name.
///
/// # Errors
/// [`CaptureError::Conflict`] for what the tool must set itself, [`CaptureError::BadArgument`].
pub fn read(args: &[OsString]) -> Result<Request, CaptureError> {
    let mut request =
        Request { memory: DEFAULT_MEMORY, says_memory: false, says_most_memory: false, cpus: 1, no_reboot: false };
    let mut args = args.iter().map(|arg| arg.to_string_lossy());
    while let Some(arg) = args.next() {
        // QEMU takes one dash or two.
        let Some(name) = arg.strip_prefix("--").or_else(|| arg.strip_prefix('-')) else { continue };
        let conflict = |why| Err(CaptureError::Conflict { argument: arg.clone().into_owned(), why });
        match name {
            "kernel" => return conflict(KERNEL),
            "append" => return conflict(APPEND),
            "initrd" => return conflict(INITRD),
            "mem-path" => return conflict(MEMORY),
            "daemonize" => return conflict(DAEMON),
            "S" => return conflict(PAUSED),
            "no-reboot" => request.no_reboot = true,
            "m" => {
                let value = args.next().unwrap_or_default();
                request.memory = memory(&value)
                    .ok_or_else(|| bad("-m", &value, "expected a size such as 512, 512M, 2G or size=2G"))?;
                request.says_memory = true;
                request.says_most_memory |= options(&value).any(|(key, _)| key == "maxmem");
            }
            "smp" => {
                let value = args.next().unwrap_or_default();
                request.cpus = cpus(&value)
                    .ok_or_else(|| bad("-smp", &value, "expected a number of CPUs such as 2 or cpus=2,maxcpus=4"))?;
            }
            "machine" | "M" | "numa" => {
                let value = args.next().unwrap_or_default();
                let taken = options(&value).any(|(key, _)| key == "memory-backend" || key == "memdev");
                if taken {
                    let argument = format!("{arg} {value}");
                    return Err(CaptureError::Conflict { argument, why: MEMORY });
                }
            }
            _ => {}
        }
    }
    Ok(request)
}

/// The arguments to add behind the user's.
pub fn added(request: &Request, boot: &Boot<'_>) -> Vec<OsString> {
    let mut args: Vec<OsString> = Vec::new();
    let mut add = |option: &str, value: &OsStr| {
        args.push(option.into());
        args.push(value.into());
    };
    if !request.says_memory {
        add("-m", format!("{}M", request.memory >> 20).as_ref());
    }
    if let Some(ram_file) = boot.ram_file {
        add("-object", &backend("hgram", request.memory, ram_file));
        // QEMU merges all -machine options, so the user's machine type stays.
        add("-machine", "memory-backend=hgram".as_ref());
    }
    add("-kernel", boot.kernel.as_os_str());
    add("-append", boot.command_line.as_ref());
    if let Some(initrd) = boot.initrd {
        add("-initrd", initrd.as_os_str());
    }
    if !request.no_reboot {
        // A trace is of one boot: a second one would begin with the rings of the first.
        args.push("-no-reboot".into());
    }
    args
}

/// The arguments for a device whose memory is the `size` bytes of `file`.
pub fn device(device: Device, request: &Request, file: &Path, size: u64) -> Vec<OsString> {
    let mut args: Vec<OsString> = Vec::new();
    let mut add = |option: &str, value: &OsStr| {
        args.push(option.into());
        args.push(value.into());
    };
    add("-object", &backend("hgshared", size, file));
    match device {
        Device::Ivshmem => add("-device", "ivshmem-plain,memdev=hgshared".as_ref()),
        Device::Pmem => {
            if !request.says_most_memory {
                // QEMU merges all -m options, too. It wants room behind the RAM, where the first GiB may be lost to
                // alignment.
                let most = request.memory.saturating_add(size).saturating_add(2 << 30) >> 20;
                add("-m", format!("maxmem={most}M").as_ref());
            }
            add("-device", "virtio-pmem-pci,memdev=hgshared".as_ref());
        }
    }
    args
}

/// An object that is memory in a file.
fn backend(name: &str, size: u64, file: &Path) -> OsString {
    let mut object = OsString::from(format!("memory-backend-file,id={name},size={size},share=on,mem-path="));
    object.push(escaped(file));
    object
}

/// A path inside QEMU's `key=value,...` syntax, where a comma is written twice.
fn escaped(path: &Path) -> OsString {
    use std::os::unix::ffi::{OsStrExt, OsStringExt};
    let mut bytes = Vec::new();
    for &byte in path.as_os_str().as_bytes() {
        bytes.push(byte);
        if byte == b',' {
            bytes.push(byte);
        }
    }
    OsString::from_vec(bytes)
}

fn bad(option: &str, value: &str, expected: &'static str) -> CaptureError {
    CaptureError::BadArgument { option: option.into(), value: value.into(), expected }
}

/// `key=value` pairs; the first may be a value alone, whose key is empty then.
pub(super) fn options(value: &str) -> impl Iterator<Item = (&str, &str)> {
    value.split(',').map(|part| part.split_once('=').unwrap_or(("", part)))
}

fn memory(value: &str) -> Option<u64> {
    let size = options(value).find(|(key, _)| matches!(*key, "" | "size"))?.1;
    let digits = size.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let shift = match size[digits.len()..].to_ascii_uppercase().as_str() {
        "B" => 0,
        "K" => 10,
        "" | "M" => 20,
        "G" => 30,
        "T" => 40,
        _ => return None,
    };
    let number: f64 = digits.parse().ok()?;
    let bytes = number * (1u64 << shift) as f64;
    (bytes >= 1.0 && bytes < (1u64 << 50) as f64).then_some(bytes as u64)
}

fn cpus(value: &str) -> Option<u32> {
    let (mut count, mut most, mut topology) = (None, None, 1u32);
    for (key, value) in options(value) {
        let number: u32 = value.parse().ok().filter(|&number| number > 0)?;
        match key {
            "" | "cpus" => count = Some(number),
            "maxcpus" => most = Some(number),
            "sockets" | "dies" | "clusters" | "cores" | "threads" => topology = topology.checked_mul(number)?,
            _ => return None,
        }
    }
    most.or(count.map(|count| count.max(topology))).or(Some(topology))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(line: &str) -> Result<Request, CaptureError> {
        read(&line.split_whitespace().map(OsString::from).collect::<Vec<_>>())
    }

    #[test]
    fn memory_and_cpus_are_read_as_qemu_reads_them() {
        for (line, memory, cpus) in [
            ("-nographic", 512 << 20, 1),
            ("-m 256", 256 << 20, 1),
            ("-m 1.5G -smp 2", 1536 << 20, 2),
            ("--m size=2G,slots=2,maxmem=4G -smp cpus=2,maxcpus=6", 2 << 30, 6),
            ("-M q35 -smp sockets=2,cores=2,threads=2", 512 << 20, 8),
        ] {
            let request = request(line).unwrap();
            assert_eq!((request.memory, request.cpus), (memory, cpus), "{line}");
        }
        for line in ["-m much", "-m", "-smp 0", "-smp two", "-m -5"] {
            assert!(matches!(request(line), Err(CaptureError::BadArgument { .. })), "{line}");
        }
    }

    #[test]
    fn what_the_tool_sets_itself_is_refused_with_the_way_out() {
        for (line, hint) in [
            ("-kernel bzImage", "--vmlinux"),
            ("--append quiet", "--append"),
            ("-initrd x", "--initrd"),
            ("-machine q35,memory-backend=mine", "--ram-file"),
            ("-mem-path /x", "--ram-file"),
            ("-daemonize", "leave it out"),
        ] {
            let error = request(line).unwrap_err().to_string();
            assert!(error.contains(hint), "{line}: {error}");
        }
    }

    #[test]
    fn added_arguments_leave_the_users_alone() {
        let boot = Boot {
            kernel: Path::new("/tmp/k"),
            command_line: "quiet rodata=off",
            initrd: None,
            ram_file: Some(Path::new("/dev/shm/a,b")),
        };
        let args = added(&request("-m 1G -no-reboot").unwrap(), &boot);
        let args: Vec<_> = args.iter().map(|arg| arg.to_str().unwrap()).collect();
        assert_eq!(
            args,
            [
                "-object",
                "memory-backend-file,id=hgram,size=1073741824,share=on,mem-path=/dev/shm/a,,b",
                "-machine",
                "memory-backend=hgram",
                "-kernel",
                "/tmp/k",
                "-append",
                "quiet rodata=off"
            ]
        );
        let args = added(&request("").unwrap(), &Boot { ram_file: None, ..boot });
        assert!(args.contains(&"512M".into()) && args.contains(&"-no-reboot".into()));
        assert!(!args.contains(&"-object".into()));
    }

    #[test]
    fn a_device_with_memory_is_added_and_room_for_it_if_need_be() {
        let line = |kind, user: &str| {
            let args = device(kind, &request(user).unwrap(), Path::new("/dev/shm/a,b"), 16 << 20);
            args.iter().map(|arg| arg.to_str().unwrap()).collect::<Vec<_>>().join(" ")
        };
        let object = "-object memory-backend-file,id=hgshared,size=16777216,share=on,mem-path=/dev/shm/a,,b";
        let ivshmem = "-device ivshmem-plain,memdev=hgshared";
        let pmem = "-device virtio-pmem-pci,memdev=hgshared";
        assert_eq!(line(Device::Ivshmem, "-m 1G"), format!("{object} {ivshmem}"));
        assert_eq!(line(Device::Pmem, "-m 1G"), format!("{object} -m maxmem=3088M {pmem}"));
        assert_eq!(line(Device::Pmem, "-m 1G,maxmem=8G"), format!("{object} {pmem}"));
    }
}
