// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! The `symbolize` command from outside: traces and kernels made on the spot, output compared.

#[path = "integration/errors.rs"]
mod errors;
#[path = "integration/fixture.rs"]
mod fixture;
#[path = "integration/filters.rs"]
mod filters;
#[path = "integration/llvm.rs"]
mod llvm;
#[path = "integration/report.rs"]
mod report;
