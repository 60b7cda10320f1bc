// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! Chromium without a window, driven over its DevTools protocol. In: pages, and what a user does with mouse and
//! keys. Out: what the page then says, its console, its requests, pictures. Never here: what a page should do.
//!
//! The protocol comes through pipes (`--remote-debugging-pipe`): messages of JSON, each ended by a zero byte,
//! on descriptors 3 and 4 of Chromium. A shell leads its own input and output there.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};

/// Nothing that looks outward; nothing that a first start would ask.
const FLAGS: &[&str] = &[
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--no-default-browser-check",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-default-apps",
    "--disable-extensions",
    "--disable-dev-shm-usage",
    "--hide-scrollbars",
    "--force-color-profile=srgb",
    "--remote-debugging-pipe",
];

/// A page may take this long to do what it is waited for; far above what it takes on a slow machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// A browser with one page.
pub struct Browser {
    child: Child,
    to: Option<ChildStdin>,
    from: BufReader<ChildStdout>,
    profile: PathBuf,
    number: u64,
    session: String,
    /// Whatever the page wrote to its console, and its uncaught errors.
    pub console: Vec<String>,
    /// Addresses that the page asked for.
    pub requests: Vec<String>,
}

impl Browser {
    /// Starts one with an empty profile at `profile`, which is removed again.
    ///
    /// # Errors
    /// When Chromium does not start.
    pub fn start(profile: &Path) -> Result<Browser> {
        if profile.exists() {
            std::fs::remove_dir_all(profile).with_context(|| format!("cannot remove {}", profile.display()))?;
        }
        std::fs::create_dir_all(profile).with_context(|| format!("cannot create {}", profile.display()))?;
        let script = "exec chromium \"$@\" 3<&0 4>&1 </dev/null >/dev/null";
        let mut child = Command::new("sh")
            .args(["-c", script, "chromium"])
            .args(FLAGS)
            .arg(format!("--user-data-dir={}", profile.display()))
            .arg("about:blank")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .context("cannot run chromium")?;
        let to = child.stdin.take();
        let from = BufReader::new(child.stdout.take().context("a pipe")?);
        let mut browser = Browser {
            child,
            to,
            from,
            profile: profile.to_owned(),
            number: 0,
            session: String::new(),
            console: Vec::new(),
            requests: Vec::new(),
        };
        let targets = browser.call("Target.getTargets", json!({}))?;
        let pages = targets["targetInfos"].as_array().context("a list of pages")?;
        let page = pages.iter().find(|target| target["type"] == "page").context("chromium has no page")?;
        let attached = browser.call("Target.attachToTarget", json!({"targetId": page["targetId"], "flatten": true}))?;
        browser.session = attached["sessionId"].as_str().context("a session")?.to_owned();
        for domain in ["Page", "Runtime", "Log", "Network"] {
            browser.call(&format!("{domain}.enable"), json!({}))?;
        }
        Ok(browser)
    }

    /// One command of the protocol; its result.
    ///
    /// # Errors
    /// When the browser refuses it, or has ended.
    pub fn call(&mut self, method: &str, params: Value) -> Result<Value> {
        self.number += 1;
        let mut message = json!({"id": self.number, "method": method, "params": params});
        if !self.session.is_empty() {
            message["sessionId"] = json!(self.session);
        }
        let to = self.to.as_mut().context("the browser has ended")?;
        to.write_all(format!("{message}\0").as_bytes()).context("chromium does not listen")?;
        loop {
            let mut bytes = Vec::new();
            ensure!(self.from.read_until(0, &mut bytes)? > 0, "chromium ended during {method}");
            bytes.pop();
            let answer: Value = serde_json::from_slice(&bytes).context("chromium speaks no JSON")?;
            if answer["id"] == self.number {
                if let Some(error) = answer.get("error") {
                    bail!("{method}: {error}");
                }
                return Ok(answer["result"].clone());
            }
            self.note(&answer);
        }
    }

    fn note(&mut self, event: &Value) {
        let params = &event["params"];
        match event["method"].as_str() {
            Some("Runtime.exceptionThrown") => self.console.push(params["exceptionDetails"].to_string()),
            Some("Runtime.consoleAPICalled") => self.console.push(params["args"].to_string()),
            Some("Log.entryAdded") => self.console.push(params["entry"].to_string()),
            Some("Network.requestWillBeSent") => {
                self.requests.push(params["request"]["url"].as_str().unwrap_or("?").to_owned());
            }
            _ => {}
        }
    }

    /// Width and height of the window, and whether the system is dark.
    ///
    /// # Errors
    /// Of the protocol.
    pub fn window(&mut self, width: u32, height: u32, dark: bool) -> Result<()> {
        let size = json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": false});
        self.call("Emulation.setDeviceMetricsOverride", size)?;
        let scheme = if dark { "dark" } else { "light" };
        let features = json!({"features": [{"name": "prefers-color-scheme", "value": scheme}]});
        self.call("Emulation.setEmulatedMedia", features)?;
        Ok(())
    }

    /// Opens a file, and waits until `ready` holds in it.
    ///
    /// # Errors
    /// When it does not come to that.
    pub fn open(&mut self, file: &Path, ready: &str) -> Result<()> {
        let file = file.canonicalize().with_context(|| format!("no {}", file.display()))?;
        self.call("Page.navigate", json!({"url": format!("file://{}", file.display())}))?;
        self.wait(ready)
    }

    /// What an expression is in the page.
    ///
    /// # Errors
    /// When it throws.
    pub fn eval(&mut self, expression: &str) -> Result<Value> {
        let params = json!({"expression": expression, "returnByValue": true, "awaitPromise": true});
        let answer = self.call("Runtime.evaluate", params)?;
        if let Some(error) = answer.get("exceptionDetails") {
            bail!("{expression}: {error}");
        }
        Ok(answer["result"]["value"].clone())
    }

    /// Waits until an expression is true.
    ///
    /// # Errors
    /// When it does not come to that.
    pub fn wait(&mut self, condition: &str) -> Result<()> {
        let begun = Instant::now();
        while begun.elapsed() < PATIENCE {
            // While a page is replaced by the next one, there may be none to ask.
            if self.eval(condition).is_ok_and(|value| value == json!(true)) {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(30));
        }
        bail!("the page never came to: {condition}; its console: {:?}", self.console)
    }

    /// Two frames: what was asked for is drawn.
    ///
    /// # Errors
    /// Of the protocol.
    pub fn frames(&mut self) -> Result<()> {
        self.eval("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => done(true))))")?;
        Ok(())
    }

    /// Where an element stands in the window, after scrolling to it: left, top, width, height.
    ///
    /// # Errors
    /// When there is none.
    pub fn place(&mut self, selector: &str) -> Result<[f64; 4]> {
        let selector = json!(selector);
        let script = format!(
            "(() => {{ const e = document.querySelector({selector}); e.scrollIntoView({{block: 'center', behavior: \
             'instant'}}); const r = e.getBoundingClientRect(); return [r.left, r.top, r.width, r.height]; }})()"
        );
        let place = self.eval(&script)?;
        let number = |index: usize| place[index].as_f64().with_context(|| format!("{selector} has no place"));
        Ok([number(0)?, number(1)?, number(2)?, number(3)?])
    }

    /// The middle of an element.
    ///
    /// # Errors
    /// As [`Self::place`].
    pub fn middle(&mut self, selector: &str) -> Result<(f64, f64)> {
        let [left, top, width, height] = self.place(selector)?;
        Ok((left + width / 2.0, top + height / 2.0))
    }

    fn mouse(&mut self, kind: &str, (x, y): (f64, f64), count: u32) -> Result<()> {
        let pressed = kind != "mouseMoved" || count > 0;
        let button = if pressed { "left" } else { "none" };
        let buttons = u32::from(pressed && kind != "mouseReleased");
        let params = json!({"type": kind, "x": x, "y": y, "button": button, "buttons": buttons, "clickCount": count});
        self.call("Input.dispatchMouseEvent", params)?;
        Ok(())
    }

    /// Moves the pointer.
    ///
    /// # Errors
    /// Of the protocol.
    pub fn point(&mut self, at: (f64, f64)) -> Result<()> {
        self.mouse("mouseMoved", at, 0)
    }

    /// Clicks, `count` times in a row.
    ///
    /// # Errors
    /// Of the protocol.
    pub fn click(&mut self, at: (f64, f64), count: u32) -> Result<()> {
        self.point(at)?;
        for number in 1..=count {
            self.mouse("mousePressed", at, number)?;
            self.mouse("mouseReleased", at, number)?;
        }
        self.frames()
    }

    /// Presses at one place and lets go at another.
    ///
    /// # Errors
    /// Of the protocol.
    pub fn drag(&mut self, from: (f64, f64), to: (f64, f64)) -> Result<()> {
        self.point(from)?;
        self.mouse("mousePressed", from, 1)?;
        for step in 1..=4 {
            let part = f64::from(step) / 4.0;
            let at = (from.0 + (to.0 - from.0) * part, from.1 + (to.1 - from.1) * part);
            self.mouse("mouseMoved", at, 1)?;
        }
        self.mouse("mouseReleased", to, 1)?;
        self.frames()
    }

    /// Turns the wheel; down is positive.
    ///
    /// # Errors
    /// Of the protocol.
    pub fn wheel(&mut self, (x, y): (f64, f64), down: f64) -> Result<()> {
        let params = json!({"type": "mouseWheel", "x": x, "y": y, "deltaX": 0, "deltaY": down});
        self.call("Input.dispatchMouseEvent", params)?;
        self.frames()
    }

    /// Presses a key: a character, or a name such as `Enter`.
    ///
    /// # Errors
    /// Of the protocol.
    pub fn key(&mut self, key: &str) -> Result<()> {
        let text = if key.chars().count() == 1 {
            key
        } else if key == "Enter" {
            "\r"
        } else {
            ""
        };
        let code = match key {
            "Enter" => 13,
            "Escape" => 27,
            "Tab" => 9,
            "ArrowLeft" => 37,
            "ArrowUp" => 38,
            "ArrowRight" => 39,
            "ArrowDown" => 40,
            _ => 0,
        };
        let kind = if text.is_empty() { "rawKeyDown" } else { "keyDown" };
        let params = json!({"type": kind, "key": key, "text": text, "windowsVirtualKeyCode": code});
        self.call("Input.dispatchKeyEvent", params)?;
        self.call("Input.dispatchKeyEvent", json!({"type": "keyUp", "key": key, "windowsVirtualKeyCode": code}))?;
        self.frames()
    }

    /// Types a text, key by key.
    ///
    /// # Errors
    /// Of the protocol.
    pub fn text(&mut self, text: &str) -> Result<()> {
        text.chars().try_for_each(|c| self.key(&c.to_string()))
    }

    /// A picture of the window, as PNG.
    ///
    /// # Errors
    /// Of the protocol.
    pub fn picture(&mut self) -> Result<Vec<u8>> {
        let answer = self.call("Page.captureScreenshot", json!({"format": "png"}))?;
        base64(answer["data"].as_str().context("a picture")?).context("the picture is no base64")
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        self.session.clear();
        let _ = self.call("Browser.close", json!({}));
        self.to = None;
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.profile);
    }
}

/// Bytes of base64 (RFC 4648), padded.
fn base64(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| match byte {
        b'A'..=b'Z' => Some(u32::from(byte - b'A')),
        b'a'..=b'z' => Some(u32::from(byte - b'a') + 26),
        b'0'..=b'9' => Some(u32::from(byte - b'0') + 52),
        b'+' => Some(62),
        b'/' => Some(63),
        _ => None,
    };
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3);
    for four in text.trim_end_matches('=').as_bytes().chunks(4) {
        let bits = four.iter().try_fold(0, |bits, &byte| Some(bits << 6 | digit(byte)?))? << (6 * (4 - four.len()));
        bytes.extend_from_slice(&bits.to_be_bytes()[1..four.len()]);
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_of_each_length() {
        for (text, bytes) in [("", ""), ("Zg==", "f"), ("Zm8=", "fo"), ("Zm9v", "foo"), ("Zm9vYmE=", "fooba")] {
            assert_eq!(base64(text).as_deref(), Some(bytes.as_bytes()));
        }
        assert_eq!(base64("-"), None);
    }
}
