//! A configuration that is read again takes effect as a whole or not at all.

use std::path::Path;

use perennial_server::config::{Config, Layers, Setting};
use perennial_server::control::{Answer, Command};
use perennial_server::run::{self, Running};

fn write_certificate(folder: &Path) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    std::fs::write(folder.join("cert.pem"), made.cert.pem()).unwrap();
    std::fs::write(folder.join("key.pem"), made.signing_key.serialize_pem()).unwrap();
}

fn load(file: &Path) -> Config {
    let flags = vec![(Setting::Listen, "127.0.0.1:0".to_owned())];
    Config::load(Layers { file: Some(file.to_owned()), environment: Vec::new(), flags }).unwrap()
}

async fn client_ids(running: &Running) -> Vec<String> {
    let Answer::Clients { clients } = running.admin().execute(Command::ClientList).await.unwrap() else {
        panic!("the clients were asked for")
    };
    clients.into_iter().map(|client| client.id.into()).collect()
}

const TLS: &str = "data = \"data\"\n[tls]\ncertificate = \"cert.pem\"\nkey = \"key.pem\"\n";
const APP: &str = "[[client]]\nid = \"app\"\nredirect_uris = [\"https://a.example/\"]\n";

#[tokio::test]
async fn a_certificate_that_does_not_fit_leaves_everything_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("perennial.toml");
    write_certificate(folder.path());
    std::fs::write(&file, TLS).unwrap();
    let running = run::start(load(&file)).await.unwrap();
    assert!(running.issuer().starts_with("https://localhost:"));

    std::fs::write(&file, format!("{TLS}{APP}")).unwrap();
    std::fs::write(folder.path().join("cert.pem"), "no certificate").unwrap();
    let refused = running.reload().await.unwrap_err().to_string();
    assert!(refused.contains("cert.pem: no certificate in it"), "{refused}");
    assert!(client_ids(&running).await.is_empty());

    write_certificate(folder.path());
    let reloaded = running.reload().await.unwrap();
    assert_eq!((reloaded.clients, reloaded.needs_restart), (1, vec![]));
    assert_eq!(client_ids(&running).await, ["app"]);

    // Until the next start it goes on with TLS, and says each time that it should not.
    std::fs::write(&file, format!("data = \"data\"\n{APP}")).unwrap();
    for _ in 0..2 {
        assert_eq!(running.reload().await.unwrap().needs_restart, ["tls.certificate", "tls.key"]);
    }
    running.shutdown().await;
}
