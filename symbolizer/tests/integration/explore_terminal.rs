// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! `symbolize explore` in a pseudo-terminal, whose other end a terminal emulator reads: what a user sees and types, and
//! that the terminal is as before, whatever ends the command.

use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Termios, Winsize, tcgetattr, tcsetwinsize};

use super::fixture::{Fixture, symbolize};

/// How long to wait for what must come.
const PATIENCE: Duration = Duration::from_secs(60);

/// A terminal in which the command runs.
struct Terminal {
    master: File,
    slave: File,
    before: Termios,
    child: Child,
    emulator: Arc<Mutex<vt100::Parser>>,
}

impl Terminal {
    /// Starts it on a small boot; with these variables in its environment.
    fn start(fixture: &Fixture, environment: &[(&str, &str)]) -> Terminal {
        let trace = fixture.boot();
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        let name = ptsname(&master, Vec::new()).unwrap().into_string().unwrap();
        let slave = File::options().read(true).write(true).open(name).unwrap();
        let size = Winsize { ws_row: 24, ws_col: 80, ws_xpixel: 0, ws_ypixel: 0 };
        tcsetwinsize(&slave, size).unwrap();
        let before = tcgetattr(&slave).unwrap();
        let end = || Stdio::from(slave.try_clone().unwrap());
        // setsid gives it the terminal as a shell would.
        let child = Command::new("setsid")
            .arg("--ctty")
            .arg(env!("CARGO_BIN_EXE_symbolize"))
            .arg("explore")
            .args([&trace, &fixture.vmlinux])
            .env("TERM", "xterm-256color")
            .env_remove("NO_COLOR")
            .envs(environment.iter().copied())
            .stdin(end())
            .stdout(end())
            .stderr(end())
            .spawn()
            .expect("setsid is needed for this test");
        let emulator = Arc::new(Mutex::new(vt100::Parser::new(24, 80, 0)));
        let master = File::from(master);
        let (mut from, to) = (master.try_clone().unwrap(), Arc::clone(&emulator));
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(count @ 1..) = from.read(&mut bytes) {
                to.lock().unwrap().process(&bytes[..count]);
            }
        });
        Terminal { master, slave, before, child, emulator }
    }

    fn look<R>(&self, what: impl FnOnce(&vt100::Screen) -> R) -> R {
        what(self.emulator.lock().unwrap().screen())
    }

    /// Waits until the screen is so.
    fn wait(&self, what: &str, is_so: impl Fn(&vt100::Screen) -> bool) {
        let begin = Instant::now();
        while !self.look(&is_so) {
            assert!(begin.elapsed() < PATIENCE, "{what} never came: {}", self.look(|screen| screen.contents()));
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    fn wait_for(&self, text: &str) {
        self.wait(text, |screen| screen.contents().contains(text));
    }

    fn press(&mut self, keys: &str) {
        self.master.write_all(keys.as_bytes()).unwrap();
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Waits for its end; the terminal must be as before.
    fn end(&mut self) -> ExitStatus {
        let begin = Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            assert!(begin.elapsed() < PATIENCE, "it does not end: {}", self.look(|screen| screen.contents()));
            std::thread::sleep(Duration::from_millis(10));
        };
        self.wait("the screen of before", is_given_back);
        let after = tcgetattr(&self.slave).unwrap();
        assert_eq!(format!("{after:?}"), format!("{:?}", self.before), "modes of the terminal");
        status
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn is_given_back(screen: &vt100::Screen) -> bool {
    !screen.alternate_screen()
        && !screen.hide_cursor()
        && screen.mouse_protocol_mode() == vt100::MouseProtocolMode::None
}

#[test]
fn it_starts_moves_searches_opens_resizes_and_quits() {
    let fixture = Fixture::new();
    let mut terminal = Terminal::start(&fixture, &[]);
    terminal.wait_for("[1 Overview]");
    assert!(terminal.look(|screen| screen.alternate_screen() && screen.hide_cursor()), "it has a screen of its own");
    terminal.press("4");
    terminal.wait_for("[4 Functions]");
    terminal.press("/acpi");
    terminal.wait("the match", |screen| {
        screen.contents().lines().any(|line| line.starts_with('>') && line.contains("acpi_early_init"))
    });
    terminal.wait("a cursor where one types", |screen| !screen.hide_cursor());
    terminal.press("\r\r");
    terminal.wait_for("drivers/acpi/osl.c:1");
    // The cursor keys and the wheel, as a terminal sends them.
    terminal.press("q\x1b[H");
    terminal.press("5\x1b[B");
    terminal.wait("the second task", |screen| {
        screen.contents().lines().any(|line| line.starts_with('>') && line.contains("swapper/1 (booting)"))
    });
    terminal.press("\x1b[<64;5;5M");
    tcsetwinsize(&terminal.slave, Winsize { ws_row: 10, ws_col: 40, ws_xpixel: 0, ws_ypixel: 0 }).unwrap();
    terminal.emulator.lock().unwrap().screen_mut().set_size(10, 40);
    terminal.wait("the narrow line of views", |screen| screen.contents().starts_with(" 1  2  3  4 [5 Tasks]"));
    terminal.press("?");
    terminal.wait_for("Keys");
    terminal.press("qq");
    assert_eq!(terminal.end().code(), Some(0));
}

#[test]
fn signals_and_keys_that_end_it_leave_the_terminal_as_before() {
    let fixture = Fixture::new();
    for signal in [Signal::TERM, Signal::INT, Signal::HUP] {
        let mut terminal = Terminal::start(&fixture, &[]);
        terminal.wait_for("[1 Overview]");
        terminal.signal(signal);
        assert_eq!(terminal.end().signal(), Some(signal.as_raw()), "others see what ended it");
    }
    let mut terminal = Terminal::start(&fixture, &[]);
    terminal.wait_for("[1 Overview]");
    terminal.press("\x03");
    assert_eq!(terminal.end().code(), Some(0));
}

#[test]
fn it_stops_and_goes_on() {
    let fixture = Fixture::new();
    let mut terminal = Terminal::start(&fixture, &[]);
    terminal.wait_for("[1 Overview]");
    terminal.press("3\x1a");
    terminal.wait("the screen of before", is_given_back);
    terminal.signal(Signal::CONT);
    terminal.wait_for("[3 Call tree]");
    terminal.press("q");
    assert_eq!(terminal.end().code(), Some(0));
}

#[test]
fn no_color_is_heard() {
    let fixture = Fixture::new();
    let colours = |screen: &vt100::Screen| {
        let cells = (0..24).flat_map(|row| (0..80).map(move |column| (row, column)));
        let colour = |(row, column)| screen.cell(row, column).map(|cell| (cell.fgcolor(), cell.bgcolor()));
        cells.filter_map(colour).any(|colours| colours != (vt100::Color::Default, vt100::Color::Default))
    };
    for (environment, wanted) in [(&[][..], true), (&[("NO_COLOR", "1")][..], false)] {
        let mut terminal = Terminal::start(&fixture, environment);
        terminal.wait_for("? help");
        assert_eq!(terminal.look(colours), wanted, "{environment:?}");
        terminal.press("q");
        assert_eq!(terminal.end().code(), Some(0));
    }
}

#[test]
fn without_a_terminal_it_says_what_to_use_instead() {
    let fixture = Fixture::new();
    let trace = fixture.boot();
    let output = symbolize(["explore".as_ref(), trace.as_os_str(), fixture.vmlinux.as_os_str()]);
    assert_eq!(output.status.code(), Some(2));
    let message = String::from_utf8(output.stderr).unwrap();
    assert!(message.contains("needs a terminal") && message.contains("symbolize TRACE VMLINUX"), "{message}");
    let mut dumb = Terminal::start(&fixture, &[("TERM", "dumb")]);
    assert_eq!(dumb.end().code(), Some(2));
}
