//! The policy document, as far as lifetimes, retries and reactions go: TOML, validated as a whole.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::policy::{ClientKind, Level, Response, Rules, parse_duration_ms};

/// A policy, resolved per kind of client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    name: String,
    level: Level,
    web: Rules,
    native: Rules,
    service: Rules,
    agent: Rules,
}

/// Why a document is no policy: one line, with line and column where it has them.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PolicyError {
    /// Not TOML, an unknown key, or a value of another type.
    #[error("line {line}, column {column}: {message}")]
    Malformed {
        /// From 1.
        line: usize,
        /// From 1.
        column: usize,
        /// What is wrong and what is allowed.
        message: String,
    },
    /// A value that is no duration, or out of its bounds.
    #[error("{key}: {message}")]
    Value {
        /// The key's full path.
        key: String,
        /// What is wrong and what is allowed.
        message: String,
    },
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Document {
    policy: About,
    client_kinds: BTreeMap<ClientKindKey, KindSection>,
    theft_detection: TheftDetection,
}

#[derive(Deserialize, PartialEq, Eq, PartialOrd, Ord, Clone, Copy)]
#[serde(rename_all = "snake_case")]
enum ClientKindKey {
    Web,
    Native,
    Service,
    Agent,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct About {
    name: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct KindSection {
    access_token: AccessToken,
    session: SessionSection,
    retry: Retry,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct AccessToken {
    lifetime: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct SessionSection {
    idle: Option<String>,
    absolute: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Retry {
    siblings: Option<String>,
    without_proof: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct TheftDetection {
    level: Option<Level>,
    response: Option<Response>,
    threshold: Option<u16>,
}

impl Default for Policy {
    /// An empty file is a good policy.
    fn default() -> Self {
        Self {
            name: "default".to_owned(),
            level: Level::Balanced,
            web: Rules::of_kind(ClientKind::Web),
            native: Rules::of_kind(ClientKind::Native),
            service: Rules::of_kind(ClientKind::Service),
            agent: Rules::of_kind(ClientKind::Agent),
        }
    }
}

impl Policy {
    /// Reads a document.
    ///
    /// # Errors
    /// The first thing that is wrong with it; nothing of it is applied then.
    pub fn parse(text: &str) -> Result<Self, PolicyError> {
        let document: Document = toml::from_str(text).map_err(|error| malformed(text, &error))?;
        let mut policy = Self::default();
        if let Some(name) = document.policy.name {
            policy.name = name;
        }
        policy.level = document.theft_detection.level.unwrap_or(policy.level);
        for kind in [ClientKind::Web, ClientKind::Native, ClientKind::Service, ClientKind::Agent] {
            let section = document.client_kinds.get(&key_of(kind));
            let rules = resolve(kind, section, &document.theft_detection)?;
            *policy.slot(kind) = rules;
        }
        Ok(policy)
    }

    /// What the document calls itself.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The rules for a client of `kind`, at its own level where it has one.
    #[must_use]
    pub fn rules(&self, kind: ClientKind, level: Option<Level>, response: Option<Response>) -> Rules {
        let rules = match kind {
            ClientKind::Web => self.web,
            ClientKind::Native => self.native,
            ClientKind::Service => self.service,
            ClientKind::Agent => self.agent,
        };
        let rules = rules.at_level(level.unwrap_or(self.level));
        Rules { response: response.unwrap_or(rules.response), ..rules }
    }

    fn slot(&mut self, kind: ClientKind) -> &mut Rules {
        match kind {
            ClientKind::Web => &mut self.web,
            ClientKind::Native => &mut self.native,
            ClientKind::Service => &mut self.service,
            ClientKind::Agent => &mut self.agent,
        }
    }
}

const fn key_of(kind: ClientKind) -> ClientKindKey {
    match kind {
        ClientKind::Web => ClientKindKey::Web,
        ClientKind::Native => ClientKindKey::Native,
        ClientKind::Service => ClientKindKey::Service,
        ClientKind::Agent => ClientKindKey::Agent,
    }
}

const fn name_of(kind: ClientKind) -> &'static str {
    match kind {
        ClientKind::Web => "web",
        ClientKind::Native => "native",
        ClientKind::Service => "service",
        ClientKind::Agent => "agent",
    }
}

fn resolve(
    kind: ClientKind,
    own: Option<&KindSection>,
    theft: &TheftDetection,
) -> Result<Rules, PolicyError> {
    let mut rules = Rules::of_kind(kind);
    rules.response = theft.response.unwrap_or(rules.response);
    rules.threshold = theft.threshold.unwrap_or(rules.threshold);
    let Some(own) = own else { return Ok(rules) };
    for (key, text, target) in [
        ("access_token.lifetime", &own.access_token.lifetime, &mut rules.access_lifetime_ms),
        ("session.idle", &own.session.idle, &mut rules.idle_ms),
        ("session.absolute", &own.session.absolute, &mut rules.absolute_ms),
        ("retry.siblings", &own.retry.siblings, &mut rules.siblings_ms),
        ("retry.without_proof", &own.retry.without_proof, &mut rules.without_proof_ms),
    ] {
        if let Some(text) = text {
            *target = parse_duration_ms(text).map_err(|error| value(kind, key, &error.to_string()))?;
        }
    }
    check(kind, &rules)?;
    Ok(rules)
}

fn check(kind: ClientKind, rules: &Rules) -> Result<(), PolicyError> {
    if rules.access_lifetime_ms == 0 {
        return Err(value(kind, "access_token.lifetime", "an access token must live at least 1s"));
    }
    if rules.idle_ms == 0 || rules.idle_ms > rules.absolute_ms {
        return Err(value(
            kind,
            "session.idle",
            "must be at least 1s and no longer than session.absolute: shorten it or lengthen session.absolute",
        ));
    }
    Ok(())
}

fn value(kind: ClientKind, key: &str, message: &str) -> PolicyError {
    PolicyError::Value { key: format!("client_kinds.{}.{key}", name_of(kind)), message: message.to_owned() }
}

fn malformed(text: &str, error: &toml::de::Error) -> PolicyError {
    let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or("");
    let line = before.matches('\n').count() + 1;
    let column = before.chars().rev().take_while(|c| *c != '\n').count() + 1;
    PolicyError::Malformed { line, column, message: error.message().to_owned() }
}
