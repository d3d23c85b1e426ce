//! A configuration as TOML that says where each value comes from. Secrets are not in it: a configuration keeps
//! only their hashes, and these are left out too.

use std::fmt::Write as _;

use super::setting::{LOG_FORMATS, LOG_LEVELS, PROXY_HEADERS, in_kib};
use super::{Config, Origin, Setting};
use crate::clients::Client;
use crate::keys::SigningAlgorithm;

impl Config {
    /// The whole configuration as it takes effect, as TOML with the origin of each value beside it.
    #[must_use]
    pub fn show(&self) -> String {
        let mut shown = String::new();
        let mut table = "";
        for setting in Setting::ALL.iter().copied() {
            let (section, name) = setting.key().split_once('.').unwrap_or(("", setting.key()));
            if section != table {
                let _ = writeln!(shown, "\n[{section}]");
                table = section;
            }
            let value = match self.text(setting) {
                Some(text) => format!("{name} = {}", quoted(setting, &text)),
                None => format!("# {name} is not set"),
            };
            let origin = self.origin(setting);
            let _ = match origin {
                Origin::Default => writeln!(shown, "{value}"),
                Origin::File { .. } | Origin::WholeFile(_) | Origin::Environment(_) | Origin::Flag(_) => {
                    writeln!(shown, "{value}  # {origin}")
                }
            };
        }
        for client in &self.clients {
            let _ = write!(shown, "\n[[client]]\n{}", client_table(client));
        }
        shown
    }

    /// The value of one setting as its text; `None` where it has none.
    #[must_use]
    pub fn text(&self, setting: Setting) -> Option<String> {
        let limits = &self.limits;
        let path = |path: &std::path::Path| path.display().to_string();
        match setting {
            Setting::Listen => Some(self.listen.to_string()),
            Setting::Issuer => self.issuer.clone(),
            Setting::Data => Some(path(&self.data)),
            Setting::Policy => self.policy_file.as_deref().map(path),
            Setting::KeyEncryptionKey => Some(path(&self.key_encryption_key)),
            Setting::SigningAlgorithm => Some(
                match self.signing_algorithm {
                    SigningAlgorithm::Es256 => "ES256",
                    SigningAlgorithm::EdDsa => "EdDSA",
                    SigningAlgorithm::Rs256 => "RS256",
                }
                .to_owned(),
            ),
            Setting::TrustedProxies => {
                let networks: Vec<String> = self.trusted_proxies.iter().map(ToString::to_string).collect();
                Some(networks.join(","))
            }
            Setting::ProxyHeader => Some(word(PROXY_HEADERS, &self.proxy_header)),
            Setting::TlsCertificate => self.tls.as_ref().map(|tls| path(&tls.certificate)),
            Setting::TlsKey => self.tls.as_ref().map(|tls| path(&tls.key)),
            Setting::LogFormat => Some(word(LOG_FORMATS, &self.log.format)),
            Setting::LogLevel => Some(word(LOG_LEVELS, &self.log.level)),
            Setting::MaxConnections => Some(limits.max_connections.to_string()),
            Setting::MaxRequests => Some(limits.max_requests.to_string()),
            Setting::HeaderReadTimeout => Some(seconds(limits.header_read_timeout)),
            Setting::BodyReadTimeout => Some(seconds(limits.body_read_timeout)),
            Setting::RequestTimeout => Some(seconds(limits.request_timeout)),
            Setting::KeepAliveIdle => Some(seconds(limits.keep_alive_idle)),
            Setting::ShutdownTimeout => Some(seconds(limits.shutdown_timeout)),
            Setting::MaxHeaderSize => Some(in_kib(limits.max_header_size)),
            Setting::MaxBodySize => Some(in_kib(limits.max_body_size)),
            Setting::PasswordHashes => Some(limits.password_hashes.to_string()),
        }
    }
}

fn word<T: PartialEq>(words: &[(&str, T)], value: &T) -> String {
    words.iter().find(|(_, own)| own == value).map(|(word, _)| (*word).to_owned()).unwrap_or_default()
}

fn seconds(span: std::time::Duration) -> String {
    format!("{}s", span.as_secs())
}

fn quoted(setting: Setting, text: &str) -> String {
    match setting {
        Setting::MaxConnections | Setting::MaxRequests | Setting::PasswordHashes => text.to_owned(),
        Setting::TrustedProxies => {
            let networks: Vec<String> =
                text.split(',').filter(|one| !one.is_empty()).map(|one| format!("\"{one}\"")).collect();
            format!("[{}]", networks.join(", "))
        }
        Setting::Listen
        | Setting::Issuer
        | Setting::Data
        | Setting::Policy
        | Setting::KeyEncryptionKey
        | Setting::SigningAlgorithm
        | Setting::ProxyHeader
        | Setting::TlsCertificate
        | Setting::TlsKey
        | Setting::LogFormat
        | Setting::LogLevel
        | Setting::HeaderReadTimeout
        | Setting::BodyReadTimeout
        | Setting::RequestTimeout
        | Setting::KeepAliveIdle
        | Setting::ShutdownTimeout
        | Setting::MaxHeaderSize
        | Setting::MaxBodySize => toml::Value::from(text).to_string(),
    }
}

fn client_table(client: &Client) -> String {
    let secret = if client.is_confidential() { "# its secret is not shown\n" } else { "" };
    let public = Client { secret_sha256: None, ..client.clone() };
    let table = toml::to_string(&public).expect("a client is plain values and lists of them, which TOML has");
    format!("{secret}{table}")
}
