//! The control socket of a whole server in this process.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use perennial_server::config::{ClientForm, Config};
use perennial_server::control::{self, Answer, Command};
use perennial_server::keys::KeyEncryptionKey;
use perennial_server::run::{self, Running};
use zeroize::Zeroizing;

fn config(folder: &Path) -> Config {
    let mut config = Config::in_folder(&folder.join("data"));
    config.listen = "127.0.0.1:0".parse().unwrap();
    config
}

async fn start(config: &Config) -> Running {
    run::start(config.clone()).await.unwrap()
}

fn add_user(login: &str) -> Command {
    let password = Zeroizing::new("correct horse battery staple".to_owned());
    Command::UserAdd { login: login.into(), name: None, email: None, password }
}

fn add_client(id: &str) -> Command {
    let form = ClientForm {
        id: id.into(),
        redirect_uris: vec!["https://a.example/".into()],
        ..ClientForm::default()
    };
    Command::ClientAdd { form: Box::new(form), confidential: true }
}

async fn ready(running: &Running) -> u16 {
    reqwest::get(format!("http://{}/readyz", running.addr())).await.unwrap().status().as_u16()
}

#[tokio::test]
async fn commands_reach_the_server_over_a_socket_of_its_own_user() {
    let folder = tempfile::tempdir().unwrap();
    let config = config(folder.path());
    let running = start(&config).await;
    assert_eq!(ready(&running).await, 200);
    let socket = config.data.join("control.sock");
    assert_eq!(std::fs::metadata(&socket).unwrap().permissions().mode() & 0o777, 0o600);

    let Answer::User { user, .. } = control::execute(&config, add_user("Ada")).await.unwrap() else {
        panic!()
    };
    assert_eq!(user.login, "ada");
    let taken = control::execute(&config, add_user("ada")).await.unwrap_err().to_string();
    assert!(taken.contains("the login `ada` is taken"), "{taken}");
    let answer = control::execute(&config, add_client("app")).await.unwrap();
    let Answer::Client { client, secret: Some(secret), .. } = answer else { panic!() };
    assert!(client.confidential && secret.len() == 43);
    let nothing = control::execute(&config, Command::Reload).await.unwrap_err().to_string();
    assert!(nothing.contains("without a file"), "{nothing}");

    running.shutdown().await;
    assert!(!socket.exists());
}

#[tokio::test]
async fn without_a_server_the_same_commands_work_in_the_data_folder() {
    let folder = tempfile::tempdir().unwrap();
    let config = config(folder.path());
    control::execute(&config, add_user("ada")).await.unwrap();
    control::execute(&config, add_client("app")).await.unwrap();
    let disable = Command::ClientDisable { id: "app".into(), disabled: true };
    control::execute(&config, disable).await.unwrap();
    let refused = control::execute(&config, Command::Reload).await.unwrap_err().to_string();
    assert!(refused.starts_with("no server runs"), "{refused}");

    // A socket that a dead server left is no obstacle, neither to commands nor to a start.
    drop(std::os::unix::net::UnixListener::bind(config.data.join("control.sock")).unwrap());
    control::execute(&config, add_user("grace")).await.unwrap();
    let running = start(&config).await;
    let Answer::Users { users } = running.admin().execute(Command::UserList).await.unwrap() else { panic!() };
    assert_eq!(users.iter().map(|user| user.login.as_str()).collect::<Vec<_>>(), ["ada", "grace"]);
    let Answer::Clients { clients } = running.admin().execute(Command::ClientList).await.unwrap() else {
        panic!()
    };
    assert!(clients[0].disabled);
    running.shutdown().await;
}

#[tokio::test]
async fn the_file_wins_over_the_store_and_is_changed_in_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = config(folder.path());
    control::execute(&config, add_client("app")).await.unwrap();
    let form = ClientForm {
        id: "app".into(),
        name: Some("From the file".into()),
        redirect_uris: vec!["https://b.example/".into()],
        ..ClientForm::default()
    };
    config.clients = vec![form.check().unwrap()];
    let running = start(&config).await;
    let Answer::Clients { clients } = running.admin().execute(Command::ClientList).await.unwrap() else {
        panic!()
    };
    assert_eq!((clients.len(), clients[0].name.as_str(), clients[0].from_file), (1, "From the file", true));
    let disable = Command::ClientDisable { id: "app".into(), disabled: true };
    let refused = running.admin().execute(disable).await.unwrap_err().to_string();
    assert!(refused.contains("comes from the configuration file"), "{refused}");
    running.shutdown().await;
}

#[tokio::test]
async fn a_second_server_is_told_who_has_the_port_and_the_folder() {
    let folder = tempfile::tempdir().unwrap();
    let config = config(folder.path());
    let running = start(&config).await;
    let locked = run::start(config.clone()).await.err().unwrap().to_string();
    assert!(locked.contains("is in use by") && locked.contains("--data"), "{locked}");
    let mut same_port = Config::in_folder(&folder.path().join("other"));
    same_port.listen = running.addr();
    let taken = run::start(same_port).await.err().unwrap().to_string();
    assert!(taken.starts_with(&format!("port {} is in use", running.addr().port())), "{taken}");
    running.shutdown().await;
}

#[tokio::test]
async fn a_key_file_of_another_folder_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let config = config(folder.path());
    start(&config).await.shutdown().await;
    std::fs::remove_file(&config.key_encryption_key).unwrap();
    KeyEncryptionKey::load_or_create(&config.key_encryption_key).unwrap();
    let error = run::start(config).await.err().unwrap();
    assert!(error.is_configuration());
    assert!(error.to_string().contains("another key file"), "{error}");
}

#[tokio::test]
async fn a_lost_key_file_is_named_and_none_is_made_in_its_place() {
    let folder = tempfile::tempdir().unwrap();
    let config = config(folder.path());
    start(&config).await.shutdown().await;
    let elsewhere = folder.path().join("key-file");
    std::fs::rename(&config.key_encryption_key, &elsewhere).unwrap();
    let error = run::start(config.clone()).await.err().unwrap();
    assert!(error.is_configuration());
    assert!(error.to_string().contains("is missing") && error.to_string().contains("restore"), "{error}");
    assert!(!config.key_encryption_key.exists());
    std::fs::rename(&elsewhere, &config.key_encryption_key).unwrap();
    start(&config).await.shutdown().await;
}
