// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! Where the fields of a tracepoint's record are. In: the text of its `format` file in tracefs. Out: its number, offsets
//! and sizes: they differ between kernels. Never here: files, what a field means.

/// A field of a record, little-endian.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field {
    offset: usize,
    size: usize,
}

impl Field {
    /// Bytes before it.
    pub fn offset(self) -> usize {
        self.offset
    }

    /// Its bytes, 1 to 8.
    pub fn size(self) -> usize {
        self.size
    }

    /// Its value, if the record is long enough.
    pub fn read(self, record: &[u8]) -> Option<u64> {
        let bytes = record.get(self.offset..self.offset.checked_add(self.size)?)?;
        let mut value = [0; 8];
        value.get_mut(..bytes.len())?.copy_from_slice(bytes);
        Some(u64::from_le_bytes(value))
    }
}

/// What a `format` file says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Format {
    /// `ID:`, which stands in each record as common_type.
    pub id: u64,
    fields: Vec<(String, Field)>,
}

impl Format {
    /// Of the file's text.
    ///
    /// # Errors
    /// What is missing or cannot be understood.
    pub fn read(text: &str) -> Result<Format, String> {
        let id = text.lines().find_map(|line| line.strip_prefix("ID:")?.trim().parse().ok());
        let id = id.ok_or("there is no line `ID: NUMBER`")?;
        let fields: Vec<_> = text.lines().filter_map(field).collect();
        if fields.is_empty() {
            return Err("it has no fields".into());
        }
        Ok(Format { id, fields })
    }

    /// A field by its name.
    pub fn find(&self, name: &str) -> Option<Field> {
        self.fields.iter().find(|(known, _)| known == name).map(|&(_, field)| field)
    }

    /// The same, of one that must be there.
    ///
    /// # Errors
    /// With its name.
    pub fn must(&self, name: &str) -> Result<Field, String> {
        self.find(name).ok_or_else(|| format!("it has no field {name}"))
    }
}

/// `field:unsigned int vcpu_id; offset:8; size:4; signed:0;`, with tabs between.
fn field(line: &str) -> Option<(String, Field)> {
    let mut parts = line.trim().split(';').map(str::trim);
    let name = parts.next()?.strip_prefix("field:")?.split_whitespace().next_back()?;
    let name = name.trim_start_matches('*').split('[').next()?.to_owned();
    let (mut offset, mut size) = (None, None);
    for part in parts {
        match part.split_once(':') {
            Some(("offset", number)) => offset = number.parse().ok(),
            Some(("size", number)) => size = number.parse().ok(),
            _ => {}
        }
    }
    // Strings and arrays are no numbers.
    let field = Field { offset: offset?, size: size.filter(|size| (1..=8).contains(size))? };
    Some((name, field))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Of Debian's 6.1.192.
    pub const ENTRY: &str = "name: kvm_entry\nID: 1482\nformat:\n\
        \tfield:unsigned short common_type;\toffset:0;\tsize:2;\tsigned:0;\n\
        \tfield:int common_pid;\toffset:4;\tsize:4;\tsigned:1;\n\n\
        \tfield:unsigned int vcpu_id;\toffset:8;\tsize:4;\tsigned:0;\n\
        \tfield:unsigned long rip;\toffset:16;\tsize:8;\tsigned:0;\n\
        \tfield:char comm[16];\toffset:24;\tsize:16;\tsigned:0;\n\n\
        print fmt: \"vcpu %u, rip 0x%lx%s\", REC->vcpu_id\n";

    #[test]
    fn fields_are_found_where_the_kernel_says() {
        let format = Format::read(ENTRY).unwrap();
        assert_eq!(format.id, 1482);
        let record: Vec<u8> = (0..40).collect();
        let value = |name| format.find(name).and_then(|field| field.read(&record));
        assert_eq!(value("vcpu_id"), Some(0x0b0a_0908));
        assert_eq!(value("rip"), Some(0x1716_1514_1312_1110));
        assert_eq!(value("common_type"), Some(0x0100));
        assert_eq!((value("comm"), value("other")), (None, None), "no numbers");
        assert_eq!(format.must("rip").unwrap().read(&record[..20]), None, "cut off");
        assert!(format.must("reason").unwrap_err().contains("reason"));
    }

    #[test]
    fn other_text_is_refused() {
        for text in ["", "ID: x\n", "ID: 3\n", "ID: 3\n\tfield:int a;\toffset:-1;\tsize:4;\n"] {
            assert!(Format::read(text).is_err(), "{text:?}");
        }
        let huge = Format::read("ID: 3\n\tfield:int a;\toffset:18446744073709551615;\tsize:8;\n").unwrap();
        assert_eq!(huge.must("a").unwrap().read(&[0; 64]), None);
    }
}
