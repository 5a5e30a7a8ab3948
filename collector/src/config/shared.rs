//! What detection works with now, for whoever works while somebody may read the configuration again.

use std::sync::{Arc, PoisonError, RwLock};

use super::DetectConfig;

/// What detection works with now.
#[derive(Debug, Clone)]
pub struct Shared(Arc<RwLock<Arc<DetectConfig>>>);

impl Shared {
    /// This counts until something else is set.
    pub fn new(config: DetectConfig) -> Self {
        Self(Arc::new(RwLock::new(Arc::new(config))))
    }

    /// This counts from now on.
    pub fn set(&self, config: Arc<DetectConfig>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = config;
    }

    /// What counts.
    pub fn get(&self) -> Arc<DetectConfig> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }
}
