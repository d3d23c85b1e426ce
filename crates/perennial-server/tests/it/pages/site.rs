//! A server with a person and clients, as browsers see it.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use http::{HeaderMap, Request, StatusCode};
use http_body_util::BodyExt as _;
use perennial_core::policy::{ClientKind, Policy};
use perennial_core::{ClientId, Scopes, Session, SessionId, SubjectId};
use perennial_server::Caller;
use perennial_server::accounts::{Accounts, NewAccount};
use perennial_server::clients::{Client, Clients, Consent, GrantType};
use perennial_server::clock::Clock;
use perennial_server::keys::{KeyEncryptionKey, Keys, SigningAlgorithm};
use perennial_server::service::Service;
use perennial_store::{SessionsOf, Store};
use tower::ServiceExt as _;

use crate::unreliable_store::UnreliableStore;

pub(crate) const LOGIN: &str = "ada";
pub(crate) const PASSWORD: &str = "correct horse battery staple";
pub(crate) const REDIRECT_URI: &str = "https://app.example/callback";
pub(crate) const VERIFIER: &str = "a-verifier-of-at-least-forty-three-characters-0123";
/// Base64url of SHA-256 of the verifier.
pub(crate) const CHALLENGE: &str = "v70ixSDfoBEDrDZV-0YABusoh_Ajp_a66XlJlwBHynw";

pub(crate) struct Site {
    pub(crate) service: Arc<Service>,
    pub(crate) store: Arc<UnreliableStore>,
    pub(crate) subject: SubjectId,
    router: Router,
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
}

impl Site {
    pub(crate) async fn new() -> Self {
        Self::at("http://localhost:8080").await
    }

    pub(crate) async fn at(issuer: &str) -> Self {
        let store = Arc::new(UnreliableStore::default());
        let clock = Clock::start(&*store).await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        let kek = KeyEncryptionKey::load_or_create(&folder.path().join("kek")).unwrap();
        let keys = Keys::open(&*store, &kek, SigningAlgorithm::Es256, clock.now().wall).await.unwrap();
        let accounts = Accounts::new(2);
        let ada = NewAccount {
            login: LOGIN.to_owned(),
            name: Some("Ada Lovelace".to_owned()),
            email: Some("ada@example.org".to_owned()),
            password: PASSWORD.to_owned().into(),
        };
        let subject = accounts.add(&*store, ada, clock.now().wall).await.unwrap().subject;
        let clients = Clients::new(clients());
        let store_of_service: Arc<dyn Store> = Arc::<UnreliableStore>::clone(&store);
        let service = Arc::new(Service::new(
            issuer,
            store_of_service,
            keys,
            clients,
            accounts,
            Policy::default(),
            clock,
        ));
        let router = perennial_server::pages::routes()
            .merge(perennial_server::oauth::routes())
            .with_state(Arc::clone(&service));
        Self { service, store, subject, router }
    }

    /// Sends a request as it is.
    pub(crate) async fn send(&self, addr: &str, mut request: Request<Body>) -> Answer {
        let caller = Caller { addr: addr.parse().unwrap(), secure: true, request_id: "a-request".into() };
        request.extensions_mut().insert(caller);
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (head, body) = response.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        Answer { status: head.status, headers: head.headers, body: String::from_utf8(body.to_vec()).unwrap() }
    }

    /// Another account.
    pub(crate) async fn add_account(&self, login: &str, password: &str) -> SubjectId {
        let new = NewAccount {
            login: login.to_owned(),
            name: None,
            email: None,
            password: password.to_owned().into(),
        };
        let now = self.service.clock.now().wall;
        self.service.accounts.add(&*self.store, new, now).await.unwrap().subject
    }

    pub(crate) async fn sessions(&self) -> Vec<(SessionId, Session)> {
        self.store.sessions(SessionsOf::All, None, 1000).await.unwrap()
    }
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    #[track_caller]
    pub(crate) fn is_page(&self, status: u16) -> &Self {
        assert_eq!(self.status.as_u16(), status, "{self:?}");
        assert_eq!(self.header("content-type"), "text/html; charset=utf-8");
        self
    }

    #[track_caller]
    pub(crate) fn shows(&self, text: &str) -> &Self {
        assert!(self.body.contains(text), "`{text}` is not in {}", self.body);
        self
    }

    #[track_caller]
    pub(crate) fn shows_no(&self, text: &str) -> &Self {
        assert!(!self.body.contains(text), "`{text}` is in {}", self.body);
        self
    }

    /// Where a 303 leads.
    #[track_caller]
    pub(crate) fn location(&self) -> &str {
        assert_eq!(self.status, StatusCode::SEE_OTHER, "{self:?}");
        assert_eq!(self.header("referrer-policy"), "no-referrer");
        assert_eq!(self.header("cache-control"), "no-store");
        self.header("location")
    }

    /// A parameter of the address that a 303 leads to.
    #[track_caller]
    pub(crate) fn answer(&self, name: &str) -> Option<String> {
        let (_, query) = self.location().split_once('?').unwrap_or_default();
        let mut values = form_urlencoded::parse(query.as_bytes()).filter(|(own, _)| own == name);
        let value = values.next().map(|(_, value)| value.into_owned());
        assert!(values.next().is_none(), "{name} comes twice in {query}");
        value
    }

    /// Asserts an error that went to the client.
    #[track_caller]
    pub(crate) fn is_refused(&self, error: &str) -> &Self {
        assert!(self.location().starts_with(REDIRECT_URI), "{self:?}");
        assert_eq!(self.answer("error").as_deref(), Some(error), "{self:?}");
        assert!(self.answer("error_description").is_some_and(|words| !words.is_empty()));
        assert!(self.answer("iss").is_some());
        assert_eq!(self.answer("code"), None);
        self
    }

    /// The code that went to the client.
    #[track_caller]
    pub(crate) fn code(&self) -> String {
        assert!(self.location().starts_with(REDIRECT_URI), "{self:?}");
        assert_eq!(self.answer("error"), None);
        self.answer("code").expect("a code")
    }

    /// The value of a field in the page's form, as a browser would send it.
    #[track_caller]
    pub(crate) fn field(&self, name: &str) -> String {
        let start = format!("name=\"{name}\"");
        let rest =
            &self.body[self.body.find(&start).unwrap_or_else(|| panic!("no {name} in {}", self.body))..];
        let tag = &rest[..rest.find('>').unwrap()];
        let value = tag.find("value=\"").map_or("", |at| &tag[at + 7..]);
        unescape(&value[..value.find('"').unwrap_or(0)])
    }
}

fn unescape(text: &str) -> String {
    text.replace("&lt;", "<")
        .replace("&gt;", ">")
        .replace("&quot;", "\"")
        .replace("&#x27;", "'")
        .replace("&#x2f;", "/")
        .replace("&amp;", "&")
}

fn clients() -> Vec<Client> {
    let app = Client {
        id: ClientId::from("app"),
        name: "Paper & Ink".to_owned(),
        kind: ClientKind::Web,
        secret_sha256: None,
        redirect_uris: vec![REDIRECT_URI.to_owned()],
        post_logout_redirect_uris: vec!["https://app.example/bye".to_owned()],
        origins: vec![],
        grant_types: vec![GrantType::AuthorizationCode, GrantType::RefreshToken],
        scopes: Scopes::parse("openid profile email offline_access notes").unwrap(),
        consent: Consent::NotNeeded,
        audience: None,
        level: None,
        response: None,
        disabled: false,
    };
    let named = |id: &str| Client { id: ClientId::from(id), ..app.clone() };
    let native = ["http://127.0.0.1/callback", "http://[::1]/callback", "com.example.app:/callback"];
    vec![
        app.clone(),
        Client { consent: Consent::Ask, ..named("partner") },
        Client {
            redirect_uris: native.map(str::to_owned).to_vec(),
            kind: ClientKind::Native,
            ..named("native")
        },
        Client { redirect_uris: vec!["https://app.example/callback?tenant=1".to_owned()], ..named("tenant") },
        Client { grant_types: vec![GrantType::ClientCredentials], ..named("service") },
        Client { grant_types: vec![GrantType::AuthorizationCode], ..named("short") },
        Client { disabled: true, ..named("off") },
        Client { name: "<script>alert(1)</script>".to_owned(), consent: Consent::Ask, ..named("hostile") },
    ]
}
