//! What people asked to be left alone for a while.

use std::fmt;

use jiff::Timestamp;

use crate::object::{AppName, ObjectKey};

/// A person's word that nothing is put back, for some time: of an object, of an app, or of all of an environment.
#[derive(Clone, Debug, PartialEq)]
pub struct HandsOff {
    /// Of all apps where none is named.
    pub app: Option<AppName>,
    pub object: Option<ObjectKey>,
    /// Whether commits wait, too.
    pub deploys: bool,
    pub until: Timestamp,
    pub by: String,
    pub reason: Option<String>,
}

impl HandsOff {
    fn is_of(&self, app: &AppName) -> bool {
        self.app.as_ref().is_none_or(|name| name == app)
    }

    /// Whether it is about an object of an app.
    pub fn covers(&self, app: &AppName, key: &ObjectKey, now: Timestamp) -> bool {
        now < self.until && self.is_of(app) && self.object.as_ref().is_none_or(|object| object == key)
    }

    /// Whether commits of an app wait.
    pub fn stops(&self, app: &AppName, now: Timestamp) -> bool {
        now < self.until && self.deploys && self.object.is_none() && self.is_of(app)
    }
}

/// `by ada until 2027-01-31T12:00:00Z (an incident)`
impl fmt::Display for HandsOff {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let until = self.until.round(jiff::Unit::Second).unwrap_or(self.until);
        write!(f, "by {} until {until}", self.by)?;
        match &self.reason {
            Some(reason) => write!(f, " ({reason})"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_about_what_it_names_and_ends_by_itself() {
        let (web, other) = (AppName::new("web").unwrap(), AppName::new("other").unwrap());
        let key = |name: &str| ObjectKey::new("apps", "Deployment", Some("web"), name);
        let at = |second| Timestamp::from_second(second).unwrap();
        let all = HandsOff {
            app: None,
            object: None,
            deploys: true,
            until: at(100),
            by: "ada".into(),
            reason: Some("an incident".into()),
        };
        assert!(all.covers(&web, &key("a"), at(99)) && !all.covers(&web, &key("a"), at(100)));
        assert!(all.stops(&web, at(99)) && !all.stops(&web, at(100)));
        let of_app = HandsOff { app: Some(web.clone()), deploys: false, ..all.clone() };
        assert!(of_app.covers(&web, &key("a"), at(1)) && !of_app.covers(&other, &key("a"), at(1)));
        assert!(!of_app.stops(&web, at(1)));
        let one = HandsOff { object: Some(key("a")), ..all.clone() };
        assert!(one.covers(&web, &key("a"), at(1)) && !one.covers(&web, &key("b"), at(1)));
        assert!(!one.stops(&web, at(1)), "a commit is not held up for one object");
        assert_eq!(all.to_string(), "by ada until 1970-01-01T00:01:40Z (an incident)");
    }
}
