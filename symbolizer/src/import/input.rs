// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! A file whose bytes are not trusted. In: a path, or bytes. Out: parts of it, none beyond its end and none larger than
//! was asked for; [`Cursor`] takes numbers and strings off such a part. Never here: what they mean.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::ImportError;

/// Largest part that is read at once.
const LARGEST: u64 = 256 << 20;

/// A file.
#[derive(Debug)]
pub struct Input {
    path: PathBuf,
    size: u64,
    content: Content,
}

#[derive(Debug)]
enum Content {
    File(File),
    Bytes(Vec<u8>),
}

impl Input {
    /// Opens it.
    ///
    /// # Errors
    /// I/O.
    pub fn open(path: &Path) -> Result<Input, ImportError> {
        let failed = |what| move |source| ImportError::Io { path: path.to_path_buf(), what, source };
        let file = File::open(path).map_err(failed("open it"))?;
        let size = file.metadata().map_err(failed("ask for its size"))?.len();
        Ok(Input { path: path.to_path_buf(), size, content: Content::File(file) })
    }

    /// Bytes in memory.
    pub fn bytes(bytes: Vec<u8>) -> Input {
        Input { path: PathBuf::from("(memory)"), size: bytes.len() as u64, content: Content::Bytes(bytes) }
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its size in bytes, when it was opened.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// All of `length` bytes at `offset`.
    ///
    /// # Errors
    /// [`ImportError::Damaged`] when they are not all in the file, or I/O.
    pub fn read(&self, offset: u64, length: u64) -> Result<Vec<u8>, ImportError> {
        let end = offset.checked_add(length).filter(|&end| end <= self.size && length <= LARGEST);
        if end.is_none() {
            let what = format!("{length} bytes should be there, the file has {}", self.size);
            return Err(ImportError::damaged(&self.path, offset, what));
        }
        match &self.content {
            Content::Bytes(bytes) => Ok(bytes[offset as usize..][..length as usize].to_vec()),
            Content::File(file) => {
                let mut bytes = vec![0; length as usize];
                file.read_exact_at(&mut bytes, offset).map_err(|source| ImportError::Io {
                    path: self.path.clone(),
                    what: "read it",
                    source,
                })?;
                Ok(bytes)
            }
        }
    }

    /// What there is of `length` bytes at `offset`.
    ///
    /// # Errors
    /// I/O.
    pub fn read_up_to(&self, offset: u64, length: u64) -> Result<Vec<u8>, ImportError> {
        self.read(offset.min(self.size), length.min(self.size.saturating_sub(offset)).min(LARGEST))
    }
}

/// Bytes of a file from an offset on; little-endian.
#[derive(Clone, Debug)]
pub struct Cursor<'a> {
    path: &'a Path,
    bytes: &'a [u8],
    /// Offset in the file of the first byte, for errors.
    start: u64,
    at: usize,
}

impl<'a> Cursor<'a> {
    /// Of bytes that stand at `start` in the file (where they come out of a compressed part: that part's offset).
    pub fn new(path: &'a Path, bytes: &'a [u8], start: u64) -> Cursor<'a> {
        Cursor { path, bytes, start, at: 0 }
    }

    /// Offset in the file of the next byte.
    pub fn offset(&self) -> u64 {
        self.start.saturating_add(self.at as u64)
    }

    /// Nothing is left.
    pub fn is_empty(&self) -> bool {
        self.at >= self.bytes.len()
    }

    /// So many bytes.
    ///
    /// # Errors
    /// [`ImportError::Damaged`] when there are fewer.
    pub fn take(&mut self, length: u64) -> Result<&'a [u8], ImportError> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let taken = usize::try_from(length).ok().and_then(|length| rest.get(..length));
        let Some(taken) = taken else {
            let what = format!("{length} bytes should be there, {} are", rest.len());
            return Err(ImportError::damaged(self.path, self.offset(), what));
        };
        self.at += taken.len();
        Ok(taken)
    }

    /// A number of `N` bytes.
    fn number<const N: usize>(&mut self) -> Result<[u8; N], ImportError> {
        let mut bytes = [0; N];
        bytes.copy_from_slice(self.take(N as u64)?);
        Ok(bytes)
    }

    /// # Errors
    /// As of [`Cursor::take`].
    pub fn byte(&mut self) -> Result<u8, ImportError> {
        self.number::<1>().map(u8::from_le_bytes)
    }

    /// # Errors
    /// As of [`Cursor::take`].
    pub fn u16(&mut self) -> Result<u16, ImportError> {
        self.number().map(u16::from_le_bytes)
    }

    /// # Errors
    /// As of [`Cursor::take`].
    pub fn u32(&mut self) -> Result<u32, ImportError> {
        self.number().map(u32::from_le_bytes)
    }

    /// # Errors
    /// As of [`Cursor::take`].
    pub fn u64(&mut self) -> Result<u64, ImportError> {
        self.number().map(u64::from_le_bytes)
    }

    /// Up to a zero byte, which is taken too.
    ///
    /// # Errors
    /// [`ImportError::Damaged`] when there is none.
    pub fn string(&mut self) -> Result<String, ImportError> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let Some(length) = rest.iter().position(|&byte| byte == 0) else {
            return Err(ImportError::damaged(self.path, self.offset(), "a string without an end"));
        };
        self.at += length + 1;
        Ok(String::from_utf8_lossy(&rest[..length]).into_owned())
    }
}

/// A little-endian number of 1, 2, 4 or 8 bytes at `offset` of `bytes`, its sign extended if it has one.
pub fn number(bytes: &[u8], offset: usize, size: usize, signed: bool) -> Option<u64> {
    let field = bytes.get(offset..offset.checked_add(size)?)?;
    let mut all = [0; 8];
    all.get_mut(..size)?.copy_from_slice(field);
    let value = u64::from_le_bytes(all);
    let above = 64 - 8 * size as u32;
    match size {
        0 => None,
        _ if signed => Some((((value << above) as i64) >> above) as u64),
        _ => Some(value),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_read_beyond_the_end() {
        let input = Input::bytes(vec![1, 2, 3, 4]);
        assert_eq!(input.read(1, 3).expect("it is there"), [2, 3, 4]);
        for (offset, length) in [(1, 4), (4, 1), (u64::MAX, 2), (0, u64::MAX)] {
            assert!(matches!(input.read(offset, length), Err(ImportError::Damaged { .. })));
        }
        assert_eq!(input.read_up_to(2, 100).expect("it is there"), [3, 4]);
        assert!(input.read_up_to(9, 100).expect("nothing").is_empty());
    }

    #[test]
    fn numbers_have_their_sign() {
        let bytes = [0xff, 0xfe, 0xff, 0x7f];
        assert_eq!(number(&bytes, 0, 1, true), Some(u64::MAX));
        assert_eq!(number(&bytes, 0, 2, false), Some(0xfeff));
        assert_eq!(number(&bytes, 0, 4, true), Some(0x7fff_feff));
        assert_eq!(number(&bytes, 2, 4, true), None);
        assert_eq!(number(&bytes, usize::MAX, 4, true), None);
        assert_eq!(number(&bytes, 0, 0, true), None);
    }

    #[test]
    fn a_cursor_says_where_it_stopped() {
        let mut cursor = Cursor::new(Path::new("x"), b"ab\0\x01\x02", 100);
        assert_eq!(cursor.string().expect("a string"), "ab");
        let error = cursor.u32().expect_err("two bytes are left").to_string();
        assert!(error.contains("0x67") && error.contains("4 bytes"), "{error}");
        assert_eq!(cursor.u16().expect("two bytes"), 0x0201);
        assert!(cursor.is_empty());
    }
}
