//! The layers become one configuration: file, then environment, then flags.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use perennial_core::policy::{Policy, PolicyError};

use super::document::{self, Document, Source};
use super::setting::TlsPair;
use super::{Config, ConfigError, DEFAULT_FILE, KEY_FILE, Layers, Origin, Setting, TlsFiles};
use crate::clients::Client;

pub(super) fn read(layers: Layers) -> Result<Config, ConfigError> {
    let (path, text) = text_of(&layers)?;
    let source = Source { path: &path, text: &text };
    let document = document::parse(source)?;
    let clients = clients(source, &document)?;
    let folder = path.parent().unwrap_or(Path::new("")).to_owned();

    let from_file =
        document.values.into_iter().map(|(setting, text, origin)| (setting, text, origin, &*folder));
    let here = Path::new("");
    let from_environment = layers
        .environment
        .iter()
        .map(|(setting, text)| (*setting, text.clone(), Origin::Environment(setting.variable()), here));
    let from_flags = layers
        .flags
        .iter()
        .map(|(setting, text)| (*setting, text.clone(), Origin::Flag(setting.flag()), here));

    let mut config = Config::defaults(None);
    let mut tls = TlsPair::default();
    let mut origins = BTreeMap::new();
    for (setting, text, origin, base) in from_file.chain(from_environment).chain(from_flags) {
        setting
            .apply(&text, base, &mut config, &mut tls)
            .map_err(|message| ConfigError::new(origin.clone(), format!("{}: {message}", setting.key())))?;
        origins.insert(setting, origin);
    }
    config.layers = Some(layers);
    config.origins = origins;
    config.clients = clients;
    config.tls = tls_files(tls, &config)?;
    if config.origin(Setting::KeyEncryptionKey) == Origin::Default {
        config.key_encryption_key = config.data.join(KEY_FILE);
    }
    if let Some(path) = &config.policy_file {
        config.policy = policy(path, &config.origin(Setting::Policy))?;
    }
    Ok(config)
}

fn text_of(layers: &Layers) -> Result<(PathBuf, String), ConfigError> {
    let path = layers.file.clone().unwrap_or_else(|| PathBuf::from(DEFAULT_FILE));
    match std::fs::read_to_string(&path) {
        Ok(text) => Ok((path, text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound && layers.file.is_none() => {
            Ok((path, String::new()))
        }
        Err(error) => {
            let message = format!("cannot be read ({error}): name another file with --config");
            Err(ConfigError::new(Origin::WholeFile(path), message))
        }
    }
}

fn clients(source: Source<'_>, document: &Document) -> Result<Vec<Client>, ConfigError> {
    let mut clients: Vec<Client> = Vec::new();
    for entry in &document.clients {
        let client = entry.form.clone().check().map_err(|wrong| {
            ConfigError::new(source.origin(&entry.place(wrong.key)), format!("client.{wrong}"))
        })?;
        if clients.iter().any(|other| other.id == client.id) {
            let message =
                format!("client.id: there is another client `{}` above: give each its own id", client.id);
            return Err(ConfigError::new(source.origin(&entry.place("id")), message));
        }
        clients.push(client);
    }
    Ok(clients)
}

fn tls_files(pair: TlsPair, config: &Config) -> Result<Option<TlsFiles>, ConfigError> {
    let alone = |named: Setting, missing: Setting| {
        let message = format!("{}: needs `{}` beside it", named.key(), missing.key());
        Err(ConfigError::new(config.origin(named), message))
    };
    match (pair.certificate, pair.key) {
        (Some(certificate), Some(key)) => Ok(Some(TlsFiles { certificate, key })),
        (Some(_), None) => alone(Setting::TlsCertificate, Setting::TlsKey),
        (None, Some(_)) => alone(Setting::TlsKey, Setting::TlsCertificate),
        (None, None) => Ok(None),
    }
}

fn policy(path: &Path, named: &Origin) -> Result<Policy, ConfigError> {
    let text = std::fs::read_to_string(path).map_err(|error| {
        let message = format!("policy: {} cannot be read ({error}): name another file", path.display());
        ConfigError::new(named.clone(), message)
    })?;
    Policy::parse(&text).map_err(|error| match error {
        PolicyError::Malformed { line, column, message } => {
            let message = message.split_whitespace().collect::<Vec<_>>().join(" ");
            ConfigError::new(Origin::File { path: path.to_owned(), line, column }, message)
        }
        PolicyError::Value { key, message } => {
            ConfigError::new(Origin::WholeFile(path.to_owned()), format!("{key}: {message}"))
        }
    })
}
