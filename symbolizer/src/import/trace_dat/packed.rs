// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! How trace-cmd packs bytes: not at all, or with zstd or zlib; a CPU's pages in chunks. In: a part of the file. Out: its
//! pages one by one. Never here: what they say.

use std::io::Read;
use std::sync::Arc;

use super::super::ImportError;
use super::super::input::Input;
use super::CpuData;

/// Largest chunk, unpacked, in bytes or in pages if that is more; trace-cmd makes them of 10 pages (PAGES_IN_CHUNK in
/// lib/trace-cmd/trace-output.c).
const LARGEST_CHUNK: u64 = 1 << 20;
const MOST_PAGES: u64 = 10;

/// Most bytes of all CPUs' chunks, each of which has one at hand.
const ALL_CHUNKS: u64 = 512 << 20;

/// Which way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Packing {
    #[default]
    None,
    Zstd,
    Zlib,
}

impl Packing {
    pub(super) fn named(name: &str) -> Option<Packing> {
        match name {
            "none" | "" => Some(Packing::None),
            "zstd" => Some(Packing::Zstd),
            "zlib" => Some(Packing::Zlib),
            _ => None,
        }
    }
}

/// Unpacks what should be `size` bytes then, and at most `limit`.
pub(super) fn unpack(packing: Packing, bytes: &[u8], size: u64, limit: u64) -> Result<Vec<u8>, String> {
    if size > limit {
        return Err(format!("{size} bytes, unpacked, are too many"));
    }
    let mut unpacked = Vec::new();
    let read = match packing {
        Packing::None => return Err("it is packed, but not said how".into()),
        Packing::Zstd => zstd::stream::read::Decoder::new(bytes)
            .and_then(|decoder| decoder.take(size + 1).read_to_end(&mut unpacked)),
        Packing::Zlib => flate2::read::ZlibDecoder::new(bytes).take(size + 1).read_to_end(&mut unpacked),
    };
    match read {
        Err(error) => Err(format!("cannot be unpacked: {error}")),
        Ok(_) if unpacked.len() as u64 != size => Err(format!("it should have {size} bytes, unpacked")),
        Ok(_) => Ok(unpacked),
    }
}

/// A CPU's pages, one by one.
#[derive(Debug)]
pub(super) struct Source {
    input: Arc<Input>,
    page: u64,
    /// What is left of them in the file.
    at: u64,
    end: u64,
    packing: Packing,
    /// Largest chunk, unpacked.
    limit: u64,
    /// Chunks that are left; none before the first, or where nothing is packed.
    chunks: Option<u32>,
    /// The chunk at hand, and how far it was given.
    chunk: Vec<u8>,
    given: usize,
}

impl Source {
    /// Of one of `cpus`.
    pub(super) fn new(input: Arc<Input>, data: CpuData, page: u32, packing: Packing, cpus: usize) -> Source {
        // Where pages are packed, the size does not count the number of chunks before them.
        let counted = if packing == Packing::None { 0 } else { 4 };
        let end = data.offset.saturating_add(data.size).saturating_add(counted);
        let (page, chunks, chunk) = (u64::from(page), None, Vec::new());
        let limit = LARGEST_CHUNK.max(MOST_PAGES * page).min(ALL_CHUNKS / cpus.max(1) as u64);
        Source { input, page, at: data.offset, end, packing, limit, chunks, chunk, given: 0 }
    }

    /// Where the next page comes from, in the file.
    pub(super) fn offset(&self) -> u64 {
        self.at
    }

    /// The path of the file.
    pub(super) fn path(&self) -> &std::path::Path {
        self.input.path()
    }

    /// The next page.
    ///
    /// # Errors
    /// When there should be one and it cannot be read; nothing comes behind that.
    pub(super) fn next(&mut self) -> Result<Option<Vec<u8>>, ImportError> {
        let page = self.read();
        if page.is_err() {
            (self.at, self.chunks) = (self.end, Some(0));
        }
        if !matches!(page, Ok(Some(_))) {
            (self.chunk, self.given) = (Vec::new(), 0);
        }
        page
    }

    fn read(&mut self) -> Result<Option<Vec<u8>>, ImportError> {
        if self.packing == Packing::None {
            if self.at >= self.end {
                return Ok(None);
            }
            // trace-cmd may leave the last page short.
            let length = self.page.min(self.end - self.at);
            let page = self.input.read(self.at, length)?;
            self.at += length;
            return Ok(Some(page));
        }
        if self.given >= self.chunk.len() && !self.next_chunk()? {
            return Ok(None);
        }
        let rest = self.chunk.get(self.given..).unwrap_or_default();
        let page = rest[..rest.len().min(self.page as usize)].to_vec();
        self.given += page.len();
        Ok(Some(page))
    }

    /// Unpacks the next chunk that has anything; false at the end.
    fn next_chunk(&mut self) -> Result<bool, ImportError> {
        loop {
            let left = match self.chunks {
                Some(left) => left,
                None if self.at >= self.end => 0,
                None => self.number()?,
            };
            self.chunks = Some(left);
            if left == 0 {
                return Ok(false);
            }
            self.chunks = Some(left - 1);
            let start = self.at;
            let (packed, size) = (u64::from(self.number()?), u64::from(self.number()?));
            if packed > self.end.saturating_sub(self.at) {
                let what = format!("a chunk of {packed} bytes, where its CPU has {}", self.end.saturating_sub(self.at));
                return Err(ImportError::damaged(self.input.path(), start, what));
            }
            let bytes = self.input.read(self.at, packed)?;
            self.at += packed;
            self.chunk = unpack(self.packing, &bytes, size, self.limit)
                .map_err(|what| ImportError::damaged(self.input.path(), start, what))?;
            self.given = 0;
            if !self.chunk.is_empty() {
                return Ok(true);
            }
        }
    }

    fn number(&mut self) -> Result<u32, ImportError> {
        let bytes = self.input.read(self.at, 4)?;
        self.at += 4;
        Ok(bytes.try_into().map_or(0, u32::from_le_bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    const PAGE: u32 = 4096;

    /// Chunks as trace-cmd packs them.
    fn packed(chunks: &[&[u8]]) -> Vec<u8> {
        let mut file = (chunks.len() as u32).to_le_bytes().to_vec();
        for chunk in chunks {
            let bytes = zstd::encode_all(*chunk, 1).expect("it packs");
            file.extend((bytes.len() as u32).to_le_bytes());
            file.extend((chunk.len() as u32).to_le_bytes());
            file.extend(bytes);
        }
        file
    }

    fn source(file: &[u8], page: u32, cpus: usize) -> Source {
        let data = CpuData { cpu: 0, offset: 0, size: file.len() as u64 - 4 };
        Source::new(Arc::new(Input::bytes(file.to_vec())), data, page, Packing::Zstd, cpus)
    }

    #[test]
    fn chunks_as_large_as_trace_cmds_are_unpacked_for_all_cpus_and_larger_ones_are_not() {
        let ten = vec![7; 10 * PAGE as usize];
        let file = packed(&[&ten, &ten[..100]]);
        let mut pages = source(&file, PAGE, super::super::MOST_CPUS);
        for _ in 0..10 {
            assert_eq!(pages.next().expect("it is whole").expect("a page"), ten[..PAGE as usize]);
        }
        assert_eq!(pages.next().expect("it is whole").expect("a short page"), ten[..100]);
        assert!(pages.next().expect("it is whole").is_none());
        // 10 of the largest pages that there are.
        let large = vec![0; 10 << 22];
        let file = packed(&[&large]);
        assert!(source(&file, 1 << 22, 1).next().expect("it is whole").is_some());
        for (page, cpus) in [(PAGE, 1), (1 << 22, 100)] {
            let mut pages = source(&file, page, cpus);
            let error = pages.next().expect_err("too large").to_string();
            assert!(error.contains("too many"), "{error}");
            assert!(pages.next().expect("nothing comes behind that").is_none());
        }
    }

    #[test]
    fn nothing_is_held_at_the_end() {
        let file = packed(&[&[1; 8192]]);
        // The last is cut off.
        for file in [&file[..], &file[..file.len() - 1]] {
            let mut pages = source(file, PAGE, 1);
            while let Ok(Some(_)) = pages.next() {
                assert!(pages.chunk.capacity() > 0);
            }
            assert_eq!(pages.chunk.capacity(), 0);
        }
    }

    /// Debian's trace-cmd packs with zstd only; one that was built with zlib packs with that.
    #[test]
    fn what_each_packs_is_unpacked_to_its_size_and_not_beyond() {
        let plain: Vec<u8> = (0..100_000u32).map(|i| (i / 100) as u8).collect();
        let mut zlib = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::default());
        zlib.write_all(&plain).unwrap();
        let packed =
            [(Packing::Zlib, zlib.finish().unwrap()), (Packing::Zstd, zstd::bulk::compress(&plain, 3).unwrap())];
        for (packing, bytes) in packed {
            let size = plain.len() as u64;
            assert_eq!(unpack(packing, &bytes, size, size).unwrap(), plain, "{packing:?}");
            for (bytes, size, limit) in [
                (&bytes[..], size, size - 1),
                (&bytes, size - 1, size),
                (&bytes, size + 1, size + 1),
                (&bytes[..9], size, size),
            ] {
                assert!(unpack(packing, bytes, size, limit).is_err(), "{packing:?}");
            }
        }
        assert!(unpack(Packing::None, &plain, 9, 9).is_err());
    }

    #[test]
    fn chunks_of_zlib_are_read_page_by_page() {
        let mut file = 2u32.to_le_bytes().to_vec();
        for pages in [3u8, 1] {
            let plain: Vec<u8> = (0..pages).flat_map(|page| [page + 10 * pages; 4096]).collect();
            let mut zlib = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::default());
            zlib.write_all(&plain).unwrap();
            let packed = zlib.finish().unwrap();
            file.extend((packed.len() as u32).to_le_bytes());
            file.extend((plain.len() as u32).to_le_bytes());
            file.extend(packed);
        }
        // The size does not count the number of chunks.
        let data = CpuData { cpu: 0, offset: 0, size: file.len() as u64 - 4 };
        let mut source = Source::new(Arc::new(Input::bytes(file)), data, PAGE, Packing::Zlib, 1);
        let mut pages = Vec::new();
        while let Some(page) = source.next().unwrap() {
            assert_eq!(page.len(), 4096);
            pages.push(page[0]);
        }
        assert_eq!(pages, [30, 31, 32, 10]);
    }
}
