// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! Where a boot's events go: `--channel`, `channel:` of the command line. In: the arguments. Out: the word that the
//! kernel gets, the file that the recorder looks into, the device that QEMU gets for it. Never here: how events go there.

use super::Args;
use super::guest::Memory;
use anyhow::bail;
use bootlevel::Channel;
use std::ffi::OsString;
use std::path::Path;
use symbolizer::capture::port::Port;
use symbolizer::capture::qemu_args::{self, Device, Request};

/// Reads `--channel`.
pub fn parse(text: &str) -> Result<Channel, String> {
    let found = Channel::ALL.into_iter().find(|channel| channel.name() == text);
    found.ok_or_else(|| "expected auto, ram, ivshmem, pmem, hypercall or port".into())
}

/// What of it this boot has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// The channel; never `Auto`.
    pub channel: Channel,
    /// To be added to the kernel's command line.
    pub word: &'static str,
}

/// What the arguments want, for a kernel with this command line.
pub fn wanted(args: &Args, line: &str) -> anyhow::Result<Wanted> {
    let said = bootlevel::Options::read(line.as_bytes()).channel;
    if let (Some(option), Some(said)) = (args.channel, said)
        && option != said
    {
        bail!(
            "--channel {}: the kernel's command line says hypergraph=channel:{}; leave one of them out",
            option.name(),
            said.name()
        );
    }
    let channel = match args.channel.or(said).unwrap_or(Channel::Auto) {
        // The recorder sees all of the guest's memory, if nobody wants anything else.
        Channel::Auto | Channel::Ram => Channel::Ram,
        taken => taken,
    };
    let word = match (said, channel) {
        (None, Channel::Ivshmem) => "hypergraph=channel:ivshmem",
        (None, Channel::Pmem) => "hypergraph=channel:pmem",
        (None, Channel::Port) => "hypergraph=channel:port",
        (None, Channel::Hypercall) => "hypergraph=channel:hypercall",
        _ => "",
    };
    Ok(Wanted { channel, word })
}

impl Wanted {
    /// Whether the recorder looks into the guest's own memory: for its events, or for what it says of itself.
    pub fn sees_ram(self) -> bool {
        matches!(self.channel, Channel::Ram | Channel::Port)
    }

    /// The pipe for the port, if that is the channel.
    pub fn port(self, args: &Args, directory: &Path) -> anyhow::Result<Option<Port>> {
        if self.channel != Channel::Port {
            return Ok(None);
        }
        if args.deterministic {
            bail!("channel port: --deterministic needs the guest's memory; leave one of them out");
        }
        Ok(Some(Port::make(directory)?))
    }

    /// The file that the guest shares with the recorder: all of its memory, or that of a device, in which a region of
    /// `region` bytes has room.
    pub fn memory(self, args: &Args, request: &Request, region: u64, temp: &Path) -> anyhow::Result<Memory> {
        let size = match self.channel {
            // A BAR's size is a power of two.
            Channel::Ivshmem => region.next_power_of_two(),
            Channel::Pmem => region,
            _ => request.memory,
        };
        Memory::make(args.ram_file.as_deref(), size, temp)
    }

    /// QEMU's arguments for the device.
    pub fn device(self, request: &Request, memory: &Memory) -> Vec<OsString> {
        let device = match self.channel {
            Channel::Ivshmem => Device::Ivshmem,
            Channel::Pmem => Device::Pmem,
            _ => return Vec::new(),
        };
        qemu_args::device(device, request, memory.path(), memory.size())
    }

    /// What may be wrong if the kernel's header does not appear in the device's memory.
    pub fn in_vain(self, error: anyhow::Error) -> anyhow::Error {
        match self.channel {
            Channel::Ivshmem | Channel::Pmem => error.context(format!(
                "channel {}: the kernel has not taken the device's memory into use (hypergraph=off?). It must be on PCI bus 0 of a machine \
                 that has PCI (not -M microvm), and the kernel must have CONFIG_PCI_DIRECT. --channel ram needs neither",
                self.channel.name()
            )),
            _ => error,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Command {
        #[command(flatten)]
        args: Args,
    }

    fn of(options: &[&str], line: &str) -> anyhow::Result<Wanted> {
        let words = ["record", "--vmlinux", "v"].iter().chain(options).chain(&["--", "qemu"]);
        wanted(&Command::try_parse_from(words).expect("well-formed").args, line)
    }

    #[test]
    fn the_option_and_the_command_line_say_the_same() {
        let ivshmem = of(&["--channel", "ivshmem"], "quiet").expect("known");
        assert_eq!(ivshmem, Wanted { channel: Channel::Ivshmem, word: "hypergraph=channel:ivshmem" });
        let said = of(&[], "quiet hypergraph=channel:pmem").expect("known");
        assert_eq!(said, Wanted { channel: Channel::Pmem, word: "" });
        for (options, line) in [(&[][..], ""), (&["--channel", "auto"], ""), (&["--channel", "ram"], "hypergraph=on")] {
            assert_eq!(of(options, line).expect("known"), Wanted { channel: Channel::Ram, word: "" });
        }
        let error = of(&["--channel", "ivshmem"], "hypergraph=channel:ram").expect_err("two words").to_string();
        assert!(error.contains("leave one of them out"), "{error}");
        assert!(Command::try_parse_from(["record", "--vmlinux", "v", "--channel", "usb", "--", "qemu"]).is_err());
    }
}
