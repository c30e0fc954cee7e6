//! Brings drift and the audit log of the API server together: who changed something, where that is told.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::AgentError;
use crate::cluster::Session;
use crate::config::AuditConfig;
use crate::drift::{Drifted, Named, Principals, ResourceName, Sought, writes};
use crate::http::{self, AuditPort};
use crate::metrics::Metrics;
use crate::object::{DriftRecord, EnvironmentName, FieldHolder, ObjectKey};

/// Names that wait to be told for one environment. What has no room is not told.
const QUEUE: usize = 1024;

/// What the audit log told lately, and what waits for it. Shared by the port that hears it and all environments.
pub(super) struct AuditTrail {
    session: Session,
    metrics: Arc<Metrics>,
    principals: Mutex<Principals>,
    /// Where to tell what is known more of the records of an environment.
    listeners: Mutex<HashMap<EnvironmentName, mpsc::Sender<DriftRecord>>>,
    heard: AtomicU64,
}

impl AuditTrail {
    pub fn new(session: Session, metrics: Arc<Metrics>) -> Self {
        Self {
            session,
            metrics,
            principals: Mutex::default(),
            listeners: Mutex::default(),
            heard: AtomicU64::new(0),
        }
    }

    /// Tells from now on what is known more of the records of an environment, and nobody else that listened for it before.
    pub fn listen(&self, environment: &EnvironmentName) -> mpsc::Receiver<DriftRecord> {
        let (sender, receiver) = mpsc::channel(QUEUE);
        let mut listeners = self.listeners.lock().unwrap_or_else(PoisonError::into_inner);
        listeners.retain(|_, sender| !sender.is_closed());
        listeners.insert(environment.clone(), sender);
        receiver
    }

    /// Who changed what a record is of, as far as it is known by now; what is known later is told to those who listen.
    pub fn ask(&self, drifted: &Drifted, holder: Option<FieldHolder>, record: &DriftRecord) -> Named {
        let Some(object) = self.resource(&record.object) else { return Named::Nobody };
        let sought = Sought { object, record: record.clone(), version: drifted.version.clone(), holder };
        let named = self.principals().ask(sought, Timestamp::now());
        if named != Named::Nobody {
            self.metrics.drift.named(false);
        }
        named
    }

    /// Takes a list of the audit log. Says why where it is none.
    pub fn hear(&self, body: &[u8]) -> Result<(), String> {
        let (writes, count) = writes(body).map_err(|error| error.to_string())?;
        self.heard.fetch_add(count as u64, Ordering::Relaxed);
        let news = self.principals().hear(writes, Timestamp::now());
        let listeners = self.listeners.lock().unwrap_or_else(PoisonError::into_inner);
        for record in news {
            self.metrics.drift.named(true);
            let is_told =
                listeners.get(&record.environment).is_some_and(|listener| listener.try_send(record).is_ok());
            if !is_told {
                tracing::debug!("who changed something is known, and nobody listens any more");
            }
        }
        Ok(())
    }

    /// How many events were heard since the start.
    pub fn heard(&self) -> u64 {
        self.heard.load(Ordering::Relaxed)
    }

    fn principals(&self) -> std::sync::MutexGuard<'_, Principals> {
        // Whatever is missing in it is named by nobody.
        self.principals.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An object as requests name it.
    fn resource(&self, key: &ObjectKey) -> Option<ResourceName> {
        let kinds = self.session.kinds();
        let info = kinds.get(&key.group, &key.kind)?;
        Some(ResourceName {
            group: key.group.clone(),
            resource: info.plural.as_str().into(),
            namespace: key.namespace.clone().unwrap_or_default(),
            name: key.name.clone(),
        })
    }
}

/// The port by which the audit log is heard.
pub(super) struct AuditHearing {
    trail: Arc<AuditTrail>,
    port: Arc<AuditPort>,
    listener: TcpListener,
}

impl AuditHearing {
    /// Reads certificates and takes the port, so that what is wrong with them is an error at the start.
    pub async fn open(
        config: &AuditConfig,
        session: &Session,
        metrics: &Arc<Metrics>,
    ) -> Result<Self, AgentError> {
        let trail = Arc::new(AuditTrail::new(session.clone(), metrics.clone()));
        let heard = trail.clone();
        let port = Arc::new(AuditPort::new(config.clone(), Box::new(move |body| heard.hear(body)))?);
        let address = config.listen;
        let listener =
            http::listen(address).await.map_err(|source| AgentError::Listen { address, source })?;
        let at = listener.local_addr().map_or_else(|_| address.to_string(), |at| at.to_string());
        tracing::info!(audit = %at, "the audit log of API servers is heard");
        Ok(Self { trail, port, listener })
    }

    pub fn trail(&self) -> Arc<AuditTrail> {
        self.trail.clone()
    }

    /// Counts events that were heard, and requests that were refused.
    pub fn counter(&self) -> impl Fn() -> (u64, u64) + Send + Sync + use<> {
        let (trail, port) = (self.trail.clone(), self.port.clone());
        move || (trail.heard(), port.refused())
    }

    pub async fn serve(self, end: CancellationToken) {
        http::serve_audit(self.listener, self.port, end).await;
    }
}
