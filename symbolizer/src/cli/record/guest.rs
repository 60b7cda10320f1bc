// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! The guest's memory (or that of one of its devices) as a file, and the traced kernel in it. In: sizes, paths. Out: the file, the header that the
//! kernel has brought, as the first of its [`Meta`]. Never here: the rings.

use anyhow::Context;
use early_ftrace_format::shared::CHUNK_SIZE;
use std::fs::OpenOptions;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use symbolizer::capture::CaptureError;
use symbolizer::capture::region::{RamFile, SharedRegion};
use symbolizer::capture::vmm::Watch;
use symbolizer::trace_dir::meta::{RegionMeta, TRACE_VERSION};
use symbolizer::trace_dir::{Ended, Meta};

/// The traced kernel must be in the guest's memory after this time.
const START_PATIENCE: Duration = Duration::from_secs(60);

/// A header may be half there while QEMU loads the image; after this time it is damaged.
const LOAD_PATIENCE: Duration = Duration::from_millis(500);

/// The file for the guest's memory; removed at the end, if it is temporary.
pub struct Memory {
    path: PathBuf,
    size: u64,
    _remove: Option<tempfile::TempPath>,
}

impl Memory {
    /// Makes it, at `named` or where there is room.
    pub fn make(named: Option<&Path>, size: u64, temp: &Path) -> anyhow::Result<Memory> {
        let (path, remove) = match named {
            Some(path) => (path.to_path_buf(), None),
            None => {
                let shm = Path::new("/dev/shm");
                let room = rustix::fs::statvfs(shm).is_ok_and(|fs| fs.f_bavail.saturating_mul(fs.f_frsize) >= size);
                let dir = if room { shm } else { temp };
                let file = tempfile::Builder::new()
                    .prefix("symbolize-ram-")
                    .tempfile_in(dir)
                    .with_context(|| format!("{}: cannot make the guest's RAM file", dir.display()))?;
                let path = file.into_temp_path();
                (path.to_path_buf(), Some(path))
            }
        };
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(true).open(&path);
        file.and_then(|file| file.set_len(size))
            .with_context(|| format!("{}: cannot make the guest's RAM file of {size} bytes", path.display()))?;
        Ok(Memory { path, size, _remove: remove })
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its size in bytes.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Opens it for the recorder.
    pub fn open(&self) -> Result<RamFile, CaptureError> {
        RamFile::open(&self.path)
    }
}

/// What the header in the shared memory says.
pub fn meta_of(region: &SharedRegion) -> Meta {
    let header = region.header();
    let end = header.release.iter().position(|&byte| byte == 0).unwrap_or(header.release.len());
    let id = header.build_id.get(..header.build_id_len as usize).unwrap_or(&header.build_id);
    Meta {
        format_version: TRACE_VERSION,
        words_version: header.version,
        tool: concat!("symbolize ", env!("CARGO_PKG_VERSION")).into(),
        release: String::from_utf8_lossy(&header.release[..end]).into_owned(),
        build_id: hex(id),
        text_start: header.text_start,
        cpus: header.cpus,
        region: RegionMeta {
            phys: header.region_phys,
            virt: header.region_virt,
            size: header.region_size,
            ring_bytes: u64::from(header.chunks_per_cpu) * CHUNK_SIZE,
            overflow: if header.policy == early_ftrace_format::shared::POLICY_WAIT { "wait" } else { "drop" }.into(),
        },
        ..Meta::default()
    }
}

/// Waits until QEMU has loaded the traced kernel; `None` when it was told to stop before.
pub fn wait_for_kernel(
    look: impl Fn() -> Result<Option<SharedRegion>, CaptureError>,
    watch: &mut Watch,
) -> anyhow::Result<Option<SharedRegion>> {
    let began = Instant::now();
    let mut damaged_since = None;
    loop {
        match look() {
            Ok(Some(region)) => return Ok(Some(region)),
            Ok(None) => damaged_since = None,
            Err(error) => {
                if damaged_since.get_or_insert_with(Instant::now).elapsed() > LOAD_PATIENCE {
                    return Err(error.into());
                }
            }
        }
        if let Some(ended) = watch.poll()? {
            // It may have run in the moment between the two looks.
            if let Ok(Some(region)) = look() {
                return Ok(Some(region));
            }
            let status = watch.vmm().map(|vmm| vmm.poll()).transpose()?.flatten();
            return match (ended, watch.vmm().zip(status)) {
                (Ended::Stopped { .. }, _) | (_, None) => Ok(None),
                (_, Some((vmm, status))) => Err(vmm.refused(status).into()),
            };
        }
        if began.elapsed() > START_PATIENCE {
            return Err(CaptureError::NoStart { seconds: START_PATIENCE.as_secs() }.into());
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Now, in seconds.
pub fn unix_time() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// Bytes in hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
