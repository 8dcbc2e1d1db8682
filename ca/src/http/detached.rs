//! Use cases that run to their end whether or not the client still waits, and whom the end of the process waits for.

use ca_wire::problem::Code;
use tokio_util::task::TaskTracker;
use tracing::Instrument;

use super::problem::Refused;

/// The use cases under way.
#[derive(Clone, Debug, Default)]
pub(crate) struct Detached(TaskTracker);

impl Detached {
    /// Runs a use case on a task of its own, in the span of its request.
    ///
    /// # Errors
    /// What the use case ends with; `Internal` when it panicked.
    pub(crate) async fn run<T, E>(
        &self,
        use_case: impl Future<Output = Result<T, E>> + Send + 'static,
    ) -> Result<T, Refused>
    where
        T: Send + 'static,
        E: Into<Refused> + Send + 'static,
    {
        match self.spawn(use_case).await {
            Ok(result) => result.map_err(Into::into),
            Err(error) => {
                tracing::error!(%error, "a use case broke off");
                Err(Refused::new(Code::Internal).because("Tell the help desk the support ID."))
            }
        }
    }

    /// The same for what has an answer of its own to a panic.
    pub(crate) fn spawn<T: Send + 'static>(
        &self,
        use_case: impl Future<Output = T> + Send + 'static,
    ) -> tokio::task::JoinHandle<T> {
        self.0.spawn(use_case.in_current_span())
    }

    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        self.0.len()
    }

    /// Waits until none is left. New ones may still begin; who waits has stopped to accept requests.
    pub(crate) async fn ended(&self) {
        self.0.close();
        self.0.wait().await;
    }
}
