// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! What a refusal looks like: exit code 2, a message that names the matter, and no panic. In: a
//! command. Out: a failed assertion, or the message. Never here: the cases.

use std::path::Path;
use std::process::Command;

use crate::boots::{bounded, setup};

/// Runs `command`, which must refuse; `about` are words of its message, case not minded, where `a|b`
/// wants either.
pub fn refused(command: &Command, about: &[&str]) -> String {
    // What should have been refused may instead boot a kernel that never ends.
    let output = bounded(command).output().expect("the command runs");
    let message = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{command:?}\n{message}");
    assert!(!message.contains("panicked"), "{command:?}\n{message}");
    let lower = message.to_lowercase();
    for words in about {
        let named = words.split('|').any(|word| lower.contains(&word.to_lowercase()));
        assert!(named, "the message does not speak of {words}:\n{message}\n{command:?}");
    }
    message
}

/// `symbolize record` of an image, with a QEMU that must not be started.
pub fn record_of(image: &Path, trace: &Path) -> Command {
    let mut command = Command::new(&setup().symbolize);
    command.arg("record").arg("--vmlinux").arg(image).arg("-o").arg(trace);
    command.args(["--", "qemu-system-x86_64", "-M", "q35", "-m", "512M", "-nodefaults", "-display", "none"]);
    command
}
