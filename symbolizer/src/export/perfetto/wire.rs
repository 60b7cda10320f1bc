// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! Protobuf on the wire: fields of a message, appended to bytes. In: field numbers and values. Out: bytes.
//! Never here: which messages there are.

/// A field's kind, in the lower bits of its tag.
const VARINT: u64 = 0;
const BYTES: u64 = 2;

/// Appends an integer in groups of 7 bits.
#[inline]
pub fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Appends an integer field.
#[inline]
pub fn integer(out: &mut Vec<u8>, field: u32, value: u64) {
    varint(out, u64::from(field) << 3 | VARINT);
    varint(out, value);
}

/// Appends a text field.
pub fn text(out: &mut Vec<u8>, field: u32, value: &str) {
    bytes(out, field, value.as_bytes());
}

/// Appends a field of bytes, or of a message that is encoded already.
#[inline]
pub fn bytes(out: &mut Vec<u8>, field: u32, value: &[u8]) {
    varint(out, u64::from(field) << 3 | BYTES);
    varint(out, value.len() as u64);
    out.extend_from_slice(value);
}

/// Appends a message that `fields` fills.
pub fn message(out: &mut Vec<u8>, field: u32, fields: impl FnOnce(&mut Vec<u8>)) {
    let mut inner = Vec::new();
    fields(&mut inner);
    bytes(out, field, &inner);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_as_protobuf_documents_them() {
        let mut out = Vec::new();
        integer(&mut out, 1, 150);
        text(&mut out, 2, "testing");
        message(&mut out, 3, |inner| integer(inner, 1, 150));
        assert_eq!(out, *b"\x08\x96\x01\x12\x07testing\x1a\x03\x08\x96\x01");
        let mut largest = Vec::new();
        varint(&mut largest, u64::MAX);
        assert_eq!(largest.len(), 10);
    }
}
