//! One thread on which everything that AWS answers is taken apart, and whose diagnostics go nowhere.
//!
//! The SDK, hyper and rustls log what they do, at trace level down to the bodies, and a variable of the process environment
//! (`LOG_SENSITIVE_BODIES`) lifts what protection the SDK has. A filter in our own logging would hold only for our own
//! subscriber; on this thread there is none, whatever the rest of the process logs. The buffers that values pass through
//! are allocated and freed here, too, so that an allocator can tell them from all others ([`WipingAllocator`]).
//!
//! [`WipingAllocator`]: crate::object::secret::WipingAllocator

use std::future::Future;
use std::io;

use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio_util::task::AbortOnDropHandle;
use tracing::subscriber::NoSubscriber;

use crate::object::secret::wipe_what_this_thread_frees;

pub(super) struct Thread {
    runtime: Handle,
    /// Ends the thread when it is dropped.
    _stop: oneshot::Sender<()>,
}

impl Thread {
    pub(super) fn start() -> io::Result<Self> {
        let (stop, stopped) = oneshot::channel();
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().thread_name("aws-names").build()?;
        let handle = runtime.handle().clone();
        std::thread::Builder::new().name("aws".to_owned()).spawn(move || {
            wipe_what_this_thread_frees();
            let _quiet = tracing::subscriber::set_default(NoSubscriber::new());
            let _ = runtime.block_on(stopped);
            // A name that is being looked up holds nobody up.
            runtime.shutdown_background();
        })?;
        Ok(Self { runtime: handle, _stop: stop })
    }

    /// Does the work there and waits for it; it ends with whoever waits. `None` where it panicked.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> Option<T> {
        AbortOnDropHandle::new(self.runtime.spawn(work)).await.ok()
    }

    /// Does the work there, whoever waits for it.
    pub(super) fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        drop(self.runtime.spawn(work));
    }
}
