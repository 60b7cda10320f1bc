// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! `symbolize explore TRACE VMLINUX`: the terminal of the explorer. In: arguments, keys, signals. Out: a screen that
//! is as before when it ends, whatever ends it. Never here: what is on the screen ([`symbolizer::explore`]).

use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::thread;

use anyhow::Context;
use crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers, MouseButton, MouseEventKind};
use crossterm::{cursor, execute, terminal};
use ratatui::Terminal;
use ratatui::backend::CrosstermBackend;
use ratatui::layout::Rect;
use signal_hook::consts::{SIGCONT, SIGHUP, SIGINT, SIGQUIT, SIGSTOP, SIGTERM, SIGTSTP};
use signal_hook::iterator::Signals;
use signal_hook::low_level;
use symbolizer::calltree::contexts::{Contexts, Grouping};
use symbolizer::calltree::{Filter, Site};
use symbolizer::explore::{Data, Input, Key, Palette, State, draw};
use symbolizer::report::model::Sort;

use super::analysis;
use super::filters::Filters;
use super::phases::Phases;
use super::source::Source;

/// Lines that a step of the wheel moves.
const WHEEL: isize = 3;

/// Arguments of `symbolize explore`.
#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(flatten)]
    source: Source,
    /// The kernel's source tree: shows the lines of the selected function
    #[arg(long = "source", value_name = "DIR")]
    tree: Option<PathBuf>,
    /// Leave the mouse to the terminal
    #[arg(long)]
    no_mouse: bool,
    /// Print the time that each phase takes to standard error
    #[arg(long)]
    timings: bool,
    #[command(flatten)]
    filters: Filters,
}

/// Runs it; the exit code.
pub fn run(args: &Args) -> anyhow::Result<u8> {
    check_terminal()?;
    if let Some(tree) = &args.tree {
        anyhow::ensure!(tree.is_dir(), "{}: no directory; --source wants the kernel's source tree", tree.display());
    }
    let mut phases = Phases::new(args.timings);
    let vmlinux = args.source.vmlinux()?;
    let mut opened = args.source.open(&vmlinux, &mut phases)?;
    let wanted = opened.wanted(&args.filters, &mut phases)?;
    let opened = &opened;
    let name_of = |site: Site<'_>| opened.names.quick(site).name;
    let filter = || Filter::new(wanted.clone(), &name_of);
    let grouping = Grouping { phases: true, tasks: true };
    let mut contexts = Contexts::new(filter(), opened.timeline.clone(), grouping);
    let analysis = analysis::run(opened, filter(), &mut contexts, &mut phases);
    let merged = contexts.finish();
    let named = analysis.named(opened, &mut phases)?;
    let filtered = args.filters.words(opened.clock)?;
    let report = analysis.report(opened, named.clone(), Sort::Own, filtered);
    let data = Data::new(&report, &named, &merged, args.tree.clone());
    let mut state = State::new(&data);
    phases.done("sum up");
    phases.finish();
    walk(&mut state, !args.no_mouse)
}

/// It takes keys from standard input, and draws on standard output.
fn check_terminal() -> anyhow::Result<()> {
    let dumb = std::env::var_os("TERM").is_none_or(|term| term.is_empty() || term == "dumb");
    if io::stdin().is_terminal() && io::stdout().is_terminal() && !dumb {
        return Ok(());
    }
    anyhow::bail!(
        "explore needs a terminal that can move its cursor; without one there is the report: `symbolize TRACE \
         VMLINUX` prints it, --by level or initcall parts of it, --format json or tree the data"
    )
}

/// Something to react to.
enum Happened {
    Terminal(io::Result<Event>),
    Signal(i32),
}

/// Keys in, screens out, until the end; the exit code.
fn walk(state: &mut State<'_>, mouse: bool) -> anyhow::Result<u8> {
    let palette = Palette { colours: anstream::AutoStream::choice(&io::stdout()) != anstream::ColorChoice::Never };
    let (sender, happens) = mpsc::channel();
    let mut signals =
        Signals::new([SIGINT, SIGTERM, SIGQUIT, SIGHUP, SIGTSTP, SIGCONT]).context("cannot wait for signals")?;
    let of_signals = sender.clone();
    thread::spawn(move || signals.forever().all(|signal| of_signals.send(Happened::Signal(signal)).is_ok()));
    let mut screen = Screen::open(mouse)?;
    thread::spawn(move || {
        loop {
            let read = event::read();
            let failed = read.is_err();
            if sender.send(Happened::Terminal(read)).is_err() || failed {
                break;
            }
        }
    });
    screen.draw(state, palette)?;
    while !state.quit {
        let mut next = happens.recv().context("the terminal is gone")?;
        // What came together is drawn once: a screen may take longer than a key repeats.
        loop {
            match next {
                Happened::Signal(SIGCONT) => screen.again()?,
                Happened::Signal(SIGTSTP) => screen.stop()?,
                Happened::Signal(signal) => {
                    drop(screen);
                    low_level::emulate_default_handler(signal)?;
                    return Ok(2);
                }
                Happened::Terminal(event) => match event.context("cannot read from the terminal")? {
                    Event::Key(key) if key.code == KeyCode::Char('z') && key.modifiers == KeyModifiers::CONTROL => {
                        screen.stop()?;
                    }
                    Event::Key(key) if key.modifiers == KeyModifiers::CONTROL && key.code == KeyCode::Char('l') => {
                        screen.clear()?;
                    }
                    event => input(&event).into_iter().for_each(|input| state.take(input)),
                },
            }
            match happens.try_recv() {
                Ok(another) if !state.quit => next = another,
                _ => break,
            }
        }
        screen.draw(state, palette)?;
    }
    drop(screen);
    Ok(0)
}

/// What the explorer makes of an event.
fn input(event: &Event) -> Option<Input> {
    match event {
        Event::Key(KeyEvent { kind: KeyEventKind::Release, .. }) => None,
        Event::Key(key) => Some(Input::Key(match key.code {
            KeyCode::Char(c) if key.modifiers.contains(KeyModifiers::CONTROL) => Key::Ctrl(c),
            KeyCode::Char(c) if !key.modifiers.contains(KeyModifiers::ALT) => Key::Char(c),
            KeyCode::F(1) => Key::Char('?'),
            KeyCode::Enter => Key::Enter,
            KeyCode::Esc => Key::Esc,
            KeyCode::Tab => Key::Tab,
            KeyCode::BackTab => Key::BackTab,
            KeyCode::Backspace => Key::Backspace,
            KeyCode::Up => Key::Up,
            KeyCode::Down => Key::Down,
            KeyCode::Left => Key::Left,
            KeyCode::Right => Key::Right,
            KeyCode::PageUp => Key::PageUp,
            KeyCode::PageDown => Key::PageDown,
            KeyCode::Home => Key::Home,
            KeyCode::End => Key::End,
            _ => return None,
        })),
        Event::Mouse(mouse) => match mouse.kind {
            MouseEventKind::Down(MouseButton::Left) => Some(Input::Click(mouse.column, mouse.row)),
            MouseEventKind::ScrollDown => Some(Input::Wheel(mouse.column, mouse.row, WHEEL)),
            MouseEventKind::ScrollUp => Some(Input::Wheel(mouse.column, mouse.row, -WHEEL)),
            _ => None,
        },
        Event::Resize(..) | Event::FocusGained | Event::FocusLost | Event::Paste(_) => None,
    }
}

/// Whether the terminal is ours now; a panic hook must know it too.
static OURS: AtomicBool = AtomicBool::new(false);

/// The terminal while it is ours.
struct Screen {
    terminal: Terminal<CrosstermBackend<io::Stdout>>,
    mouse: bool,
}

impl Screen {
    /// Takes the terminal.
    fn open(mouse: bool) -> anyhow::Result<Screen> {
        // Whatever a panic says would be lost on a screen that goes away.
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            give_back();
            before(info);
        }));
        let terminal = Terminal::new(CrosstermBackend::new(io::stdout()))?;
        let mut screen = Screen { terminal, mouse };
        screen.take()?;
        Ok(screen)
    }

    fn take(&mut self) -> anyhow::Result<()> {
        OURS.store(true, Ordering::SeqCst);
        terminal::enable_raw_mode().context("cannot use the terminal")?;
        execute!(io::stdout(), terminal::EnterAlternateScreen, cursor::Hide)?;
        if self.mouse {
            execute!(io::stdout(), event::EnableMouseCapture)?;
        }
        self.clear()
    }

    /// After a stop: takes it again.
    fn again(&mut self) -> anyhow::Result<()> {
        if OURS.load(Ordering::SeqCst) { self.clear() } else { self.take() }
    }

    /// Empties the screen: the next one is drawn as a whole. ([`Terminal::clear`] would ask the terminal where its
    /// cursor is, and the thread that reads keys would get the answer.)
    fn clear(&mut self) -> anyhow::Result<()> {
        let size = self.terminal.size()?;
        Ok(self.terminal.resize(Rect { x: 0, y: 0, width: size.width, height: size.height })?)
    }

    /// Gives it back, and stops until somebody says to go on.
    fn stop(&mut self) -> anyhow::Result<()> {
        give_back();
        Ok(low_level::raise(SIGSTOP)?)
    }

    fn draw(&mut self, state: &mut State<'_>, palette: Palette) -> anyhow::Result<()> {
        self.terminal.draw(|frame| {
            if let Some(cursor) = draw(state, frame.buffer_mut(), palette) {
                frame.set_cursor_position(cursor);
            }
        })?;
        Ok(())
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        give_back();
    }
}

/// Makes the terminal as it was. Nothing can be done about errors here: the terminal may be gone.
fn give_back() {
    if OURS.swap(false, Ordering::SeqCst) {
        let mut out = io::stdout();
        let _ = execute!(out, event::DisableMouseCapture, terminal::LeaveAlternateScreen, cursor::Show);
        let _ = out.flush();
        let _ = terminal::disable_raw_mode();
    }
}
