// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! Files with checksums. In: a reader, and who makes checksums right. Out: two readings, so that damage comes through to
//! what lies behind them. Never here: where a file has its checksums.

/// Reads `data` as it is, and once more repaired, if that changes anything.
pub fn twice(data: &[u8], repair: impl Fn(&mut [u8]) -> bool, read: impl Fn(&[u8])) {
    read(data);
    let mut repaired = data.to_vec();
    if repair(&mut repaired) {
        read(&repaired);
    }
}
