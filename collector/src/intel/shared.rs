//! The feeds that count now, for whoever looks up while somebody may read them again.

use std::sync::{Arc, PoisonError, RwLock};

use super::Intel;

/// The feeds that count now.
#[derive(Debug, Clone, Default)]
pub struct Shared(Arc<RwLock<Arc<Intel>>>);

impl Shared {
    /// These count from now on.
    pub fn set(&self, intel: Arc<Intel>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = intel;
    }

    /// Those that count.
    pub fn get(&self) -> Arc<Intel> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }
}
