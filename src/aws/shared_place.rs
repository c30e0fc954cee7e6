//! The shared place of regions in AWS: an item of a DynamoDB table, or an object of an S3 bucket.
//!
//! Both refuse a write where another version stands, and read what was written last. That does not hold of a global table with
//! eventual consistency, nor of a bucket that is replicated into another: a place is one table or one bucket of one region.
//!
//! A call is made once: whether to ask again, and what an answer that was lost may have done, is the fence's to find out.

use std::error::Error;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use aws_config::timeout::TimeoutConfig;
use aws_sdk_dynamodb::types::AttributeValue;
use aws_sdk_secretsmanager::config::http::HttpResponse;
use aws_sdk_secretsmanager::error::{ProvideErrorMetadata, SdkError};

use super::failure::Failure;
use super::session::AwsSession;
use super::thread::Thread;
use crate::region::{Answer, Call, PlaceError, RegionRecord, Stored, Version};
use crate::secrets::Cause;

/// Where the record of an environment is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PlaceAddress {
    /// A table whose partition key is the string `environment`.
    DynamoDb {
        region: Box<str>,
        table: Box<str>,
        environment: Box<str>,
    },
    S3 {
        region: Box<str>,
        bucket: Box<str>,
        key: Box<str>,
    },
}

/// The attributes of an item.
const KEY: &str = "environment";
const VERSION: &str = "version";
const RECORD: &str = "record";
/// A record is some hundred bytes.
const RECORD_BYTES: usize = 64 * 1024;

/// One shared place. Clones are the same.
#[derive(Clone)]
pub struct SharedPlace {
    thread: Arc<Thread>,
    inner: Arc<Inner>,
}

struct Inner {
    address: PlaceAddress,
    client: Client,
    within: Duration,
}

enum Client {
    DynamoDb(aws_sdk_dynamodb::Client),
    S3(aws_sdk_s3::Client),
}

impl SharedPlace {
    /// `within` is how long a call may take: what the fence allows for one.
    pub(super) fn new(
        thread: Arc<Thread>,
        session: &AwsSession,
        address: PlaceAddress,
        within: Duration,
    ) -> Self {
        let timeouts =
            TimeoutConfig::builder().connect_timeout(within).operation_attempt_timeout(within).build();
        let config = |region: &str| session.in_region(region).to_builder().timeout_config(timeouts).build();
        let client = match &address {
            PlaceAddress::DynamoDb { region, .. } => {
                Client::DynamoDb(aws_sdk_dynamodb::Client::new(&config(region)))
            }
            PlaceAddress::S3 { region, .. } => {
                // Where all services are in one place, buckets are no names of hosts.
                let config = config(region);
                let by_path = config.endpoint_url().is_some();
                let config = aws_sdk_s3::config::Builder::from(&config).force_path_style(by_path).build();
                Client::S3(aws_sdk_s3::Client::from_conf(config))
            }
        };
        Self { thread, inner: Arc::new(Inner { address, client, within }) }
    }

    /// Asks what the fence wants to know.
    pub async fn ask(&self, call: Call) -> Answer {
        let inner = self.inner.clone();
        let answered = self.thread.run(async move { inner.ask(call).await }).await;
        let fell =
            || PlaceError::Other { place: self.inner.name(), why: "an internal failure of the agent".into() };
        answered.unwrap_or_else(|| Err(fell())).unwrap_or_else(Answer::Failed)
    }
}

impl Inner {
    fn name(&self) -> Box<str> {
        match &self.address {
            PlaceAddress::DynamoDb { region, table, environment } => {
                format!("the item {environment} of the DynamoDB table {table} in {region}").into()
            }
            PlaceAddress::S3 { bucket, key, .. } => format!("s3://{bucket}/{key}").into(),
        }
    }

    async fn ask(&self, call: Call) -> Result<Answer, PlaceError> {
        match (&self.client, &self.address, call) {
            (Client::DynamoDb(client), PlaceAddress::DynamoDb { table, environment, .. }, Call::Read) => {
                self.read_item(client, table, environment).await
            }
            (
                Client::DynamoDb(client),
                PlaceAddress::DynamoDb { table, environment, .. },
                Call::Swap { from, record },
            ) => self.swap_item(client, (table, environment), from, &record).await,
            (Client::S3(client), PlaceAddress::S3 { bucket, key, .. }, Call::Read) => {
                self.read_object(client, bucket, key).await
            }
            (Client::S3(client), PlaceAddress::S3 { bucket, key, .. }, Call::Swap { from, record }) => {
                self.swap_object(client, bucket, key, from, &record).await
            }
            // `new` makes a client of the address.
            _ => Err(PlaceError::Other { place: self.name(), why: "it has another client".into() }),
        }
    }

    async fn read_item(
        &self,
        client: &aws_sdk_dynamodb::Client,
        table: &str,
        environment: &str,
    ) -> Result<Answer, PlaceError> {
        let request = client
            .get_item()
            .table_name(table)
            .key(KEY, AttributeValue::S(environment.to_owned()))
            // Without it an older state may be told.
            .consistent_read(true);
        let answer = self.within("dynamodb:GetItem", request.send()).await?;
        let Some(item) = answer.item else { return Ok(Answer::Read(None)) };
        let text = |name: &str| item.get(name).and_then(|value| value.as_s().ok()).map(String::as_str);
        let (Some(version), Some(record)) = (text(VERSION), text(RECORD)) else {
            let why = format!("it has no strings {VERSION} and {RECORD}");
            return Err(PlaceError::Unreadable { place: self.name(), why: why.into() });
        };
        let record = RegionRecord::from_json(&self.name(), record)?;
        Ok(Answer::Read(Some(Stored { record, version: Version::new(version) })))
    }

    async fn swap_item(
        &self,
        client: &aws_sdk_dynamodb::Client,
        (table, environment): (&str, &str),
        from: Option<Version>,
        record: &RegionRecord,
    ) -> Result<Answer, PlaceError> {
        let version = version_of(record);
        let request = client
            .put_item()
            .table_name(table)
            .item(KEY, AttributeValue::S(environment.to_owned()))
            .item(VERSION, AttributeValue::S(version.as_str().to_owned()))
            .item(RECORD, AttributeValue::S(record.to_json()));
        let request = match from {
            None => request
                .condition_expression("attribute_not_exists(#key)")
                .expression_attribute_names("#key", KEY),
            Some(from) => request
                .condition_expression("#version = :from")
                .expression_attribute_names("#version", VERSION)
                .expression_attribute_values(":from", AttributeValue::S(from.as_str().to_owned())),
        };
        match self.call(request.send()).await {
            Ok(_) => Ok(Answer::Swapped(version)),
            Err(Refused::Code(code)) if code == "ConditionalCheckFailedException" => Ok(Answer::Conflict),
            // Somebody writes it in a transaction at this moment: nothing was written.
            Err(Refused::Code(code)) if code == "TransactionConflictException" => Ok(Answer::Conflict),
            Err(refused) => Err(self.error("dynamodb:PutItem", refused)),
        }
    }

    async fn read_object(
        &self,
        client: &aws_sdk_s3::Client,
        bucket: &str,
        key: &str,
    ) -> Result<Answer, PlaceError> {
        const RIGHT: &str = "s3:GetObject";
        let mut answer = match self.call(client.get_object().bucket(bucket).key(key).send()).await {
            Ok(answer) => answer,
            Err(Refused::Code(code)) if code == "NoSuchKey" => return Ok(Answer::Read(None)),
            Err(refused) => return Err(self.error(RIGHT, refused)),
        };
        let version = answer.e_tag.take().map(|tag| Version::new(&tag));
        let unreachable = || Failure::unreachable("the answer broke off");
        let mut bytes = Vec::new();
        let body = async {
            while let Some(chunk) = answer.body.next().await {
                bytes.extend_from_slice(&chunk.map_err(|_| unreachable())?);
                if bytes.len() > RECORD_BYTES {
                    break;
                }
            }
            Ok::<_, Failure>(())
        };
        let late = || Failure::unreachable("it timed out");
        let read = tokio::time::timeout(self.within, body).await.unwrap_or_else(|_| Err(late()));
        read.map_err(|failure| self.error(RIGHT, Refused::Failure(failure)))?;
        let unreadable = |why: &str| PlaceError::Unreadable { place: self.name(), why: why.into() };
        let version = version.ok_or_else(|| unreadable("it has no ETag"))?;
        let text = String::from_utf8(bytes).map_err(|_| unreadable("it is no text"))?;
        let record = RegionRecord::from_json(&self.name(), &text)?;
        Ok(Answer::Read(Some(Stored { record, version })))
    }

    async fn swap_object(
        &self,
        client: &aws_sdk_s3::Client,
        bucket: &str,
        key: &str,
        from: Option<Version>,
        record: &RegionRecord,
    ) -> Result<Answer, PlaceError> {
        const RIGHT: &str = "s3:PutObject";
        let is_first = from.is_none();
        let request = client
            .put_object()
            .bucket(bucket)
            .key(key)
            .content_type("application/json")
            .set_if_match(from.map(|version| version.as_str().to_owned()))
            .set_if_none_match(is_first.then(|| "*".to_owned()))
            .body(record.to_json().into_bytes().into());
        match self.call(request.send()).await {
            Ok(answer) => {
                let tag = answer.e_tag.ok_or_else(|| PlaceError::Unreadable {
                    place: self.name(),
                    why: "it was written, and its ETag was not told".into(),
                })?;
                Ok(Answer::Swapped(Version::new(&tag)))
            }
            // The last is told of two writes at the same moment, and of a version that is gone.
            Err(Refused::Code(code))
                if matches!(
                    code.as_str(),
                    "PreconditionFailed" | "ConditionalRequestConflict" | "NoSuchKey"
                ) =>
            {
                Ok(Answer::Conflict)
            }
            Err(refused) => Err(self.error(RIGHT, refused)),
        }
    }

    async fn within<T, E>(
        &self,
        right: &str,
        call: impl Future<Output = Result<T, SdkError<E, HttpResponse>>>,
    ) -> Result<T, PlaceError>
    where
        E: ProvideErrorMetadata + Error + 'static,
    {
        self.call(call).await.map_err(|refused| self.error(right, refused))
    }

    /// Makes a call once.
    async fn call<T, E>(
        &self,
        call: impl Future<Output = Result<T, SdkError<E, HttpResponse>>>,
    ) -> Result<T, Refused>
    where
        E: ProvideErrorMetadata + Error + 'static,
    {
        // Credentials may have to be had first; all of it together has this time.
        match tokio::time::timeout(self.within, call).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(SdkError::ServiceError(refused))) if is_named(refused.err().code()) => {
                Err(Refused::Code(refused.err().code().unwrap_or_default().to_owned()))
            }
            Ok(Err(error)) => Err(Refused::Failure(Failure::of(&error))),
            Err(_) => Err(Refused::Failure(Failure::unreachable("it timed out"))),
        }
    }

    fn error(&self, right: &str, refused: Refused) -> PlaceError {
        let place = self.name();
        match refused {
            Refused::Code(_) => PlaceError::Missing { place },
            Refused::Failure(Failure::Denied | Failure::Because(Cause::KmsDenied)) => {
                PlaceError::Denied { place, right: format!("{right} on it").into() }
            }
            Refused::Failure(Failure::Because(Cause::Unreachable { why })) => {
                PlaceError::Unreachable { place, why }
            }
            Refused::Failure(Failure::Because(Cause::Throttled)) => {
                PlaceError::Unreachable { place, why: "too much is asked of it".into() }
            }
            Refused::Failure(Failure::Because(Cause::Credentials { why, passes: true })) => {
                PlaceError::Unreachable { place, why }
            }
            Refused::Failure(Failure::Because(Cause::Credentials { why, .. })) => {
                PlaceError::Other { place, why }
            }
            Refused::Failure(Failure::Because(Cause::NotFound)) => PlaceError::Missing { place },
            Refused::Failure(Failure::Because(Cause::Other { code })) => {
                PlaceError::Other { place, why: code }
            }
            Refused::Failure(Failure::Because(_)) => {
                PlaceError::Other { place, why: "AWS refuses the agent's identity, or its clock".into() }
            }
        }
    }
}

/// Why a call was not done.
enum Refused {
    /// A code that means something here; of those that nobody expected, that nothing is there.
    Code(String),
    Failure(Failure),
}

/// Codes that say what stands in the place, and not that it could not be asked.
fn is_named(code: Option<&str>) -> bool {
    matches!(
        code,
        Some(
            "ConditionalCheckFailedException"
                | "TransactionConflictException"
                | "PreconditionFailed"
                | "ConditionalRequestConflict"
                | "NoSuchKey"
                | "NoSuchBucket"
                | "ResourceNotFoundException"
        )
    )
}

/// No other write has the same, so that a table that was emptied and filled again is not taken for what it was.
fn version_of(record: &RegionRecord) -> Version {
    let stamp = &record.written;
    Version::new(&format!("{}-{}-{:x}-{}", record.serial, stamp.region, stamp.run, stamp.write))
}
