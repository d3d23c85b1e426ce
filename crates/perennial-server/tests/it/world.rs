//! A service with clients, a person and sessions, and what tests ask of it.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::{HeaderMap, Method, Request, StatusCode, header};
use http_body_util::BodyExt as _;
use perennial_core::policy::{ClientKind, Level, Policy, Response};
use perennial_core::session::token::TokenKind;
use perennial_core::session::{Birth, Grant, Hot, Reason, SessionSecret};
use perennial_core::write::{Applied, Durability, Event, Expect, Ticket, TicketChange, Write};
use perennial_core::{
    ClientId, ContinuityId, Generation, Scopes, ServiceMillis, Session, SessionId, SubjectId, UnixMillis,
};
use perennial_server::Caller;
use perennial_server::accounts::{Accounts, NewAccount};
use perennial_server::clients::{Client, Clients, Consent, GrantType, secret_hash};
use perennial_server::clock::Clock;
use perennial_server::keys::{KeyEncryptionKey, Keys, SigningAlgorithm};
use perennial_server::oauth::code::CodeAgreement;
use perennial_server::service::Service;
use perennial_store::Store as _;
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use tower::ServiceExt as _;

use crate::unreliable_store::UnreliableStore;

pub(crate) const ISSUER: &str = "http://localhost:8080";
pub(crate) const REDIRECT_URI: &str = "http://localhost:9000/callback";
pub(crate) const VERIFIER: &str = "a-verifier-of-at-least-forty-three-characters-0123";
pub(crate) const RETRY_KEY: &str = "retry-key-of-at-least-22-characters";
pub(crate) const OTHER_RETRY_KEY: &str = "another-key-of-at-least-22-characters";
pub(crate) const BACK_END_SECRET: &str = "a back end's secret: with + and %";
pub(crate) const MINUTE_MS: u64 = 60_000;
pub(crate) const DAY_MS: u64 = 86_400_000;

pub(crate) struct World {
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
    pub(crate) body: Value,
}

impl Answer {
    pub(crate) fn text(&self, member: &str) -> &str {
        self.body[member].as_str().unwrap_or_else(|| panic!("{member} is no text in {self:?}"))
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// Asserts what every refusal is about, in one line.
    #[track_caller]
    pub(crate) fn is_refused(&self, status: u16, error: &str, reason: &str, action: &str, retryable: bool) {
        assert_eq!(
            (
                self.status.as_u16(),
                self.text("error"),
                self.text("reason"),
                self.text("action"),
                self.body["retryable"].as_bool()
            ),
            (status, error, reason, action, Some(retryable)),
            "{self:?}"
        );
        assert_eq!(self.header("cache-control"), "no-store");
        assert_eq!(self.text("error_uri"), format!("{ISSUER}/errors/{error}"));
        assert_eq!(self.text("request_id"), "a-request");
    }

    #[track_caller]
    pub(crate) fn is_issued(&self) -> &Self {
        assert_eq!(self.status, StatusCode::OK, "{self:?}");
        self
    }
}

/// A session that the person has just agreed to.
pub(crate) struct Born {
    pub(crate) sid: SessionId,
    pub(crate) code: String,
}

impl World {
    pub(crate) async fn new() -> Self {
        Self::with(SigningAlgorithm::Es256).await
    }

    pub(crate) async fn with(algorithm: SigningAlgorithm) -> Self {
        let store = Arc::new(UnreliableStore::default());
        // The service has run for a while, so that tests can look back.
        store.keep_service_clock(ServiceMillis(1000 * DAY_MS)).await.unwrap();
        let clock = Clock::start(&*store).await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        let kek = KeyEncryptionKey::load_or_create(&folder.path().join("kek")).unwrap();
        let keys = Keys::open(&*store, &kek, algorithm, clock.now().wall).await.unwrap();
        let accounts = Accounts::new(1);
        let ada = NewAccount {
            login: "ada".to_owned(),
            name: Some("Ada Lovelace".to_owned()),
            email: Some("ada@example.org".to_owned()),
            password: "correct horse battery staple".to_owned().into(),
        };
        let subject = accounts.add(&*store, ada, clock.now().wall).await.unwrap().subject;
        let service = Arc::new(Service::new(
            ISSUER,
            Arc::<UnreliableStore>::clone(&store),
            keys,
            Clients::new(clients()),
            accounts,
            Policy::default(),
            clock,
        ));
        let router = perennial_server::oauth::routes().with_state(Arc::clone(&service));
        Self { service, store, subject, router }
    }

    /// A session of `client` at generation 0, as consent gives birth to it.
    pub(crate) async fn consented(&self, client: &str) -> Born {
        self.consented_to(client, "openid profile email notes").await
    }

    pub(crate) async fn consented_to(&self, client: &str, scopes: &str) -> Born {
        let now = self.service.clock.now();
        let sid = SessionId::new(now.wall, rand());
        let rules = self.service.clients.named(client).unwrap().rules(&self.service.policy.load());
        let grant = Grant {
            subject: self.subject.clone(),
            client: ClientId::from(client),
            scopes: Scopes::parse(scopes).unwrap(),
            continuity: ContinuityId::new(now.wall, rand()),
            secret: SessionSecret(rand()),
            born_at: now.wall,
            authenticated_at: now.wall,
            acr: "urn:perennial:password".into(),
            absolute_at: now.wall.plus(rules.absolute_ms),
            bound_key: None,
        };
        let secret = grant.secret.clone();
        let birth = Birth { now, code_lifetime_ms: rules.code_lifetime_ms, policy_version: 0 };
        let session = Session::born(grant, birth);
        let agreement = CodeAgreement {
            redirect_uri: Some(REDIRECT_URI.to_owned()),
            code_challenge: URL_SAFE_NO_PAD.encode(Sha256::digest(VERIFIER)),
            nonce: Some("a-nonce".to_owned()),
        };
        let ticket = Ticket {
            key: CodeAgreement::key(sid),
            expires_at: now.wall.plus(DAY_MS),
            payload: serde_json::to_vec(&agreement).unwrap(),
        };
        let write = Write {
            sid,
            expect: Expect::Absent,
            hot: session.hot,
            grant: Some(session.grant),
            ticket: Some(TicketChange::Put(ticket)),
            event: event(now.wall, Reason::Born),
            durability: Durability::Replicated,
        };
        assert!(matches!(self.store.apply(write).await.unwrap(), Applied::Applied(_)));
        let code = self.service.keys.ring().mint(TokenKind::Code, &secret, sid, Generation(0));
        Born { sid, code }
    }

    /// A session with its first refresh token.
    pub(crate) async fn signed_in(&self, client: &str) -> (SessionId, String) {
        let born = self.consented(client).await;
        let answer = self.redeem(client, &born.code, &[]).await;
        (born.sid, answer.is_issued().text("refresh_token").to_owned())
    }

    pub(crate) async fn redeem(&self, client: &str, code: &str, more: &[(&str, &str)]) -> Answer {
        let mut form = vec![
            ("grant_type", "authorization_code"),
            ("code", code),
            ("redirect_uri", REDIRECT_URI),
            ("code_verifier", VERIFIER),
            ("client_id", client),
        ];
        form.extend(more);
        self.post("/token", &form, &[]).await
    }

    pub(crate) async fn refresh(&self, client: &str, token: &str, more: &[(&str, &str)]) -> Answer {
        let mut form = vec![("grant_type", "refresh_token"), ("refresh_token", token), ("client_id", client)];
        form.extend(more);
        self.post("/token", &form, &[]).await
    }

    /// A refresh from another network, by another kind of software.
    pub(crate) async fn refresh_from(&self, addr: IpAddr, agent: &str, client: &str, token: &str) -> Answer {
        let form = [("grant_type", "refresh_token"), ("refresh_token", token), ("client_id", client)];
        let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
        let request = Request::post("/token")
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .header(header::USER_AGENT, agent)
            .body(Body::from(body))
            .unwrap();
        self.send_from(addr, request).await
    }

    pub(crate) async fn post(&self, path: &str, form: &[(&str, &str)], headers: &[(&str, &str)]) -> Answer {
        let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
        let mut request =
            Request::post(path).header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.send(request.body(Body::from(body)).unwrap()).await
    }

    pub(crate) async fn get(&self, path: &str, headers: &[(&str, &str)]) -> Answer {
        self.ask(Method::GET, path, headers).await
    }

    pub(crate) async fn ask(&self, method: Method, path: &str, headers: &[(&str, &str)]) -> Answer {
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.send(request.body(Body::empty()).unwrap()).await
    }

    pub(crate) async fn send(&self, request: Request<Body>) -> Answer {
        self.send_from(Ipv4Addr::new(192, 0, 2, 1).into(), request).await
    }

    pub(crate) async fn send_from(&self, addr: IpAddr, mut request: Request<Body>) -> Answer {
        let caller = Caller { addr, secure: false, request_id: "a-request".into() };
        request.extensions_mut().insert(caller);
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (head, body) = response.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        let body = if body.is_empty() {
            Value::Null
        } else {
            serde_json::from_slice(&body).unwrap_or_else(|error| panic!("{error} in {body:?}"))
        };
        Answer { status: head.status, headers: head.headers, body }
    }

    pub(crate) async fn row(&self, sid: SessionId) -> Session {
        self.store.inner.session(sid).await.unwrap().expect("the session is there")
    }

    /// Changes a row behind the service's back.
    pub(crate) async fn alter(&self, sid: SessionId, change: impl FnOnce(&mut Hot, &mut Grant)) {
        let session = self.row(sid).await;
        let (mut hot, mut grant) = (session.hot, (*session.grant).clone());
        change(&mut hot, &mut grant);
        let write = Write {
            sid,
            expect: Expect::Version(session.hot.version),
            hot,
            grant: Some(Arc::new(grant)),
            ticket: None,
            event: event(UnixMillis(0), Reason::EndedByChange),
            durability: Durability::Local,
        };
        assert!(matches!(self.store.inner.apply(write).await.unwrap(), Applied::Applied(_)));
    }

    /// Lets `ms` milliseconds of service time pass for one session.
    pub(crate) async fn age(&self, sid: SessionId, ms: u64) {
        self.alter(sid, |hot, _| {
            hot.rotated_at = ServiceMillis(hot.rotated_at.0 - ms);
            hot.idle_at = ServiceMillis(hot.idle_at.0 - ms);
        })
        .await;
    }

    /// The token of another generation of a session.
    pub(crate) async fn token_of(&self, sid: SessionId, generation: u32) -> String {
        let secret = &self.row(sid).await.grant.secret;
        self.service.keys.ring().mint(TokenKind::Refresh, secret, sid, Generation(generation))
    }
}

/// The claims of a JWT, unverified.
pub(crate) fn claims(token: &str) -> Value {
    let claims = token.split('.').nth(1).expect("three parts");
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims).unwrap()).unwrap()
}

/// Random bytes that nothing depends on but their being different.
pub(crate) fn rand<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).unwrap();
    bytes
}

fn event(at: UnixMillis, reason: Reason) -> Event {
    Event {
        at,
        reason,
        generation: Generation(0),
        presented: None,
        dispute: None,
        evidence: 0,
        request_id: None,
    }
}

fn clients() -> Vec<Client> {
    let all = vec![GrantType::AuthorizationCode, GrantType::RefreshToken, GrantType::ClientCredentials];
    let web = Client {
        id: ClientId::from("web"),
        name: "Web".to_owned(),
        kind: ClientKind::Web,
        secret_sha256: None,
        redirect_uris: vec![REDIRECT_URI.to_owned()],
        post_logout_redirect_uris: vec![],
        origins: vec!["https://app.example".to_owned(), "http://localhost:*".to_owned()],
        grant_types: vec![GrantType::AuthorizationCode, GrantType::RefreshToken],
        scopes: Scopes::parse("openid profile email offline_access notes").unwrap(),
        consent: Consent::NotNeeded,
        audience: None,
        level: None,
        response: None,
        disabled: false,
    };
    let named = |id: &str| Client { id: ClientId::from(id), name: id.to_owned(), ..web.clone() };
    vec![
        web.clone(),
        named("other"),
        Client { level: Some(Level::Strict), response: Some(Response::Revoke), ..named("strict") },
        Client {
            secret_sha256: Some(secret_hash(BACK_END_SECRET)),
            grant_types: all.clone(),
            audience: Some("https://api.example".to_owned()),
            ..named("back end")
        },
        Client {
            secret_sha256: Some(secret_hash("service-secret")),
            kind: ClientKind::Service,
            grant_types: vec![GrantType::ClientCredentials],
            scopes: Scopes::parse("notes reports").unwrap(),
            ..named("service")
        },
        Client { grant_types: all, ..named("public service") },
        Client { origins: vec!["https://gone.example".to_owned()], disabled: true, ..named("disabled") },
    ]
}
