use std::fmt;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use sqlx::ConnectOptions;
use sqlx::postgres::{PgConnectOptions, PgSslMode};

/// Where the history is kept, as a URL: `sqlite:/var/lib/fairlead/history.sqlite`, the path of a file, or
/// `postgres://user@host/database`. What is shown of it never has the password.
#[derive(Clone)]
pub struct Place(Kind);

#[derive(Clone)]
pub(super) enum Kind {
    File(PathBuf),
    Server(Box<Server>),
}

#[derive(Clone)]
pub(super) struct Server {
    options: PgConnectOptions,
    /// Read whenever a connection pool is opened, so that a password may change.
    password_file: Option<PathBuf>,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadPlace {
    #[error(
        "the history is kept in SQLite or PostgreSQL: write sqlite:/path/of/the/file or postgres://user@host/database"
    )]
    Scheme,
    #[error("`sqlite:` wants the path of a file behind it")]
    NoPath,
    #[error(
        "the URL of the history is none that PostgreSQL takes: write postgres://user@host:5432/database?sslmode=…"
    )]
    Url,
    #[error("the URL of the history has a parameter that is not known; known are {list}", list = PARAMETERS.join(", "))]
    Parameter,
    #[error("the URL of the history wants sslmode=disable, allow, prefer, require, verify-ca or verify-full")]
    SslMode,
    #[error("a password file is for postgres:// only; the history is kept in a file")]
    NoPassword,
}

/// sqlx logs parameters that it does not know with their values, and a value may be a password under a wrong name.
const PARAMETERS: [&str; 11] = [
    "sslmode",
    "sslrootcert",
    "sslcert",
    "sslkey",
    "host",
    "port",
    "dbname",
    "user",
    "password",
    "application_name",
    "statement-cache-capacity",
];

impl Place {
    pub fn file(path: &Path) -> Self {
        Self(Kind::File(path.to_owned()))
    }

    /// With a password that a file holds, and not the URL.
    pub fn with_password_file(self, file: Option<&Path>) -> Result<Self, BadPlace> {
        match (self.0, file) {
            (kind, None) => Ok(Self(kind)),
            (Kind::File(_), Some(_)) => Err(BadPlace::NoPassword),
            (Kind::Server(server), Some(file)) => {
                let password_file = Some(file.to_owned());
                Ok(Self(Kind::Server(Box::new(Server { password_file, ..*server }))))
            }
        }
    }

    pub(super) fn kind(&self) -> &Kind {
        &self.0
    }

    /// Whether a network lies between here and there on which others may read along or answer in its stead.
    pub fn is_exposed(&self) -> bool {
        match &self.0 {
            Kind::File(_) => false,
            Kind::Server(server) => {
                let is_verified =
                    matches!(server.options.get_ssl_mode(), PgSslMode::VerifyCa | PgSslMode::VerifyFull);
                !is_verified && !is_local(&server.options)
            }
        }
    }
}

impl Server {
    /// How to connect, with the password as it is now.
    pub fn options(&self) -> std::io::Result<PgConnectOptions> {
        match &self.password_file {
            None => Ok(self.options.clone()),
            Some(file) => {
                let password = std::fs::read_to_string(file)?;
                Ok(self.options.clone().password(password.trim_end_matches(['\r', '\n'])))
            }
        }
    }
}

impl FromStr for Place {
    type Err = BadPlace;

    fn from_str(text: &str) -> Result<Self, BadPlace> {
        // The text is never quoted: a URL of a server may hold a password.
        let path = match text.split_once(':') {
            Some(("sqlite", path)) => path.strip_prefix("//").unwrap_or(path),
            Some(("postgres" | "postgresql", _)) => {
                return Ok(Self(Kind::Server(Box::new(Server {
                    options: server(text)?,
                    password_file: None,
                }))));
            }
            Some((scheme, _)) if !scheme.contains('/') => return Err(BadPlace::Scheme),
            _ => text,
        };
        if path.is_empty() || path.ends_with('/') {
            return Err(BadPlace::NoPath);
        }
        Ok(Self(Kind::File(PathBuf::from(path))))
    }
}

fn server(url: &str) -> Result<PgConnectOptions, BadPlace> {
    let query = url.split_once('?').map_or("", |(_, query)| query);
    let mut says_sslmode = false;
    for (name, value) in query.split('&').filter_map(|pair| pair.split_once('=')) {
        // Not even its name is quoted: a password with a `?` in it, written as it is, looks like parameters.
        if !PARAMETERS.contains(&name) {
            return Err(BadPlace::Parameter);
        }
        if name == "sslmode" {
            says_sslmode = true;
            value.parse::<PgSslMode>().map_err(|_| BadPlace::SslMode)?;
        }
    }
    if query.split('&').any(|pair| !pair.is_empty() && !pair.contains('=')) {
        return Err(BadPlace::Url);
    }
    let options: PgConnectOptions = url.parse().map_err(|_| BadPlace::Url)?;
    let options = if says_sslmode || is_local(&options) {
        options
    } else {
        // Without a word the safe way: libpq's would take any server, and none of TLS.
        options.ssl_mode(PgSslMode::VerifyFull)
    };
    let options =
        if options.get_application_name().is_none() { options.application_name("fairlead") } else { options };
    Ok(options.disable_statement_logging())
}

/// A socket or loopback: nobody is in between.
fn is_local(options: &PgConnectOptions) -> bool {
    let host = options.get_host().trim_matches(['[', ']']);
    options.get_socket().is_some()
        || host == "localhost"
        || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::File(path) => write!(f, "sqlite:{}", path.display()),
            Kind::Server(server) => {
                let options = &server.options;
                write!(f, "postgres://{}@", options.get_username())?;
                match options.get_socket() {
                    Some(socket) => f.write_str(&socket.to_string_lossy())?,
                    None => write!(f, "{}:{}", options.get_host(), options.get_port())?,
                }
                write!(f, "/{}", options.get_database().unwrap_or(options.get_username()))
            }
        }
    }
}

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Place({self})")
    }
}
