//! A real browser: headless Chromium, driven through chromedriver, with an empty profile each time.
//!
//! Both are Debian's (`chromium`, `chromium-driver`). The flags keep Chromium from calling home on a machine whose
//! network is closed, and let it run as root in a container.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::json;
use tempfile::TempDir;
use thirtyfour::error::WebDriverError;
use thirtyfour::extensions::query::ElementQueryable;
use thirtyfour::{By, ChromiumLikeCapabilities, DesiredCapabilities, WebDriver, WebElement};
use url::Url;

use crate::process::{Process, ProcessError, Program};

const CHROMIUM: &str = "/usr/bin/chromium";
const CHROMEDRIVER: &str = "/usr/bin/chromedriver";
const FLAGS: [&str; 11] = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-default-apps",
    "--hide-scrollbars",
];
/// How long a page may take on two cores that build and test at once.
const PATIENCE: Duration = Duration::from_secs(60);
/// WebDriver has no events: what a page has become is asked for again and again.
const ASKED_EVERY: Duration = Duration::from_millis(50);

/// Why the browser could not be had, or did not get where it should.
#[derive(Debug, thiserror::Error)]
pub enum BrowserError {
    /// Chromium or its driver is missing.
    #[error("{} is not installed: run `cargo xtask test`, which installs it, or apt-get install chromium chromium-driver", .0.display())]
    NotInstalled(PathBuf),
    /// chromedriver did not start.
    #[error("chromedriver: {0}")]
    Driver(#[from] ProcessError),
    /// A command to the browser failed.
    #[error("the browser at {at}: {source}")]
    Command {
        /// Where the browser was.
        at: String,
        /// What it said.
        source: Box<WebDriverError>,
    },
    /// A file or folder for the browser cannot be written.
    #[error("{0}")]
    File(#[from] std::io::Error),
    /// The page that was waited for did not come.
    #[error("the browser is at {at} instead of {expected}; the page says:\n{text}")]
    Stranded {
        /// What was waited for.
        expected: String,
        /// Where the browser is.
        at: String,
        /// What the page says.
        text: String,
    },
}

/// The size that a page is looked at in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Screen {
    /// 390 by 844, twice as many pixels each way.
    Phone,
    /// 1280 by 900.
    Desktop,
}

/// A running browser. [`Browser::close`] ends it in good order; dropping it kills it.
#[derive(Debug)]
pub struct Browser {
    driver: Option<WebDriver>,
    _chromedriver: Process,
    _profile: TempDir,
}

impl Browser {
    /// Starts chromedriver on a free port, and Chromium with an empty profile.
    ///
    /// # Errors
    /// When one of them is not installed or does not start.
    pub async fn start() -> Result<Self, BrowserError> {
        for program in [CHROMIUM, CHROMEDRIVER] {
            if !Path::new(program).exists() {
                return Err(BrowserError::NotInstalled(program.into()));
            }
        }
        let profile = TempDir::with_prefix("perennial-browser-")?;
        let chromedriver = Program::new(CHROMEDRIVER).arg("--port=0").start()?;
        let line = chromedriver.stdout_line("started successfully on port", PATIENCE).await?;
        let port: String = line.chars().filter(char::is_ascii_digit).collect();

        let command = |source| failed("its start", source);
        let mut chrome = DesiredCapabilities::chrome();
        chrome.set_binary(CHROMIUM).map_err(command)?;
        for flag in FLAGS {
            chrome.add_arg(flag).map_err(command)?;
        }
        chrome.add_arg(&format!("--user-data-dir={}", profile.path().display())).map_err(command)?;
        let driver = WebDriver::new(format!("http://127.0.0.1:{port}"), chrome).await.map_err(command)?;
        Ok(Self { driver: Some(driver), _chromedriver: chromedriver, _profile: profile })
    }

    /// The WebDriver session, for all that has no method here.
    #[must_use]
    pub fn driver(&self) -> &WebDriver {
        self.driver.as_ref().expect("the session is taken only when the browser ends")
    }

    /// Opens an address and waits until the page has loaded.
    ///
    /// # Errors
    /// When it cannot be loaded.
    pub async fn open(&self, address: &str) -> Result<(), BrowserError> {
        self.driver().goto(address).await.map_err(|source| failed(address, source))
    }

    /// Where the browser is.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn url(&self) -> Result<Url, BrowserError> {
        self.driver().current_url().await.map_err(|source| failed("an unknown page", source))
    }

    /// The element with this id, waited for.
    ///
    /// # Errors
    /// When it does not come.
    pub async fn element(&self, id: &str) -> Result<WebElement, BrowserError> {
        let query = self.driver().query(By::Id(id)).wait(PATIENCE, ASKED_EVERY);
        match query.first().await {
            Ok(element) => Ok(element),
            Err(_) => Err(self.stranded(&format!("a page with #{id}")).await),
        }
    }

    /// Whether the page has an element with this id now.
    ///
    /// # Errors
    /// When the browser does not answer.
    pub async fn has(&self, id: &str) -> Result<bool, BrowserError> {
        let exists = self.driver().query(By::Id(id)).nowait().exists().await;
        exists.map_err(|source| failed(id, source))
    }

    /// Types into the field with this id, instead of what it holds.
    ///
    /// # Errors
    /// When there is no such field.
    pub async fn fill(&self, id: &str, text: &str) -> Result<(), BrowserError> {
        let field = self.element(id).await?;
        field.clear().await.map_err(|source| failed(id, source))?;
        field.send_keys(text).await.map_err(|source| failed(id, source))
    }

    /// Clicks the element with this id.
    ///
    /// # Errors
    /// When there is no such element, or something covers it.
    pub async fn press(&self, id: &str) -> Result<(), BrowserError> {
        self.element(id).await?.click().await.map_err(|source| failed(id, source))
    }

    /// Waits until the browser is at an address that begins so, and returns it.
    ///
    /// # Errors
    /// When it does not get there.
    pub async fn arrives_at(&self, prefix: &str) -> Result<Url, BrowserError> {
        let arrived = async {
            let mut asked = tokio::time::interval(ASKED_EVERY);
            loop {
                asked.tick().await;
                let url = self.url().await?;
                if url.as_str().starts_with(prefix) {
                    return Ok(url);
                }
            }
        };
        match tokio::time::timeout(PATIENCE, arrived).await {
            Ok(arrived) => arrived,
            Err(_) => Err(self.stranded(prefix).await),
        }
    }

    /// Opens an authorization request and signs in as a person does: `#username`, `#password`, `#sign-in`, and
    /// `#consent-allow` where it is asked; returns the address with the answer to the client. Something must listen at
    /// `redirect_uri`.
    ///
    /// # Errors
    /// When it leads elsewhere, with what the page says.
    pub async fn sign_in(
        &self,
        authorization_request: &str,
        username: &str,
        password: &str,
        redirect_uri: &str,
    ) -> Result<Url, BrowserError> {
        self.open(authorization_request).await?;
        let through = self.through_the_pages(username, password, redirect_uri);
        match tokio::time::timeout(PATIENCE, through).await {
            Ok(arrived) => arrived,
            Err(_) => Err(self.stranded(redirect_uri).await),
        }
    }

    /// Acts on each kind of page once: a click may return before the page that it leads to is there, and a page
    /// that comes back refuses what was given.
    async fn through_the_pages(
        &self,
        username: &str,
        password: &str,
        redirect_uri: &str,
    ) -> Result<Url, BrowserError> {
        let (mut signed_in, mut allowed) = (false, false);
        let mut asked = tokio::time::interval(ASKED_EVERY);
        loop {
            asked.tick().await;
            let url = self.url().await?;
            if url.as_str().starts_with(redirect_uri) {
                return Ok(url);
            }
            if !signed_in && self.has("sign-in").await? {
                self.fill("username", username).await?;
                self.fill("password", password).await?;
                self.press("sign-in").await?;
                signed_in = true;
            } else if !allowed && self.has("consent-allow").await? {
                self.press("consent-allow").await?;
                allowed = true;
            }
        }
    }

    /// Writes what the page looks like on such a screen as a PNG file.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub async fn screenshot(&self, screen: Screen, file: &Path) -> Result<(), BrowserError> {
        let (width, height, scale, mobile) = match screen {
            Screen::Phone => (390, 844, 2, true),
            Screen::Desktop => (1280, 900, 1, false),
        };
        let metrics =
            json!({ "width": width, "height": height, "deviceScaleFactor": scale, "mobile": mobile });
        let resized = self.driver().cdp().send_raw("Emulation.setDeviceMetricsOverride", metrics).await;
        resized.map_err(|source| failed("a screenshot", source))?;
        let taken = self.driver().screenshot(file).await;
        taken.map_err(|source| failed("a screenshot", source))
    }

    /// Ends the browser in good order.
    ///
    /// # Errors
    /// When it does not answer any more; it is killed then.
    pub async fn close(mut self) -> Result<(), BrowserError> {
        let driver = self.driver.take().expect("a browser is closed once");
        driver.quit().await.map_err(|source| failed("its end", source))
    }

    async fn stranded(&self, expected: &str) -> BrowserError {
        let at = self.url().await.map_or_else(|_| "an unknown page".to_owned(), |url| url.to_string());
        let text = match self.driver().find(By::Tag("body")).await {
            Ok(body) => body.text().await.unwrap_or_default(),
            Err(_) => String::new(),
        };
        BrowserError::Stranded { expected: expected.to_owned(), at, text }
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // The session would end itself by blocking this thread; its processes are killed in a moment instead.
        if let Some(driver) = self.driver.take() {
            drop(driver.leak());
        }
    }
}

fn failed(at: &str, source: WebDriverError) -> BrowserError {
    BrowserError::Command { at: at.to_owned(), source: Box::new(source) }
}
