//! Where the shared place is, as it is said to the agent.

use std::path::PathBuf;
use std::str::FromStr;

use crate::aws::PlaceAddress;

/// One place for all environments: each has a record of its own there, by its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SharedPlaceUrl {
    /// `dynamodb:REGION/TABLE`
    DynamoDb { region: Box<str>, table: Box<str> },
    /// `s3:REGION/BUCKET` or `s3:REGION/BUCKET/FOLDER`
    S3 { region: Box<str>, bucket: Box<str>, folder: Option<Box<str>> },
    /// `lease:NAMESPACE@KUBECONFIG`
    Lease { namespace: Box<str>, kubeconfig: PathBuf },
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is no shared place: dynamodb:REGION/TABLE, s3:REGION/BUCKET/FOLDER, or lease:NAMESPACE@KUBECONFIG of a cluster that \
     belongs to none of the regions"
)]
pub struct NoSharedPlace(String);

impl FromStr for SharedPlaceUrl {
    type Err = NoSharedPlace;

    fn from_str(text: &str) -> Result<Self, NoSharedPlace> {
        let wrong = || NoSharedPlace(text.to_owned());
        let (kind, rest) = text.split_once(':').ok_or_else(wrong)?;
        let pair = |at: char| {
            rest.split_once(at).filter(|(one, other)| !one.is_empty() && !other.is_empty()).ok_or_else(wrong)
        };
        match kind {
            "dynamodb" => {
                let (region, table) = pair('/')?;
                Ok(Self::DynamoDb { region: region.into(), table: table.into() })
            }
            "s3" => {
                let (region, rest) = pair('/')?;
                let (bucket, folder) = match rest.split_once('/') {
                    Some((bucket, folder)) => (bucket, Some(folder.trim_matches('/'))),
                    None => (rest, None),
                };
                let folder = folder.filter(|folder| !folder.is_empty()).map(Into::into);
                Ok(Self::S3 { region: region.into(), bucket: bucket.into(), folder })
            }
            "lease" => {
                let (namespace, kubeconfig) = pair('@')?;
                Ok(Self::Lease { namespace: namespace.into(), kubeconfig: kubeconfig.into() })
            }
            _ => Err(wrong()),
        }
    }
}

impl SharedPlaceUrl {
    /// Where the record of an environment is, if that is in AWS.
    pub fn in_aws(&self, environment: &str) -> Option<PlaceAddress> {
        match self {
            Self::DynamoDb { region, table } => Some(PlaceAddress::DynamoDb {
                region: region.clone(),
                table: table.clone(),
                environment: environment.into(),
            }),
            Self::S3 { region, bucket, folder } => {
                let folder = folder.as_ref().map(|folder| format!("{folder}/")).unwrap_or_default();
                let key = format!("{folder}{environment}.json").into();
                Some(PlaceAddress::S3 { region: region.clone(), bucket: bucket.clone(), key })
            }
            Self::Lease { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_read_as_it_is_written() {
        let read = |text: &str| text.parse::<SharedPlaceUrl>();
        assert_eq!(
            read("dynamodb:eu-north-1/fairlead").unwrap(),
            SharedPlaceUrl::DynamoDb { region: "eu-north-1".into(), table: "fairlead".into() }
        );
        let s3 = read("s3:eu-north-1/bucket/a/b/").unwrap();
        assert!(matches!(s3.in_aws("prod"), Some(PlaceAddress::S3 { key, .. }) if &*key == "a/b/prod.json"));
        assert!(matches!(read("lease:regions@/etc/k").unwrap(), SharedPlaceUrl::Lease { .. }));
        for bad in ["", "dynamodb:table", "dynamodb:/table", "redis:a/b", "lease:@x", "s3:eu-north-1/"] {
            assert!(read(bad).is_err(), "{bad:?} was taken");
        }
    }
}
