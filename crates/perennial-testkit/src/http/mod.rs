//! A client that behaves like a person's browser without scripts: it keeps cookies, follows redirects, fills in the
//! forms that it is served and stops where the application would take over.

mod cookies;
mod html;

use std::time::Duration;

use reqwest::header;
use reqwest::{Method, StatusCode};
use url::Url;

use cookies::Cookies;
use html::Tag;

/// The most redirects that are followed for one click.
const MOST_REDIRECTS: usize = 10;
/// The most pages between the authorization request and its answer.
const MOST_PAGES: usize = 6;
const TIMEOUT: Duration = Duration::from_secs(30);

/// Why a click did not lead where it should.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    /// The request or its answer failed on the way.
    #[error("{method} {url} failed: {source}")]
    Request {
        /// The method.
        method: Method,
        /// Where to.
        url: Url,
        /// Why.
        source: reqwest::Error,
    },
    /// An address cannot be understood.
    #[error("`{0}` is no address: {1}")]
    Address(String, url::ParseError),
    /// A redirect without a readable Location.
    #[error("{0} redirects without a Location")]
    NoLocation(Url),
    /// Redirects without end.
    #[error("{0} redirects more than {MOST_REDIRECTS} times")]
    Redirects(Url),
    /// There is no such form on the page.
    #[error("no form with or around id `{id}` on {page}")]
    NoForm {
        /// The id that was looked for.
        id: String,
        /// The page.
        page: Box<Page>,
    },
    /// The form has no field of this name or id.
    #[error("the form `{form}` has no field `{field}`")]
    NoField {
        /// The form's id.
        form: String,
        /// The name or id.
        field: String,
    },
    /// Neither a sign-in nor a consent page, and not the redirect that was waited for.
    #[error("signing in does not lead to {expected} but ends at {page}")]
    Stranded {
        /// The redirect that was waited for.
        expected: String,
        /// The page where it ended.
        page: Box<Page>,
    },
}

/// Where a click leads.
#[derive(Clone, Debug)]
pub enum Landed {
    /// A page.
    Page(Page),
    /// A redirect to the prefix at which to stop. It was not followed.
    Stopped(Url),
}

impl Landed {
    /// The page.
    ///
    /// # Panics
    /// When it is the redirect.
    #[must_use]
    pub fn page(self) -> Page {
        match self {
            Self::Page(page) => page,
            Self::Stopped(url) => panic!("a redirect to {url} instead of a page"),
        }
    }

    /// The redirect.
    ///
    /// # Panics
    /// When it is a page.
    #[must_use]
    pub fn redirect(self) -> Url {
        match self {
            Self::Stopped(url) => url,
            Self::Page(page) => panic!("a page instead of a redirect: {page}"),
        }
    }
}

/// A page as it was served.
#[derive(Clone, Debug)]
pub struct Page {
    /// Its address, after redirects.
    pub url: Url,
    /// Its status.
    pub status: StatusCode,
    /// Its headers.
    pub headers: header::HeaderMap,
    /// Its text.
    pub body: String,
}

impl Page {
    /// Whether it has an element with this id.
    #[must_use]
    pub fn has(&self, id: &str) -> bool {
        html::tags(&self.body).iter().any(|tag| tag.attribute("id") == Some(id))
    }

    /// The form that has this id, or that holds the element with it.
    ///
    /// # Errors
    /// When there is none, with the page.
    pub fn form(&self, id: &str) -> Result<Form, HttpError> {
        let tags = html::tags(&self.body);
        let found = html::form_around(&tags, id)
            .ok_or_else(|| HttpError::NoForm { id: id.to_owned(), page: Box::new(self.clone()) })?;
        Form::read(id, &self.url, found)
    }
}

impl std::fmt::Display for Page {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} ({}); the page:\n{}", self.url, self.status, self.body)
    }
}

/// A form, filled in so far.
#[derive(Clone, Debug)]
pub struct Form {
    id: String,
    action: Url,
    method: Method,
    page: Url,
    fields: Vec<Field>,
    buttons: Vec<Field>,
}

#[derive(Clone, Debug)]
struct Field {
    id: Option<String>,
    name: String,
    value: String,
    /// Boxes and radio buttons send their value only when ticked.
    sent: bool,
    /// A button's own address, instead of the form's.
    action: Option<Url>,
}

impl Form {
    fn read(id: &str, page: &Url, tags: &[Tag]) -> Result<Self, HttpError> {
        let resolve =
            |action: &str| page.join(action).map_err(|source| HttpError::Address(action.to_owned(), source));
        let form = tags.first().expect("a form begins with its tag");
        let method = form.attribute("method").unwrap_or("get");
        let mut read = Self {
            id: id.to_owned(),
            action: resolve(form.attribute("action").unwrap_or(""))?,
            method: if method.eq_ignore_ascii_case("post") { Method::POST } else { Method::GET },
            page: page.clone(),
            fields: Vec::new(),
            buttons: Vec::new(),
        };
        for tag in tags {
            let kind = tag.attribute("type").unwrap_or(if tag.name == "button" { "submit" } else { "text" });
            if !matches!(tag.name.as_str(), "input" | "button") || tag.attribute("disabled").is_some() {
                continue;
            }
            let ticked = matches!(kind, "checkbox" | "radio");
            let field = Field {
                id: tag.attribute("id").map(str::to_owned),
                name: tag.attribute("name").unwrap_or_default().to_owned(),
                value: tag.attribute("value").unwrap_or(if ticked { "on" } else { "" }).to_owned(),
                sent: !ticked || tag.attribute("checked").is_some(),
                action: tag.attribute("formaction").map(resolve).transpose()?,
            };
            match kind {
                "submit" | "image" => read.buttons.push(field),
                "button" | "reset" => {}
                _ => read.fields.push(field),
            }
        }
        Ok(read)
    }

    /// Types into the field with this id or name; ticks it when it is a box.
    ///
    /// # Errors
    /// When there is none.
    pub fn fill(mut self, field: &str, value: &str) -> Result<Self, HttpError> {
        let named =
            |candidate: &&mut Field| candidate.name == field || candidate.id.as_deref() == Some(field);
        let Some(found) = self.fields.iter_mut().find(named) else {
            return Err(HttpError::NoField { form: self.id, field: field.to_owned() });
        };
        value.clone_into(&mut found.value);
        found.sent = true;
        Ok(self)
    }

    /// What is sent when the button with this id is pressed, else the first one.
    fn pairs(&self, button: Option<&Field>) -> String {
        let sent = self.fields.iter().filter(|field| field.sent).chain(button);
        let mut pairs = form_urlencoded::Serializer::new(String::new());
        for field in sent.filter(|field| !field.name.is_empty()) {
            pairs.append_pair(&field.name, &field.value);
        }
        pairs.finish()
    }
}

/// The client. One value is one person's browser profile.
#[derive(Debug)]
pub struct CookieClient {
    http: reqwest::Client,
    cookies: Cookies,
}

impl CookieClient {
    /// A browser without cookies.
    #[must_use]
    pub fn new() -> Self {
        Self::from_builder(reqwest::Client::builder())
    }

    /// A browser without cookies on a client of yours, one that trusts a test's certificate, say.
    ///
    /// # Panics
    /// When the builder's settings contradict each other.
    #[must_use]
    pub fn from_builder(builder: reqwest::ClientBuilder) -> Self {
        let builder = builder.redirect(reqwest::redirect::Policy::none()).no_proxy().timeout(TIMEOUT);
        let http = builder.build().expect("the client's settings do not contradict each other");
        Self { http, cookies: Cookies::default() }
    }

    /// Opens an address and follows redirects, but not to an address that begins with `stop_at`.
    ///
    /// # Errors
    /// When a request fails or the redirects never end. Any status is a page.
    pub async fn open(&mut self, address: &str, stop_at: &str) -> Result<Landed, HttpError> {
        let url = Url::parse(address).map_err(|source| HttpError::Address(address.to_owned(), source))?;
        self.go(Method::GET, url, None, None, stop_at).await
    }

    /// Presses the form's button with this id, or the first where `None`, and follows as [`CookieClient::open`].
    ///
    /// # Errors
    /// When there is no such button, or as [`CookieClient::open`].
    pub async fn submit(
        &mut self,
        form: &Form,
        button: Option<&str>,
        stop_at: &str,
    ) -> Result<Landed, HttpError> {
        let pressed = match button {
            None => form.buttons.first(),
            Some(id) => {
                let found = form.buttons.iter().find(|button| button.id.as_deref() == Some(id));
                Some(
                    found
                        .ok_or_else(|| HttpError::NoField { form: form.id.clone(), field: id.to_owned() })?,
                )
            }
        };
        let mut url = pressed.and_then(|button| button.action.clone()).unwrap_or_else(|| form.action.clone());
        let pairs = form.pairs(pressed);
        if form.method == Method::GET {
            url.set_query(Some(&pairs));
            return self.go(Method::GET, url, None, Some(&form.page), stop_at).await;
        }
        self.go(Method::POST, url, Some(pairs), Some(&form.page), stop_at).await
    }

    /// Opens an authorization request and does what a person does with the pages it leads to: fills in `#username`
    /// and `#password`, presses `#sign-in`, and `#consent-allow` where it is asked; returns the redirect to the
    /// client, which begins with `redirect_uri`, with its `code` or `error`.
    ///
    /// # Errors
    /// When it leads elsewhere, wrong passwords included; with the last page.
    pub async fn sign_in(
        &mut self,
        authorization_request: &str,
        username: &str,
        password: &str,
        redirect_uri: &str,
    ) -> Result<Url, HttpError> {
        let mut landed = self.open(authorization_request, redirect_uri).await?;
        let mut tried = false;
        for _ in 0..MOST_PAGES {
            let page = match landed {
                Landed::Stopped(url) => return Ok(url),
                Landed::Page(page) => page,
            };
            landed = if page.has("consent-allow") {
                self.submit(&page.form("consent-allow")?, Some("consent-allow"), redirect_uri).await?
            } else if page.has("sign-in") && !tried {
                tried = true;
                let form = page.form("sign-in")?.fill("username", username)?.fill("password", password)?;
                self.submit(&form, Some("sign-in"), redirect_uri).await?
            } else {
                return Err(HttpError::Stranded { expected: redirect_uri.to_owned(), page: Box::new(page) });
            };
        }
        match landed {
            Landed::Stopped(url) => Ok(url),
            Landed::Page(page) => {
                Err(HttpError::Stranded { expected: redirect_uri.to_owned(), page: Box::new(page) })
            }
        }
    }

    /// The value of the cookie that would be sent to this address.
    #[must_use]
    pub fn cookie(&self, url: &Url, name: &str) -> Option<&str> {
        self.cookies.value(url, name)
    }

    async fn go(
        &mut self,
        mut method: Method,
        mut url: Url,
        mut form: Option<String>,
        from: Option<&Url>,
        stop_at: &str,
    ) -> Result<Landed, HttpError> {
        for _ in 0..MOST_REDIRECTS {
            let answer = self.request(&method, &url, form.as_deref(), from).await?;
            self.cookies.keep(&url, answer.headers());
            let status = answer.status();
            if !status.is_redirection() || status == StatusCode::NOT_MODIFIED {
                let headers = answer.headers().clone();
                let body = answer.text().await;
                let body = body.map_err(|source| HttpError::Request { method, url: url.clone(), source })?;
                return Ok(Landed::Page(Page { url, status, headers, body }));
            }
            let location = answer.headers().get(header::LOCATION).and_then(|value| value.to_str().ok());
            let next = location.and_then(|location| url.join(location).ok());
            url = next.ok_or_else(|| HttpError::NoLocation(url.clone()))?;
            if !stop_at.is_empty() && url.as_str().starts_with(stop_at) {
                return Ok(Landed::Stopped(url));
            }
            // RFC 9110, 15.4: 307 and 308 keep the method; browsers turn a POST into a GET for the others.
            if !matches!(status.as_u16(), 307 | 308) {
                (method, form) = (Method::GET, None);
            }
        }
        Err(HttpError::Redirects(url))
    }

    async fn request(
        &self,
        method: &Method,
        url: &Url,
        form: Option<&str>,
        from: Option<&Url>,
    ) -> Result<reqwest::Response, HttpError> {
        let mut request = self.http.request(method.clone(), url.clone());
        request = request.header(header::ACCEPT, "text/html,application/xhtml+xml,*/*;q=0.8");
        request = request.header("sec-fetch-mode", "navigate").header("sec-fetch-dest", "document");
        let same_origin = from.map(|from| from.origin() == url.origin());
        let site = same_origin.map_or("none", |same| if same { "same-origin" } else { "cross-site" });
        request = request.header("sec-fetch-site", site);
        if let Some(cookies) = self.cookies.header(url) {
            request = request.header(header::COOKIE, cookies);
        }
        if let Some(form) = form {
            let origin = from.unwrap_or(url).origin().ascii_serialization();
            request = request.header(header::ORIGIN, origin);
            request = request.header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
            request = request.body(form.to_owned());
        }
        let sent = request.send().await;
        sent.map_err(|source| HttpError::Request { method: method.clone(), url: url.clone(), source })
    }
}

impl Default for CookieClient {
    fn default() -> Self {
        Self::new()
    }
}
