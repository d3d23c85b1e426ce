//! The file: TOML, of which every key is known, with the place of each value.

use std::ops::Range;
use std::path::Path;

use toml::Spanned;
use toml::de::{DeString, DeTable, DeValue};

use super::nearest::suggestion;
use super::{ClientForm, ConfigError, Origin, Setting};

/// What a file says.
#[derive(Default)]
pub(super) struct Document {
    /// Its single values.
    pub(super) values: Vec<(Setting, String, Origin)>,
    /// Its clients.
    pub(super) clients: Vec<ClientEntry>,
}

/// One `[[client]]` and where its keys stand.
pub(super) struct ClientEntry {
    pub(super) form: ClientForm,
    at: Range<usize>,
    keys: Vec<(String, Range<usize>)>,
}

impl ClientEntry {
    /// The place of a key, or of the whole client where it does not have it.
    pub(super) fn place(&self, key: &str) -> Range<usize> {
        let own = self.keys.iter().find(|(name, _)| name == key).map(|(_, at)| at.clone());
        own.unwrap_or_else(|| self.at.clone())
    }
}

/// A file's text and its name, for the places in errors.
#[derive(Clone, Copy)]
pub(super) struct Source<'a> {
    pub(super) path: &'a Path,
    pub(super) text: &'a str,
}

impl Source<'_> {
    /// The place of `at`.
    pub(super) fn origin(&self, at: &Range<usize>) -> Origin {
        let before = self.text.get(..at.start).unwrap_or(self.text);
        let line = before.matches('\n').count() + 1;
        let column = before.chars().rev().take_while(|c| *c != '\n').count() + 1;
        Origin::File { path: self.path.to_owned(), line, column }
    }

    fn error(&self, at: &Range<usize>, message: impl Into<String>) -> ConfigError {
        ConfigError::new(self.origin(at), message)
    }
}

const CLIENT: &str = "client";

/// Reads a whole file.
///
/// # Errors
/// The first key or value that is not as it should be.
pub(super) fn parse(source: Source<'_>) -> Result<Document, ConfigError> {
    let table = DeTable::parse(source.text).map_err(|error| {
        source.error(&error.span().unwrap_or(0..0), format!("not TOML: {}", one_line(error.message())))
    })?;
    let mut document = Document::default();
    section(source, "", table.get_ref(), &mut document)?;
    Ok(document)
}

fn one_line(message: &str) -> String {
    message.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn section(
    source: Source<'_>,
    prefix: &str,
    table: &DeTable<'_>,
    document: &mut Document,
) -> Result<(), ConfigError> {
    for (name, value) in in_order(table) {
        let key = format!("{prefix}{}", name.get_ref());
        let below = format!("{key}.");
        if key == CLIENT {
            for entry in array(source, &key, value)? {
                document.clients.push(client(source, entry)?);
            }
        } else if let Some(setting) = Setting::ALL.iter().copied().find(|setting| setting.key() == key) {
            document.values.push((setting, scalar(source, setting, value)?, source.origin(&value.span())));
        } else if Setting::ALL.iter().any(|setting| setting.key().starts_with(&below)) {
            let DeValue::Table(inner) = value.get_ref() else {
                return Err(source.error(&value.span(), format!("{key}: must be a table: [{key}]")));
            };
            section(source, &below, inner, document)?;
        } else {
            let suggestion = suggestion(name.get_ref(), names_in(prefix).iter().copied());
            return Err(source.error(&name.span(), format!("unknown key `{key}`: {suggestion}")));
        }
    }
    Ok(())
}

/// As the file has them, so that its first fault is the one that is told.
fn in_order<'a, 'd>(table: &'a DeTable<'d>) -> Vec<(&'a Spanned<DeString<'d>>, &'a Spanned<DeValue<'d>>)> {
    let mut entries: Vec<_> = table.iter().collect();
    entries.sort_by_key(|(name, _)| name.span().start);
    entries
}

/// The names that may stand in a section, in the order of [`Setting::ALL`].
fn names_in(prefix: &str) -> Vec<&'static str> {
    let mut names: Vec<&str> = Setting::ALL
        .iter()
        .filter_map(|setting| setting.key().strip_prefix(prefix))
        .filter_map(|rest| rest.split('.').next())
        .collect();
    names.dedup();
    if prefix.is_empty() {
        names.push(CLIENT);
    }
    names
}

fn scalar(source: Source<'_>, setting: Setting, value: &Spanned<DeValue<'_>>) -> Result<String, ConfigError> {
    let text = match value.get_ref() {
        DeValue::String(text) => Some(text.to_string()),
        DeValue::Integer(number) => {
            i64::from_str_radix(number.as_str(), number.radix()).ok().map(|n| n.to_string())
        }
        DeValue::Array(_) if setting == Setting::TrustedProxies => {
            Some(strings(source, setting.key(), value)?.join(","))
        }
        DeValue::Array(_)
        | DeValue::Float(_)
        | DeValue::Boolean(_)
        | DeValue::Datetime(_)
        | DeValue::Table(_) => None,
    };
    text.ok_or_else(|| {
        let found = value.get_ref().type_str();
        source.error(
            &value.span(),
            format!("{}: must be a text or a whole number, not {}", setting.key(), a(found)),
        )
    })
}

fn a(kind: &str) -> String {
    let article = if kind.starts_with(['a', 'e', 'i', 'o']) { "an" } else { "a" };
    format!("{article} {kind}")
}

fn array<'a, 'd>(
    source: Source<'_>,
    key: &str,
    value: &'a Spanned<DeValue<'d>>,
) -> Result<&'a [Spanned<DeValue<'d>>], ConfigError> {
    match value.get_ref() {
        DeValue::Array(entries) => Ok(entries),
        DeValue::Table(_) => {
            Err(source.error(&value.span(), format!("{key}: write [[{key}]], with two brackets")))
        }
        DeValue::String(_)
        | DeValue::Integer(_)
        | DeValue::Float(_)
        | DeValue::Boolean(_)
        | DeValue::Datetime(_) => {
            let found = value.get_ref().type_str();
            Err(source.error(&value.span(), format!("{key}: must be a list, not {}", a(found))))
        }
    }
}

fn string(source: Source<'_>, key: &str, value: &Spanned<DeValue<'_>>) -> Result<String, ConfigError> {
    value.get_ref().as_str().map(str::to_owned).ok_or_else(|| {
        let found = value.get_ref().type_str();
        source.error(&value.span(), format!("{key}: must be a text, not {}", a(found)))
    })
}

fn strings(source: Source<'_>, key: &str, value: &Spanned<DeValue<'_>>) -> Result<Vec<String>, ConfigError> {
    array(source, key, value)?.iter().map(|entry| string(source, key, entry)).collect()
}

const CLIENT_KEYS: [&str; 15] = [
    "id",
    "name",
    "kind",
    "secret",
    "secret_sha256",
    "redirect_uris",
    "post_logout_redirect_uris",
    "origins",
    "grant_types",
    "scopes",
    "consent",
    "audience",
    "level",
    "response",
    "disabled",
];

fn client(source: Source<'_>, value: &Spanned<DeValue<'_>>) -> Result<ClientEntry, ConfigError> {
    let DeValue::Table(table) = value.get_ref() else {
        return Err(source.error(&value.span(), "client: write each one under [[client]]"));
    };
    let mut form = ClientForm::default();
    let mut keys = Vec::new();
    for (name, value) in in_order(table) {
        let key = name.get_ref().as_ref();
        let full = format!("client.{key}");
        let full = full.as_str();
        match key {
            "id" => form.id = string(source, full, value)?,
            "name" => form.name = Some(string(source, full, value)?),
            "kind" => form.kind = Some(string(source, full, value)?),
            "secret" => form.secret = Some(string(source, full, value)?),
            "secret_sha256" => form.secret_sha256 = Some(string(source, full, value)?),
            "redirect_uris" => form.redirect_uris = strings(source, full, value)?,
            "post_logout_redirect_uris" => form.post_logout_redirect_uris = strings(source, full, value)?,
            "origins" => form.origins = strings(source, full, value)?,
            "grant_types" => form.grant_types = strings(source, full, value)?,
            "scopes" => form.scopes = scopes(source, full, value)?,
            "consent" => form.consent = Some(string(source, full, value)?),
            "audience" => form.audience = Some(string(source, full, value)?),
            "level" => form.level = Some(string(source, full, value)?),
            "response" => form.response = Some(string(source, full, value)?),
            "disabled" => {
                form.disabled = value
                    .get_ref()
                    .as_bool()
                    .ok_or_else(|| source.error(&value.span(), "client.disabled: must be true or false"))?;
            }
            unknown => {
                let suggestion = suggestion(unknown, CLIENT_KEYS.iter().copied());
                return Err(
                    source.error(&name.span(), format!("unknown key `client.{unknown}`: {suggestion}"))
                );
            }
        }
        keys.push((key.to_owned(), value.span()));
    }
    Ok(ClientEntry { form, at: value.span(), keys })
}

/// A list, or the space-separated text of RFC 6749, 3.3.
fn scopes(source: Source<'_>, key: &str, value: &Spanned<DeValue<'_>>) -> Result<Vec<String>, ConfigError> {
    match value.get_ref().as_str() {
        Some(text) => Ok(vec![text.to_owned()]),
        None => strings(source, key, value),
    }
}
