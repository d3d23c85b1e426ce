//! Configurations, good and bad: what they make, and what is said of them.

use std::path::{Path, PathBuf};
use std::time::Duration;

use perennial_server::clients::GrantType;
use perennial_server::config::{ClientForm, Config, Layers, Setting};
use proptest::prelude::*;

fn load(text: &str) -> Result<Config, String> {
    load_with(text, &[], &[])
}

/// Loads a file in a folder of its own; errors name the file only.
fn load_with(
    text: &str,
    environment: &[(Setting, &str)],
    flags: &[(Setting, &str)],
) -> Result<Config, String> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("perennial.toml");
    std::fs::write(&file, text).unwrap();
    std::fs::write(
        folder.path().join("bad-policy.toml"),
        "[client_kinds.web]\nacces_token.lifetime = \"5m\"\n",
    )
    .unwrap();
    let owned = |layer: &[(Setting, &str)]| layer.iter().map(|(s, text)| (*s, (*text).to_owned())).collect();
    let layers = Layers { file: Some(file), environment: owned(environment), flags: owned(flags) };
    let prefix = format!("{}/", folder.path().display());
    Config::load(layers).map_err(|error| error.to_string().replace(&prefix, ""))
}

#[test]
fn what_is_wrong_is_told_with_its_place_and_what_is_allowed() {
    for (text, told) in [
        ("lisen = \"x\"", "perennial.toml:1:1: unknown key `lisen`: did you mean `listen`?"),
        ("\n[tls]\nfoo = 1", "perennial.toml:3:1: unknown key `tls.foo`: allowed: `certificate`, `key`"),
        (
            "listen = \"nowhere\"",
            "perennial.toml:1:10: listen: `nowhere` is no address and port: write one like 127.0.0.1:8080 or [::]:8080",
        ),
        ("listen = true", "perennial.toml:1:10: listen: must be a text or a whole number, not a boolean"),
        (
            "issuer = \"http://id.example\"",
            "perennial.toml:1:10: issuer: `http://id.example` must be https: only an issuer on localhost may be http",
        ),
        (
            "issuer = \"https://id.example/\"",
            "perennial.toml:1:10: issuer: `https://id.example/` must not end with a slash: write `https://id.example`",
        ),
        (
            "issuer = \"https://id.example?a\"",
            "perennial.toml:1:10: issuer: `https://id.example?a` must have no query and no fragment (RFC 8414, 2)",
        ),
        (
            "issuer = \"https://ID.example\"",
            "perennial.toml:1:10: issuer: `https://ID.example` is not in its plain form: write `https://id.example`",
        ),
        (
            "signing_algorithm = \"HS256\"",
            "perennial.toml:1:21: signing_algorithm: `HS256` is none of `ES256`, `EdDSA`, `RS256`",
        ),
        (
            "trusted_proxies = [\"10.0.0.0/33\"]",
            "perennial.toml:1:19: trusted_proxies: `10.0.0.0/33` is no address or network: write one like 10.0.0.0/8, 192.0.2.7 or fd00::/8",
        ),
        (
            "[log]\nlevel = \"loud\"",
            "perennial.toml:2:9: log.level: `loud` is none of `error`, `warn`, `info`, `debug`, `trace`",
        ),
        ("log = \"json\"", "perennial.toml:1:7: log: must be a table: [log]"),
        (
            "[limits]\nrequest_timeout = \"30\"",
            "perennial.toml:2:19: limits.request_timeout: `30` is not a duration: write a whole number and a unit, like 30s, 10m, 24h or 30d",
        ),
        (
            "[limits]\nrequest_timeout = \"0s\"",
            "perennial.toml:2:19: limits.request_timeout: `0s` is out of bounds: 1s to 24h are allowed",
        ),
        (
            "[limits]\nmax_body_size = \"64KB\"",
            "perennial.toml:2:17: limits.max_body_size: `64KB` is no size from 4KiB to 16384KiB: write one like 64KiB",
        ),
        (
            "[limits]\nmax_connections = 0",
            "perennial.toml:2:19: limits.max_connections: `0` is no whole number from 1 to 1000000",
        ),
        ("[tls]\nkey = \"k.pem\"", "perennial.toml:2:7: tls.key: needs `tls.certificate` beside it"),
        (
            "policy = \"bad-policy.toml\"",
            "bad-policy.toml:2:1: unknown field `acces_token`, expected one of `access_token`, `session`, `retry`",
        ),
        ("client = 1", "perennial.toml:1:10: client: must be a list, not an integer"),
        ("[client]\nid = \"a\"", "perennial.toml:1:1: client: write [[client]], with two brackets"),
        ("[[client]]\nname = \"a\"", "perennial.toml:1:1: client.id: every client needs an id"),
        (
            "[[client]]\nid = \"a\"\nredirect_uri = \"x\"",
            "perennial.toml:3:1: unknown key `client.redirect_uri`: did you mean `redirect_uris`?",
        ),
        (
            "[[client]]\nid = \"a\"\nredirect_uris = [\"https://a.example/#x\"]",
            "perennial.toml:3:17: client.redirect_uris: `https://a.example/#x` must have no fragment (RFC 6749, 3.1.2)",
        ),
        (
            "[[client]]\nid = \"a\"\nredirect_uris = [\"/callback\"]",
            "perennial.toml:3:17: client.redirect_uris: `/callback` is no absolute URI (relative URL without a base): write one like https://app.example.com/callback",
        ),
        (
            "[[client]]\nid = \"a\"\nkind = \"service\"",
            "perennial.toml:1:1: client.secret: a client with client_credentials must have one (RFC 6749, 4.4)",
        ),
        (
            "[[client]]\nid = \"a\"\nredirect_uris = [\"https://a.example/\"]\n[[client]]\nid = \"a\"\nredirect_uris = [\"https://a.example/\"]",
            "perennial.toml:5:6: client.id: there is another client `a` above: give each its own id",
        ),
    ] {
        assert_eq!(load(text).unwrap_err(), told, "{text}");
    }
}

#[test]
fn a_file_that_is_no_toml_is_told_with_line_and_column() {
    let told = load("listen = \n").unwrap_err();
    assert!(told.starts_with("perennial.toml:1:") && told.contains("not TOML"), "{told}");
    assert!(!told.contains('\n'), "one line");
}

#[test]
fn a_file_that_was_named_and_is_not_there_is_told() {
    let layers = Layers { file: Some(PathBuf::from("/nonexistent/p.toml")), ..Layers::default() };
    let told = Config::load(layers).unwrap_err().to_string();
    assert!(told.starts_with("/nonexistent/p.toml: cannot be read"), "{told}");
}

#[test]
fn a_flag_beats_the_environment_and_that_the_file() {
    let text = "listen = \"127.0.0.1:1\"\ndata = \"d\"\n[log]\nlevel = \"warn\"";
    let environment = [(Setting::Listen, "127.0.0.1:2"), (Setting::LogLevel, "debug")];
    let config = load_with(text, &environment, &[(Setting::Listen, "127.0.0.1:3")]).unwrap();
    assert_eq!(config.listen.port(), 3);
    assert_eq!(config.text(Setting::LogLevel).as_deref(), Some("debug"));
    assert!(config.data.is_absolute(), "a path in the file is meant from its folder");
    assert_eq!(config.key_encryption_key, config.data.join("key-encryption.key"));
    assert_eq!(config.origin(Setting::Listen).to_string(), "--listen");
    assert_eq!(config.origin(Setting::LogLevel).to_string(), "PERENNIAL_LOG_LEVEL");
    let told = load_with("", &[], &[(Setting::Listen, "x")]).unwrap_err();
    assert!(told.starts_with("--listen: listen: `x`"), "{told}");
}

#[test]
fn an_empty_file_is_a_good_configuration() {
    let config = load("").unwrap();
    assert_eq!(config.listen.to_string(), "127.0.0.1:8080");
    assert_eq!(config.issuer_at(4711), "http://localhost:4711");
    assert_eq!(config.limits.request_timeout, Duration::from_secs(30));
}

#[test]
fn clients_have_the_defaults_of_their_kind() {
    let text = "[[client]]\nid = \"a\"\nredirect_uris = [\"com.example.app:/callback\"]\n\
                [[client]]\nid = \"b\"\nkind = \"service\"\nsecret = \"a secret of some length\"\nscopes = \"x y\"";
    let config = load(text).unwrap();
    let [a, b] = config.clients.as_slice() else { panic!("two clients") };
    assert_eq!(a.scopes.as_str(), "openid profile offline_access");
    assert_eq!(a.grant_types, [GrantType::AuthorizationCode, GrantType::RefreshToken]);
    assert!(!a.is_confidential());
    assert_eq!(
        (b.scopes.as_str(), b.grant_types.as_slice()),
        ("x y", [GrantType::ClientCredentials].as_slice())
    );
    assert!(b.has_secret("a secret of some length"));
}

#[test]
fn what_is_shown_has_no_secret_and_loads_again() {
    let text = "[[client]]\nid = \"b\"\nkind = \"service\"\nsecret = \"a secret of some length\"";
    let config = load(text).unwrap();
    let shown = config.show();
    assert!(!shown.contains("a secret of") && !shown.contains("secret_sha256"), "{shown}");
    let without_clients = shown.split("\n[[client]]").next().unwrap();
    let again = load(without_clients).unwrap();
    assert_eq!(again.limits, config.limits);
}

#[test]
fn the_example_is_good() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/perennial.toml");
    let config = Config::load(Layers { file: Some(file), ..Layers::default() }).unwrap();
    assert_eq!(config.clients.len(), 4);
}

#[test]
fn every_setting_is_in_the_reference() {
    let reference = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference/configuration.md");
    let reference = std::fs::read_to_string(reference).unwrap();
    for setting in Setting::ALL {
        let key = setting.key().trim_start_matches("limits.");
        assert!(reference.contains(&format!("| `{key}` |")), "{key} is missing");
    }
}

#[test]
fn odd_redirect_uris_and_origins_are_refused() {
    let check = |redirect: &str, origin: Option<&str>| {
        let form = ClientForm {
            id: "a".into(),
            redirect_uris: vec![redirect.into()],
            origins: origin.map(str::to_owned).into_iter().collect(),
            ..ClientForm::default()
        };
        form.check().map_err(|error| error.key)
    };
    let good = "https://a.example/callback";
    for redirect in
        ["javascript:alert(1)", "http://a.example/", "https://", "data:text/html,x", "https://a.example/ x"]
    {
        assert_eq!(check(redirect, None).unwrap_err(), "redirect_uris", "{redirect}");
    }
    for redirect in
        [good, "http://127.0.0.1/cb", "http://[::1]:4711/cb", "http://localhost/cb", "com.example:/cb"]
    {
        check(redirect, None).unwrap();
    }
    for origin in [
        "*",
        "https://a.example/",
        "https://A.example",
        "https://a.example:443",
        "https://a.example:*",
        "null",
    ] {
        assert_eq!(check(good, Some(origin)).unwrap_err(), "origins", "{origin}");
    }
    for origin in
        ["https://a.example", "https://a.example:8443", "http://localhost:3000", "http://localhost:*"]
    {
        check(good, Some(origin)).unwrap();
    }
}

proptest! {
    #[test]
    fn no_text_makes_it_panic(text in "(listen|issuer|tls|log|limits|client|trusted_proxies|\\[|\\]|=|\"|\n|\\.|[ -~é])*") {
        let _ = load(&text);
    }

    #[test]
    fn no_value_makes_it_panic(at in 0..Setting::ALL.len(), value in "\\PC*") {
        let setting = Setting::ALL[at];
        let _ = load_with("", &[(setting, &value)], &[]);
    }
}
