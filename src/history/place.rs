use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// Where the history is kept, as a URL: `sqlite:/var/lib/fairlead/history.sqlite`, or the path of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place(PathBuf);

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadPlace {
    #[error("the history is kept in SQLite so far: write sqlite:/path/of/the/file")]
    Scheme,
    #[error("`sqlite:` wants the path of a file behind it")]
    NoPath,
}

impl Place {
    pub fn file(path: &Path) -> Self {
        Self(path.to_owned())
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }
}

impl FromStr for Place {
    type Err = BadPlace;

    fn from_str(text: &str) -> Result<Self, BadPlace> {
        // The text is never quoted: a URL of a server may hold a password.
        let path = match text.split_once(':') {
            Some(("sqlite", path)) => path.strip_prefix("//").unwrap_or(path),
            Some((scheme, _)) if !scheme.contains('/') => return Err(BadPlace::Scheme),
            _ => text,
        };
        if path.is_empty() || path.ends_with('/') {
            return Err(BadPlace::NoPath);
        }
        Ok(Self(PathBuf::from(path)))
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sqlite:{}", self.0.display())
    }
}
