// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! The search by `git bisect`, which is right where history branches and merges. In: a repository, two revisions.
//! Out: the next commit, checked out. Never here: verdicts.
//!
//! It works in a worktree of its own in the bisection's directory, whose bisect state is its own too: the user's
//! checkout is never touched, may have changes, can be worked in meanwhile, and is as it was even after a `kill -9`.
//! Those whose build needs files that git does not know work in their checkout itself ([`Place::Here`]).

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use super::BisectError;
use super::build::Builder;
use super::child::Hands;
use super::search::{Candidate, Made, Mark, Next, Search, steps};
use crate::report::style::printable;

/// Where commits are checked out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// In a worktree at this path.
    Own(PathBuf),
    /// In the user's checkout.
    Here,
}

/// See the head of this file.
pub struct Git {
    /// The user's checkout, or a bare repository.
    tree: PathBuf,
    /// Where commits are checked out.
    checkout: PathBuf,
    place: Place,
    builder: Builder,
    good: Candidate,
    bad: Candidate,
    /// Where the log of `git bisect` is kept.
    log: PathBuf,
    /// Where the user's checkout was, if we work in it: the file is there from begin to end.
    was_at: PathBuf,
}

impl Git {
    /// Between two revisions. `log` gets git's own log.
    ///
    /// # Errors
    /// When there is no such repository or revision, or the good one is not before the bad one.
    pub fn new(
        tree: &Path,
        (good, bad): (&str, &str),
        place: Place,
        builder: Builder,
        log: &Path,
    ) -> Result<Git, BisectError> {
        let git = |words: &[&str]| call(tree, words);
        git(&["rev-parse", "--git-dir"])?;
        let resolve = |rev: &str| -> Result<Candidate, BisectError> {
            let id = git(&["rev-parse", "--verify", "--quiet", "--end-of-options", &format!("{rev}^{{commit}}")])
                .map_err(|_| BisectError::Range(format!("{}: no revision {} here", tree.display(), printable(rev))))?;
            let title = git(&["log", "-1", "--format=%s", &id])?;
            Ok(Candidate { id, title: printable(&title) })
        };
        let (good, bad) = (resolve(good)?, resolve(bad)?);
        let range = git(&["rev-list", "--count", &bad.id, "--not", &good.id])?;
        if range == "0" {
            let why = if good.id == bad.id { "are one commit" } else { "are the other way round: bad is before good" };
            return Err(BisectError::Range(format!("--good {} and --bad {} {why}", good.short(), bad.short())));
        }
        let checkout = match &place {
            Place::Own(path) => path.clone(),
            Place::Here => tree.to_owned(),
        };
        if let Place::Own(path) = &place
            && let (Ok(path), Ok(tree)) = (path.canonicalize(), tree.canonicalize())
            && path == tree
        {
            let text = "commits would be checked out in the repository itself; name another directory with --work";
            return Err(BisectError::Range(format!("{}: {text}", tree.display())));
        }
        let was_at = log.with_file_name("checkout-was-at");
        Ok(Git { tree: tree.to_owned(), checkout, place, builder, good, bad, log: log.to_owned(), was_at })
    }

    fn git(&self, words: &[&str]) -> Result<String, BisectError> {
        call(&self.checkout, words)
    }

    /// The checkout is there and may be worked in.
    fn prepare(&self) -> Result<(), BisectError> {
        match &self.place {
            Place::Own(path) => self.prepare_own(path),
            Place::Here => self.prepare_here(),
        }
    }

    /// The user's checkout: only without changes, and where it was is noted.
    fn prepare_here(&self) -> Result<(), BisectError> {
        let refuse = |text: &str| Err(BisectError::Range(format!("{}: {text}", self.tree.display())));
        if self.was_at.exists() && self.was()?.is_none() {
            let text = "says where another checkout was, which is still to go back there; name another --work";
            return Err(BisectError::Range(format!("{}: {text}", self.was_at.display())));
        }
        if self.git_path("BISECT_START")?.exists() && !(self.was_at.exists() && self.bisects_ours()) {
            return refuse(
                "a bisection is under way in this checkout; end it (git bisect reset), or work without --in-place",
            );
        }
        let changed = self.git(&["status", "--porcelain", "--untracked-files=no"])?;
        if let Some(first) = changed.lines().next() {
            let text = "has changes that are not committed";
            let more = "commit or stash them, or work without --in-place";
            return refuse(&format!("{text} ({}); {more}", printable(first)));
        }
        if self.was_at.exists() {
            return Ok(());
        }
        let branch = self.git(&["symbolic-ref", "--quiet", "--short", "HEAD"]);
        let at = branch.or_else(|_| self.git(&["rev-parse", "HEAD"]))?;
        super::work::write(&self.was_at, format!("{at}\n{}\n", self.tree.display()).as_bytes())
    }

    /// Where the user's checkout was before us, if that was noted and of this one.
    fn was(&self) -> Result<Option<String>, BisectError> {
        let text = match std::fs::read_to_string(&self.was_at) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            other => other.map_err(BisectError::io("read", &self.was_at))?,
        };
        let (at, tree) = text.split_once('\n').unwrap_or((&text, ""));
        Ok((Path::new(tree.trim_end_matches('\n')) == self.tree).then(|| at.to_owned()))
    }

    /// Whether the bisection that is under way in the checkout has our ends, and was begun as we do.
    fn bisects_ours(&self) -> bool {
        let Ok(log) = self.git(&["bisect", "log"]) else { return false };
        let said = log.lines().filter(|line| !line.starts_with('#')).map(str::trim_end);
        let ours = ["git bisect start", &format!("git bisect bad {}", self.bad.id)].map(str::to_owned);
        said.zip(ours.iter().chain([&format!("git bisect good {}", self.good.id)])).all(|(said, ours)| said == ours)
    }

    /// A worktree at this path: the one that is there, if it is ours, or a new one.
    fn prepare_own(&self, path: &Path) -> Result<(), BisectError> {
        if path.symlink_metadata().is_ok() {
            if self.owns(path) {
                // Nobody else works there: a lock is of one that was killed.
                let _ = std::fs::remove_file(self.git_path("index.lock")?);
                return self.git(&["reset", "--hard", "--quiet"]).map(drop);
            }
            self.clear_half_made(path)?;
        }
        let marker = marker(path);
        super::work::write(&marker, b"The directory tree beside this file was made by symbolize bisect.\n")?;
        let to = path.to_str().ok_or_else(|| BisectError::Range(format!("{}: not UTF-8", path.display())))?;
        // Twice forced: also if git still has it in its list, as missing, or as locked, which it is while it is being
        // made. Never prune: there may be worktrees of the user on a disk that is not here now.
        let add = ["worktree", "add", "--force", "--force", "--detach", "--no-checkout", "--quiet", to, &self.good.id];
        call(&self.tree, &add)?;
        self.git(&["reset", "--hard", "--quiet"]).map(drop)
    }

    /// Whether this is a worktree that we have made, of the user's repository, and whole.
    fn owns(&self, path: &Path) -> bool {
        let common = |tree: &Path| {
            let dir = call(tree, &["rev-parse", "--git-common-dir"]).ok()?;
            tree.join(dir).canonicalize().ok()
        };
        // Without a .git of its own it may lie in a repository of the user, which git would find.
        let whole = marker(path).is_file() && !path.is_symlink() && path.join(".git").is_file();
        whole && call(path, &["rev-parse", "--verify", "HEAD"]).is_ok() && {
            let ours = common(&self.tree);
            ours.is_some() && common(path) == ours
        }
    }

    /// Removes what one that was killed has left half made, and nothing else.
    fn clear_half_made(&self, path: &Path) -> Result<(), BisectError> {
        let foreign = || {
            let text = "this is not a worktree that bisect has made of";
            let more = "move it away, or name another directory with --work";
            BisectError::Range(format!("{}: {text} {}; {more}", path.display(), self.tree.display()))
        };
        if !marker(path).is_file() || path.is_symlink() || !path.is_dir() {
            return Err(foreign());
        }
        // Nothing is checked out before it is whole: there is no more than this file.
        let link = path.join(".git");
        if let Ok(text) = std::fs::read_to_string(&link) {
            let common = call(&self.tree, &["rev-parse", "--git-common-dir"])?;
            let common = self.tree.join(common);
            let common = common.canonicalize().map_err(BisectError::io("find", &common))?;
            let of = Path::new(text.strip_prefix("gitdir: ").unwrap_or_default().trim_end());
            if of.parent() != Some(&common.join("worktrees")) {
                return Err(foreign());
            }
            if std::fs::read_dir(path).map_err(BisectError::io("read", path))?.count() > 1 {
                return Err(foreign());
            }
            std::fs::remove_file(&link).map_err(BisectError::io("remove", &link))?;
        }
        std::fs::remove_dir(path).map_err(|_| foreign())
    }

    fn git_path(&self, name: &str) -> Result<PathBuf, BisectError> {
        let path = self.git(&["rev-parse", "--git-path", name])?;
        Ok(self.checkout.join(path))
    }

    fn candidate(&self, id: &str) -> Result<Candidate, BisectError> {
        let title = self.git(&["log", "-1", "--format=%s", id])?;
        Ok(Candidate { id: id.to_owned(), title: printable(&title) })
    }

    /// Tells git, which checks out the next one.
    fn bisect(&self, words: &[&str]) -> Result<Next, BisectError> {
        if self.place != Place::Here {
            // A build may write into its tree; that must not hinder git.
            self.git(&["reset", "--hard", "--quiet"])?;
        }
        let words: Vec<&str> = std::iter::once("bisect").chain(words.iter().copied()).collect();
        let output = output(&self.checkout, &words)?;
        // 2: only such are left as were skipped.
        if !matches!(output.status.code(), Some(0 | 2)) {
            return Err(refused(&words, &output));
        }
        if let Ok(log) = self.git(&["bisect", "log"]) {
            // For the user only: our own state is elsewhere.
            let _ = std::fs::write(&self.log, log + "\n");
        }
        self.next(&words, &output)
    }

    /// Where git stands.
    fn next(&self, words: &[&str], output: &Output) -> Result<Next, BisectError> {
        let refs = |pattern: &str| -> Result<Vec<String>, BisectError> {
            let found = self.git(&["for-each-ref", "--format=%(objectname)", pattern])?;
            Ok(found.lines().map(str::to_owned).collect())
        };
        let bad = self.git(&["rev-parse", "--verify", "refs/bisect/bad"])?;
        let (good, skipped) = (refs("refs/bisect/good-*")?, refs("refs/bisect/skip-*")?);
        let mut list = vec!["rev-list", "--reverse", bad.as_str(), "--not"];
        list.extend(good.iter().map(String::as_str));
        let listed = self.git(&list)?;
        let left: Vec<&str> = listed.lines().collect();
        let head = self.git(&["rev-parse", "HEAD"])?;
        let open = left.iter().any(|&id| id != bad && !skipped.iter().any(|skipped| skipped == id));
        // The base of a merge may have to be tested first, which is none of them.
        let base = !left.contains(&head.as_str()) && !good.contains(&head);
        if !open && !base {
            return Ok(Next::Found(left.iter().map(|id| self.candidate(id)).collect::<Result<_, _>>()?));
        }
        if head == bad || good.contains(&head) || skipped.contains(&head) {
            return Err(refused(words, output));
        }
        Ok(Next::Test { candidate: self.candidate(&head)?, left: left.len(), steps: steps(left.len()) })
    }
}

impl Search for Git {
    fn ends(&self) -> (Candidate, Candidate) {
        (self.good.clone(), self.bad.clone())
    }

    fn make(&mut self, candidate: &Candidate, dir: &Path, hands: &Hands) -> Result<Made, BisectError> {
        self.prepare()?;
        if self.git(&["rev-parse", "HEAD"])? != candidate.id {
            let force: &[&str] = if self.place == Place::Here { &[] } else { &["--force"] };
            self.git(&[&["checkout", "--quiet", "--detach"], force, &[candidate.id.as_str()]].concat())?;
        }
        self.builder.build(&self.checkout, candidate, dir, hands)
    }

    fn begin(&mut self, known: &[(String, Mark)]) -> Result<Next, BisectError> {
        self.prepare()?;
        if self.git_path("BISECT_START")?.exists() {
            self.git(&["bisect", "reset", "HEAD"])?;
        }
        // As a log to be replayed, which checks out once, at its end.
        let mut text = format!("git bisect start\ngit bisect bad {}\ngit bisect good {}\n", self.bad.id, self.good.id);
        for (id, mark) in known {
            text += &format!("git bisect {} {id}\n", mark.word());
        }
        std::fs::write(&self.log, text).map_err(BisectError::io("write", &self.log))?;
        let log = self.log.clone();
        self.bisect(&["replay", &log.to_string_lossy()])
    }

    fn mark(&mut self, id: &str, mark: Mark) -> Result<Next, BisectError> {
        self.bisect(&[mark.word(), id])
    }

    fn before(&mut self, id: &str) -> Result<Option<Candidate>, BisectError> {
        let parent = self.git(&["rev-parse", "--verify", "--quiet", &format!("{id}^1")]);
        parent.ok().map(|parent| self.candidate(&parent)).transpose()
    }

    fn finish(&mut self) -> Result<(), BisectError> {
        if let Place::Own(path) = &self.place {
            if self.owns(path) && self.git_path("BISECT_START")?.exists() {
                self.git(&["bisect", "reset", "HEAD"])?;
            }
            return Ok(());
        }
        // Not begun: nothing there is ours.
        let Some(at) = self.was()? else { return Ok(()) };
        let back = || -> Result<(), BisectError> {
            if self.git_path("BISECT_START")?.exists() && self.bisects_ours() {
                self.git(&["bisect", "reset", "HEAD"])?;
            }
            self.git(&["checkout", "--quiet", &at]).map(drop)
        };
        back().map_err(|error| {
            let tree = self.tree.display();
            BisectError::Range(format!("{tree}: this checkout was at {}, and is not again: {error}", printable(&at)))
        })?;
        std::fs::remove_file(&self.was_at).map_err(BisectError::io("remove", &self.was_at))
    }
}

/// Beside the worktree, and there before it: we have made it.
fn marker(path: &Path) -> PathBuf {
    path.with_extension("ours")
}

fn output(tree: &Path, words: &[&str]) -> Result<Output, BisectError> {
    let mut command = Command::new("git");
    command.arg("-C").arg(tree).args(["-c", "gc.auto=0", "-c", "advice.detachedHead=false"]).args(words);
    // Set where a hook runs, they would lead to another repository.
    for name in ["GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY", "GIT_COMMON_DIR", "GIT_PREFIX"] {
        command.env_remove(name);
    }
    command.env("LC_ALL", "C").stdin(std::process::Stdio::null());
    command.output().map_err(BisectError::io("run", Path::new("git")))
}

fn call(tree: &Path, words: &[&str]) -> Result<String, BisectError> {
    let output = output(tree, words)?;
    if !output.status.success() {
        return Err(refused(words, &output));
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim_end().to_owned())
}

fn refused(words: &[&str], output: &Output) -> BisectError {
    let said = [&output.stderr[..], &output.stdout[..]].map(|said| String::from_utf8_lossy(said).trim().to_owned());
    let said = said.iter().filter(|said| !said.is_empty()).map(|said| lines(said)).collect::<Vec<_>>().join("\n");
    BisectError::Git { command: words.join(" "), said: if said.is_empty() { output.status.to_string() } else { said } }
}

fn lines(text: &str) -> String {
    text.lines().map(printable).collect::<Vec<_>>().join("\n")
}
