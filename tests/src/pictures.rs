// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! `cargo xtask pictures`: the pictures of the HTML report in the README. In: a kernel, or a page that is
//! there. Out: PNG files. Never here: a picture of anything but what a user sees.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use crate::browser::Browser;
use crate::kernels::Kernel;
use crate::steps::Steps;
use crate::{demo, tools, workspace};

/// What a page says when all is drawn.
pub const READY: &str =
    "document.documentElement.dataset.ready === 'yes' && !!document.querySelector('#timeline').dataset.view";

/// No picture should be larger: they are in git.
const MOST_BYTES: usize = 300_000;

/// Takes them; of `page`, or of a boot recorded for it.
///
/// # Errors
/// When a step fails, with its reason.
pub fn run(kernel: &Kernel, page: Option<&Path>, out: Option<&Path>) -> Result<bool> {
    let steps = Steps::default();
    tools::ensure(tools::PICTURES)?;
    let page = match page {
        Some(page) => page.to_owned(),
        None => {
            demo::run(kernel, 1, None)?;
            workspace::target().join("demo").join("boot.html")
        }
    };
    let out: PathBuf = out.map_or_else(|| workspace::root().join("symbolizer/pictures"), Path::to_owned);
    std::fs::create_dir_all(&out).with_context(|| format!("cannot create {}", out.display()))?;
    for dark in [false, true] {
        let theme = if dark { "dark" } else { "light" };
        let mut browser = Browser::start(&workspace::target().join("chromium-pictures"))?;
        let take = |browser: &mut Browser, name: &str| -> Result<()> {
            browser.frames()?;
            let path = out.join(format!("{name}-{theme}.png"));
            let bytes = browser.picture()?;
            steps.step(format_args!("{} ({} kB)", path.display(), bytes.len() / 1000));
            ensure!(bytes.len() <= MOST_BYTES, "{} is too large for git", path.display());
            std::fs::write(&path, bytes).with_context(|| format!("cannot write {}", path.display()))
        };
        browser.window(1440, 900, dark)?;
        browser.open(&page, READY)?;
        take(&mut browser, "report")?;
        // The dearest level, with what is known of its slowest initcall.
        browser.eval(
            "document.querySelector('#timeline-section').scrollIntoView({behavior: 'instant'}); scrollBy(0, -64)",
        )?;
        browser.eval(
            "(() => { const s = document.querySelector('#goto'); s.value = s.querySelectorAll('optgroup')[1].children[0].value; \
             s.dispatchEvent(new Event('change')); })()",
        )?;
        take(&mut browser, "timeline")?;
        browser.eval("document.querySelector('#details .close').click()")?;
        browser
            .eval("document.querySelector('#tree-section').scrollIntoView({behavior: 'instant'}); scrollBy(0, -64)")?;
        take(&mut browser, "calls")?;
    }
    Ok(true)
}
