// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! The search by git on real repositories: which commit comes next, what is checked out, what an interruption leaves,
//! and that the user's checkout stays as it is. "Kernels" are files here; boots of real ones are in tests/system.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use symbolizer::bisect::BisectError;
use symbolizer::bisect::build::{Builder, How};
use symbolizer::bisect::child::Hands;
use symbolizer::bisect::git::{Git, Place};
use symbolizer::bisect::search::{Made, Mark, Next, Search};

/// A repository, and a directory for a bisection.
struct Repository {
    dir: tempfile::TempDir,
}

impl Repository {
    fn new() -> Repository {
        let repository = Repository { dir: tempfile::tempdir().unwrap() };
        std::fs::create_dir_all(repository.tree()).unwrap();
        std::fs::create_dir_all(repository.dir.path().join("work")).unwrap();
        repository.git(&["init", "--quiet", "--initial-branch=main"]);
        repository
    }

    /// With commits 0..count on main, tagged c0, c1 and so on; `kernel` has the number.
    fn linear(count: usize) -> Repository {
        let repository = Repository::new();
        (0..count).for_each(|number| repository.commit(number));
        repository
    }

    fn tree(&self) -> PathBuf {
        self.dir.path().join("linux")
    }

    fn git(&self, words: &[&str]) -> String {
        git(&self.tree(), words)
    }

    fn commit(&self, number: usize) {
        std::fs::write(self.tree().join("kernel"), format!("{number}\n")).unwrap();
        std::fs::write(self.tree().join(format!("file{number}")), "new here\n").unwrap();
        self.git(&["add", "--all"]);
        self.git(&["commit", "--quiet", "-m", &format!("change {number}")]);
        self.git(&["tag", &format!("c{number}")]);
    }

    fn own(&self) -> Place {
        Place::Own(self.dir.path().join("work/tree"))
    }

    fn search(&self, ends: (&str, &str), place: Place) -> Result<Git, BisectError> {
        let builder = Builder {
            // A build that writes into its tree, as some do.
            how: How::Command("test ! -e fail && cp kernel vmlinux && echo built >>kernel".to_owned()),
            objects: self.dir.path().join("work/objects"),
            vmlinux: PathBuf::from("vmlinux"),
            jobs: 1,
        };
        Git::new(&self.tree(), ends, place, builder, &self.dir.path().join("work/bisect-log"))
    }

    fn hands(&self) -> Hands {
        Hands::new(Arc::default(), self.dir.path())
    }

    /// Builds what the search names; what was checked out.
    fn made(&self, git: &mut Git, candidate: &symbolizer::bisect::search::Candidate) -> usize {
        let dir = self.dir.path().join("work/commit");
        std::fs::create_dir_all(&dir).unwrap();
        let Made::Kernel(path) = git.make(candidate, &dir, &self.hands()).unwrap() else { panic!("it builds") };
        std::fs::read_to_string(path).unwrap().lines().next().unwrap().parse().unwrap()
    }

    /// Searches; what was found, and the commits that were tested.
    fn run(&self, git: &mut Git, judge: &dyn Fn(usize) -> Mark) -> (Vec<String>, Vec<usize>) {
        let mut tested = Vec::new();
        let mut next = git.begin(&[]).unwrap();
        loop {
            match next {
                Next::Found(found) => return (found.into_iter().map(|found| found.title).collect(), tested),
                Next::Test { candidate, .. } => {
                    let number = self.made(git, &candidate);
                    assert_eq!(candidate.title, format!("change {number}"));
                    assert!(!tested.contains(&number), "{number} is tested twice");
                    tested.push(number);
                    next = git.mark(&candidate.id, judge(number)).unwrap();
                }
            }
        }
    }
}

fn git(tree: &Path, words: &[&str]) -> String {
    let names = [("user.name", "A"), ("user.email", "a@example.org"), ("commit.gpgsign", "false")];
    let config = names.iter().flat_map(|(name, value)| ["-c".to_owned(), format!("{name}={value}")]);
    let output = Command::new("git").arg("-C").arg(tree).args(config).args(words).output().unwrap();
    assert!(output.status.success(), "git {words:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim_end().to_owned()
}

fn bad_from(first: usize) -> impl Fn(usize) -> Mark {
    move |number| if number >= first { Mark::Bad } else { Mark::Good }
}

#[test]
fn each_commit_of_a_range_is_found_in_a_worktree_of_its_own() {
    let repository = Repository::linear(17);
    // Changes that are not committed, and that stay.
    std::fs::write(repository.tree().join("kernel"), "mine\n").unwrap();
    for first in 1..17 {
        let mut search = repository.search(("c0", "main"), repository.own()).unwrap();
        let (found, tested) = repository.run(&mut search, &bad_from(first));
        assert_eq!(found, [format!("change {first}")]);
        assert!(tested.len() <= 4, "{tested:?}");
        search.finish().unwrap();
    }
    assert_eq!(std::fs::read_to_string(repository.tree().join("kernel")).unwrap(), "mine\n");
    assert_eq!(repository.git(&["symbolic-ref", "--short", "HEAD"]), "main");
    assert_eq!(repository.git(&["for-each-ref", "refs/bisect"]), "");
}

#[test]
fn what_cannot_be_told_leaves_several() {
    let repository = Repository::linear(17);
    let mut search = repository.search(("c0", "c16"), repository.own()).unwrap();
    let judge = |number| if (7..=9).contains(&number) { Mark::Skip } else { bad_from(8)(number) };
    let (found, _) = repository.run(&mut search, &judge);
    assert_eq!(found, ["change 7", "change 8", "change 9", "change 10"]);
    let log = std::fs::read_to_string(repository.dir.path().join("work/bisect-log")).unwrap();
    assert!(log.contains("git bisect skip"), "{log}");
    let before = search.before(&repository.git(&["rev-parse", "c7"])).unwrap().unwrap();
    assert_eq!(before.title, "change 6");
}

#[test]
fn a_branch_that_was_merged_is_searched() {
    let repository = Repository::linear(3);
    repository.git(&["checkout", "--quiet", "-b", "topic", "c1"]);
    for number in 100..105 {
        std::fs::write(repository.tree().join("topic"), format!("{number}")).unwrap();
        repository.git(&["add", "--all"]);
        repository.git(&["commit", "--quiet", "-m", &format!("topic {number}")]);
    }
    repository.git(&["checkout", "--quiet", "main"]);
    repository.git(&["merge", "--quiet", "-m", "merge", "topic"]);
    let mut search = repository.search(("c2", "main"), repository.own()).unwrap();
    let tree = repository.dir.path().join("work/tree/topic");
    let mut next = search.begin(&[]).unwrap();
    let found = loop {
        match next {
            Next::Found(found) => break found,
            Next::Test { candidate, .. } => {
                let number = std::fs::read_to_string(&tree).unwrap_or_default();
                let bad = ["102", "103", "104"].contains(&number.as_str());
                next = search.mark(&candidate.id, if bad { Mark::Bad } else { Mark::Good }).unwrap();
            }
        }
    };
    assert_eq!(found.iter().map(|found| &*found.title).collect::<Vec<_>>(), ["topic 102"]);
}

#[test]
fn whatever_a_killed_one_leaves_is_gone_on_with() {
    let repository = Repository::linear(17);
    let mut search = repository.search(("c0", "c16"), repository.own()).unwrap();
    let Next::Test { candidate: first, .. } = search.begin(&[]).unwrap() else { panic!("a test") };
    let after = search.mark(&first.id, Mark::Bad).unwrap();
    let known = [(first.id.clone(), Mark::Bad)];
    let tree = repository.dir.path().join("work/tree");
    let again = || repository.search(("c0", "c16"), repository.own()).unwrap();
    // As it is.
    assert_eq!(again().begin(&known).unwrap(), after);
    // In the middle of a checkout: a lock, changed files, files of another commit.
    let index = PathBuf::from(git(&tree, &["rev-parse", "--git-path", "index.lock"]));
    std::fs::write(tree.join(index), "").unwrap();
    std::fs::write(tree.join("kernel"), "half").unwrap();
    std::fs::write(tree.join("file16"), "half").unwrap();
    assert_eq!(again().begin(&known).unwrap(), after);
    let Next::Test { candidate, .. } = &after else { panic!("a test") };
    assert_eq!(repository.made(&mut again(), candidate), 4);
    // While the worktree was made, or it was removed.
    std::fs::remove_dir_all(&tree).unwrap();
    std::fs::create_dir(&tree).unwrap();
    assert_eq!(again().begin(&known).unwrap(), after);
    let link = std::fs::read(tree.join(".git")).unwrap();
    std::fs::remove_dir_all(&tree).unwrap();
    std::fs::remove_dir_all(repository.tree().join(".git/worktrees")).unwrap();
    std::fs::create_dir(&tree).unwrap();
    std::fs::write(tree.join(".git"), link).unwrap();
    assert_eq!(again().begin(&known).unwrap(), after);
    std::fs::remove_dir_all(&tree).unwrap();
    assert_eq!(again().begin(&known).unwrap(), after);
}

#[test]
fn what_is_not_ours_stays() {
    let repository = Repository::linear(3);
    let tree = repository.dir.path().join("work/tree");
    let refused = || {
        let error = repository.search(("c0", "c2"), repository.own()).and_then(|mut search| search.begin(&[]));
        assert!(error.unwrap_err().to_string().contains("--work"));
    };
    // A directory, with our marker or without it; a repository of the user, a worktree of the user.
    std::fs::create_dir(&tree).unwrap();
    std::fs::write(tree.join("mine"), "mine").unwrap();
    refused();
    std::fs::write(tree.with_extension("ours"), "").unwrap();
    refused();
    git(&tree, &["init", "--quiet"]);
    refused();
    assert_eq!(std::fs::read_to_string(tree.join("mine")).unwrap(), "mine");
    std::fs::remove_dir_all(&tree).unwrap();
    std::fs::remove_file(tree.with_extension("ours")).unwrap();
    repository.git(&["worktree", "add", "--quiet", "--detach", tree.to_str().unwrap()]);
    std::fs::write(tree.join("kernel"), "mine").unwrap();
    refused();
    assert_eq!(std::fs::read_to_string(tree.join("kernel")).unwrap(), "mine");
    let same = repository.search(("c0", "c2"), Place::Own(repository.tree())).err().unwrap();
    assert!(same.to_string().contains("itself"), "{same}");
}

#[test]
fn worktrees_of_the_user_that_are_not_there_now_stay_known() {
    let repository = Repository::linear(3);
    let away = repository.dir.path().join("away");
    repository.git(&["worktree", "add", "--quiet", "--detach", away.to_str().unwrap()]);
    std::fs::remove_dir_all(&away).unwrap();
    repository.search(("c0", "c2"), repository.own()).unwrap().begin(&[]).unwrap();
    assert!(repository.git(&["worktree", "list"]).contains("away"));
}

#[test]
fn a_commit_that_does_not_build_is_told_from_a_command_that_is_not_there() {
    let repository = Repository::linear(2);
    std::fs::write(repository.tree().join("fail"), "").unwrap();
    repository.commit(2);
    let mut search = repository.search(("c0", "c2"), repository.own()).unwrap();
    let (_, bad) = search.ends();
    let made = search.make(&bad, &repository.dir.path().join("work"), &repository.hands()).unwrap();
    assert!(matches!(made, Made::No(_)), "{made:?}");
    let builder = Builder {
        how: How::Command("/nonexistent/build".to_owned()),
        objects: repository.dir.path().join("work/objects"),
        vmlinux: PathBuf::from("vmlinux"),
        jobs: 1,
    };
    let log = repository.dir.path().join("work/bisect-log");
    let mut search = Git::new(&repository.tree(), ("c0", "c2"), repository.own(), builder, &log).unwrap();
    let error = search.make(&bad, &repository.dir.path().join("work"), &repository.hands()).unwrap_err();
    assert!(matches!(error, BisectError::Command { option: "build", .. }), "{error}");
}

#[test]
fn in_the_users_checkout_changes_are_refused_and_it_is_left_as_it_was() {
    let repository = Repository::linear(9);
    std::fs::write(repository.tree().join("kernel"), "mine\n").unwrap();
    let mut search = repository.search(("c0", "c8"), Place::Here).unwrap();
    let refused = search.begin(&[]).unwrap_err().to_string();
    assert!(refused.contains("not committed") && refused.contains("kernel"), "{refused}");
    repository.git(&["checkout", "--quiet", "kernel"]);

    let judge = bad_from(5);
    let mut next = search.begin(&[]).unwrap();
    let found = loop {
        match next {
            Next::Found(found) => break found,
            Next::Test { candidate, .. } => {
                let number = std::fs::read_to_string(repository.tree().join("kernel")).unwrap();
                next = search.mark(&candidate.id, judge(number.trim().parse().unwrap())).unwrap();
                // Another process goes on.
                search = repository.search(("c0", "c8"), Place::Here).unwrap();
            }
        }
    };
    assert_eq!(found[0].title, "change 5");
    // Also where we go on, changes are the user's.
    std::fs::write(repository.tree().join("kernel"), "mine\n").unwrap();
    let refused = search.begin(&[]).unwrap_err().to_string();
    assert!(refused.contains("not committed"), "{refused}");
    repository.git(&["checkout", "--quiet", "kernel"]);
    search.begin(&[]).unwrap();
    search.finish().unwrap();
    assert_eq!(repository.git(&["symbolic-ref", "--short", "HEAD"]), "main");
    assert_eq!(repository.git(&["status", "--porcelain"]), "");

    repository.git(&["bisect", "start"]);
    let busy = repository.search(("c0", "c8"), Place::Here).unwrap().begin(&[]).unwrap_err().to_string();
    assert!(busy.contains("git bisect reset"), "{busy}");
    // Not even if our own was interrupted before.
    repository.git(&["bisect", "reset"]);
    let mut search = repository.search(("c0", "c8"), Place::Here).unwrap();
    search.begin(&[]).unwrap();
    repository.git(&["bisect", "reset"]);
    repository.git(&["bisect", "start", "c7", "c3"]);
    let busy = search.begin(&[]).unwrap_err().to_string();
    assert!(busy.contains("git bisect reset"), "{busy}");
    search.finish().unwrap();
    assert!(repository.tree().join(".git/BISECT_START").exists());
}

#[test]
fn ranges_that_are_none_are_told() {
    let repository = Repository::linear(3);
    let error = |good, bad| repository.search((good, bad), repository.own()).err().unwrap().to_string();
    assert!(error("c0", "no-such").contains("no-such"));
    assert!(error("c2", "c0").contains("other way round"));
    assert!(error("c1", "c1").contains("one commit"));
    assert!(error("--all", "c1").contains("--all"));
}
