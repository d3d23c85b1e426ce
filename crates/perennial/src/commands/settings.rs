//! The flags of a server's configuration: one for each setting, and the file that holds the rest.

use std::path::PathBuf;
use std::sync::LazyLock;

use clap::{Arg, ArgAction, ArgMatches, Args, FromArgMatches};
use perennial_server::config::{Config, ConfigError, Layers, Setting};

use super::Failure;

/// What a configuration error ends the process with.
pub(crate) const BAD_CONFIGURATION: u8 = 2;

/// The file, and a flag for every setting of the configuration.
#[derive(Debug, Default)]
pub(crate) struct SettingFlags(Layers);

/// The file, and the settings that say where the data is.
#[derive(Debug, Default)]
pub(crate) struct DataFlags(Layers);

const DATA: [Setting; 2] = [Setting::Data, Setting::KeyEncryptionKey];

impl SettingFlags {
    /// The configuration that flags, environment and file make.
    pub(crate) fn load(self) -> Result<Config, Failure> {
        load(self.0)
    }
}

impl DataFlags {
    /// The configuration that flags, environment and file make.
    pub(crate) fn load(self) -> Result<Config, Failure> {
        load(self.0)
    }
}

/// The configuration of a file, without flags.
pub(crate) fn load_file(file: Option<PathBuf>) -> Result<Config, Failure> {
    load(Layers { file, ..Layers::default() })
}

fn load(layers: Layers) -> Result<Config, Failure> {
    let environment =
        Setting::from_environment(|name| std::env::var(name).ok().filter(|value| !value.is_empty()));
    Config::load(Layers { environment, ..layers }).map_err(|error| refused(&error))
}

/// A configuration error as the process's last words.
pub(crate) fn refused(error: &ConfigError) -> Failure {
    Failure::new(error.to_string()).with_code(BAD_CONFIGURATION)
}

fn augment(command: clap::Command, settings: &[Setting]) -> clap::Command {
    let file = Arg::new("config")
        .long("config")
        .value_name("FILE")
        .env("PERENNIAL_CONFIG")
        .hide_env_values(true)
        .value_parser(clap::value_parser!(PathBuf))
        .help("The configuration file [default: perennial.toml, where there is one]");
    FLAGS.iter().filter(|flag| settings.contains(&flag.setting)).fold(command.arg(file), |command, flag| {
        let is_limit = flag.setting.key().starts_with("limits.");
        let heading = if is_limit { "Limits" } else { "Settings (also PERENNIAL_… and the file)" };
        let arg = Arg::new(flag.setting.key()).long(&*flag.name).value_name(&*flag.value);
        let arg = arg.action(ArgAction::Set).help(flag.setting.about());
        command.arg(arg.hide_short_help(is_limit).help_heading(heading))
    })
}

struct Flag {
    setting: Setting,
    name: String,
    value: String,
}

/// clap wants names that live as long as the process.
static FLAGS: LazyLock<Vec<Flag>> = LazyLock::new(|| {
    let flag = |setting: &Setting| {
        let name = setting.flag().trim_start_matches('-').to_owned();
        let value = name.rsplit('-').next().unwrap_or(&name).to_uppercase();
        Flag { setting: *setting, name, value }
    };
    Setting::ALL.iter().map(flag).collect()
});

fn layers(matches: &ArgMatches, settings: &[Setting]) -> Layers {
    let given = |setting: &Setting| Some((*setting, matches.get_one::<String>(setting.key())?.clone()));
    Layers {
        file: matches.get_one::<PathBuf>("config").cloned(),
        environment: Vec::new(),
        flags: settings.iter().filter_map(given).collect(),
    }
}

macro_rules! as_args {
    ($flags:ident, $settings:expr) => {
        impl Args for $flags {
            fn augment_args(command: clap::Command) -> clap::Command {
                augment(command, $settings)
            }

            fn augment_args_for_update(command: clap::Command) -> clap::Command {
                augment(command, $settings)
            }
        }

        impl FromArgMatches for $flags {
            fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
                Ok(Self(layers(matches, $settings)))
            }

            fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
                self.0 = layers(matches, $settings);
                Ok(())
            }
        }
    };
}
as_args!(SettingFlags, Setting::ALL);
as_args!(DataFlags, &DATA);
