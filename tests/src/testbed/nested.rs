// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! Guests in guests, in the test bed: the small machine (`tests/guest/hypercalls.rs`) as a guest of L1 (level 1), and as a
//! guest of a guest of L1 (level 2): Debian's kernel under QEMU, with kvm-amd nested. In: hypercalls for each level, a file
//! for each that the guest there shares. Out: what both printed, and the words that they wrote into the files. Never
//! here: what that shows (tests/system/nesting.rs), what it costs (`crate::bench::nesting`).
//!
//! The file is a device's memory in L1; its pages are memory of L1's guest, or those of a device of L1's guest and so
//! memory of the guest in it. Whoever writes there leaves its guest for the page's first use only.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};

use super::{Output, Testbed, calls, hypercalls};

/// Bytes of a shared file: what the small machine maps.
pub const SHARED: u64 = 4 << 20;

/// In it: a header, as early-ftrace/format/src/shared.rs has it, and from there on the ring.
pub const HEADER: u64 = 2 << 20;
/// See [`HEADER`].
pub const RINGS: u64 = 0x1_0000;

/// Names of the levels: of files in the work directory, `shared-one`, and of what L1's recorder leaves in /out.
pub const LEVELS: [&str; 2] = ["one", "two"];

/// Runs in L1. `$1` and `$2` in it are the devices' memories.
const OUTER: &str = r#"
set --
for device in /sys/bus/pci/devices/*; do
    [ "$(cat $device/device)" = 0x1110 ] && echo 1 > $device/enable && set -- $@ $device/resource2
done
recorded() {
    name=$1
    shift
    if [ -f host_record ]; then ./host_record /out/$name "$@"; else "$@"; fi
}
recorded one ./hypercalls one --shared $1 || exit 1
recorded two qemu-system-x86_64 -M q35 -accel kvm -cpu host -m 256M -nodefaults -display none -no-reboot -serial stdio \
    -kernel vmlinuz -initrd nested -append "console=ttyS0 quiet panic=-1 nokaslr no_timer_check tsc=reliable" \
    -object memory-backend-file,id=shared,share=on,size=4M,mem-path=$2 -device ivshmem-plain,memdev=shared < /dev/null
"#;

/// Runs in L1's guest, whose KVM is asked what it has seen, if L1 records too.
const INNER: &str = r#"
mount -t tracefs tracefs /sys/kernel/tracing
for device in /sys/bus/pci/devices/*; do
    [ "$(cat $device/device)" = 0x1110 ] && echo 1 > $device/enable && memory=$device/resource2
done
traced=/sys/kernel/tracing/events/kvm/kvm_hypercall/enable
[ -f record ] && echo 1 > $traced
./hypercalls two --shared $memory
echo 0 > $traced
echo "nested: $(grep -c 'nr 0x3f0 ' /sys/kernel/tracing/trace) of level 1"
"#;

/// The file that a level shares.
pub fn shared(work: &Path, level: usize) -> PathBuf {
    work.join(format!("shared-{}", LEVELS[level]))
}

/// Runs both levels, each with its hypercalls; with `recorder`, the example `host_record`, L1 records both. The files that
/// they share stand in `work` already, [`SHARED`] bytes each.
///
/// # Errors
/// When a program cannot be built, or the test bed fails.
pub fn run(bed: Testbed, work: &Path, lists: &[Vec<[u64; 5]>; 2], recorder: Option<&Path>) -> Result<Output> {
    let at = |name: &str| work.join(name);
    let write = |name: &str, bytes: &[u8]| {
        let path = at(name);
        std::fs::write(&path, bytes).with_context(|| format!("cannot write {}", path.display()))?;
        anyhow::Ok(path)
    };
    let program = at("hypercalls");
    hypercalls(&program)?;
    let one = write(LEVELS[0], &calls(lists[0].iter().copied()))?;
    let two = write(LEVELS[1], &calls(lists[1].iter().copied()))?;
    let mut inside: Vec<(&str, &Path)> = vec![("hypercalls", &program), ("two", &two)];
    let word = write("record", b"")?;
    inside.extend(recorder.map(|_| ("record", &*word)));
    let nested = write("nested", &bed.nested(INNER, &inside)?)?;
    let kernel = bed.kernel().to_owned();
    let mut files: Vec<(&str, &Path)> =
        vec![("hypercalls", &program), ("one", &one), ("nested", &nested), ("vmlinuz", &kernel)];
    files.extend(recorder.map(|path| ("host_record", path)));
    let bed = (0..LEVELS.len()).fold(bed, |bed, level| bed.with_shared(&shared(work, level), SHARED));
    bed.run(OUTER, &files, Duration::from_secs(400))
}
