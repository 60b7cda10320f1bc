// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! `symbolize inject`: only makes the traced kernel, for people who boot it their own way.

use super::record::{Overflow, ring_bytes};
use anyhow::Context;
use std::path::PathBuf;

/// Arguments of `symbolize inject`.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// The kernel to trace: an uncompressed vmlinux with symbols; it is not changed
    vmlinux: PathBuf,
    /// The traced kernel
    #[arg(short, long, default_value = "vmlinux.traced")]
    output: PathBuf,
    /// CPUs that get a ring
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=512))]
    cpus: u32,
    /// Size of each CPU's ring in MiB, a power of two
    #[arg(long, default_value_t = 8)]
    ring_mib: u32,
    /// What an event does that finds its ring full
    #[arg(long, value_enum, default_value_t = Overflow::Wait)]
    overflow: Overflow,
    /// Physical address of the trace memory, a multiple of 2 MiB (default: behind the kernel's image)
    #[arg(long, value_name = "ADDR", value_parser = address)]
    region_phys: Option<u64>,
    /// Replace the output if it exists
    #[arg(long)]
    force: bool,
    /// Say everything that was changed in the image
    #[arg(short, long)]
    verbose: bool,
}

fn address(text: &str) -> Result<u64, String> {
    let value = match text.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16),
        None => text.parse(),
    };
    let value = value.map_err(|_| "expected an address such as 0x30000000".to_string())?;
    if value % early_ftrace_format::shared::REGION_ALIGN != 0 {
        return Err("expected a multiple of 2 MiB (0x200000)".into());
    }
    Ok(value)
}

/// Runs it; the exit code.
pub fn run(args: Args) -> anyhow::Result<u8> {
    if args.output.exists() && !args.force {
        anyhow::bail!("{}: exists already; give --force to replace it", args.output.display());
    }
    let options = kernel_config::Options {
        cpus: args.cpus,
        ring_bytes: ring_bytes(args.ring_mib)?,
        policy: args.overflow.policy(),
        ram_bytes: None,
        region_phys: args.region_phys,
        ..kernel_config::Options::default()
    };
    let injected = kernel_config::inject(&args.vmlinux, &args.output, &options)
        .with_context(|| format!("{}: cannot be traced", args.vmlinux.display()))?;
    let end = injected.region_phys.saturating_add(injected.region_size);
    println!("{}: kernel {}", args.output.display(), injected.release);
    println!("  {} of {} call sites hooked", injected.hooked, injected.sites);
    println!("  trace memory at {:#x} to {end:#x}: the guest needs that much RAM", injected.region_phys);
    if args.verbose {
        for change in &injected.changes {
            println!("  {change}");
        }
    }
    println!("boot it with the guest's memory in a file, for example:");
    let output = super::quoted(&args.output.display().to_string());
    let append = injected.command_line.join(" ");
    println!("  qemu-system-x86_64 -m 512M -no-reboot -kernel {output} -append {} \\", super::quoted(&append));
    println!("    -object memory-backend-file,id=ram,size=512M,mem-path=/dev/shm/guest.ram,share=on \\");
    println!("    -machine memory-backend=ram");
    println!("and drain it:");
    println!("  symbolize record --attach /dev/shm/guest.ram -o trace");
    Ok(0)
}
