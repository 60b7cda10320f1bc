// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! Numbers of any size in few bytes: seven bits a byte, lowest first. In and out: numbers and bytes. Never here:
//! what they count.

/// Appends a number, seven bits a byte, lowest first.
pub fn put_number(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Takes what [`put_number`] wrote off the front of `bytes`.
pub fn take_number(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0u64;
    for shift in (0..64).step_by(7) {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}
