// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! LTTng's traces.
use super::*;
pub(super) fn open(path: &Path) -> Result<Opened, ImportError> {
    Err(ImportError::NotOurs { path: path.to_path_buf() })
}
