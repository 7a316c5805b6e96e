//! What a protocol needs to know of whoever speaks it: which models there are, and their mind.

use std::sync::Arc;

use tokio::task::JoinHandle;

use crate::mind::Mind;

/// A model that can be asked.
#[derive(Debug, Clone)]
pub(crate) struct Model {
    /// Its whole name.
    pub(crate) name: String,
    /// Length of its embeddings.
    pub(crate) embedding_length: usize,
    /// Whether it thinks before it answers.
    pub(crate) thinks: bool,
}

/// Who answers to the name of a model.
pub(crate) trait Catalog: Send + Sync {
    /// All models.
    fn models(&self) -> Vec<Model>;

    /// The one that a request names.
    fn find(&self, name: &str) -> Option<Model>;

    /// Brings it into memory; `None` where nothing has to be brought.
    fn load(&self, model: &Model) -> Option<JoinHandle<()>>;
}

/// Whose words the errors and the extras are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flavour {
    /// The vendor's own.
    Vendor,
    /// Ollama's rendering of the vendor's protocol.
    Ollama,
}

/// Whoever speaks a protocol.
#[derive(Clone)]
pub(crate) struct Backend {
    pub(crate) catalog: Arc<dyn Catalog>,
    pub(crate) mind: Mind,
    pub(crate) flavour: Flavour,
    /// The key that requests must show; any, without one.
    pub(crate) key: Option<String>,
}

impl Backend {
    /// Waits until the model is in memory.
    pub(crate) async fn load(&self, model: &Model) {
        if let Some(loading) = self.catalog.load(model) {
            // It only fails when the process ends.
            let _ = loading.await;
        }
    }

    pub(crate) fn is_vendor(&self) -> bool {
        self.flavour == Flavour::Vendor
    }
}

/// The models of a vendor: always there.
pub(crate) struct Shelf(Vec<Model>);

impl Shelf {
    pub(crate) fn of(names: &[String], embedding_length: usize, thinks: fn(&str) -> bool) -> Self {
        let models = names.iter().map(|name| Model {
            name: name.clone(),
            embedding_length,
            thinks: thinks(name),
        });
        Self(models.collect())
    }
}

impl Catalog for Shelf {
    fn models(&self) -> Vec<Model> {
        self.0.clone()
    }

    fn find(&self, name: &str) -> Option<Model> {
        self.0.iter().find(|model| model.name == name).cloned()
    }

    fn load(&self, _: &Model) -> Option<JoinHandle<()>> {
        None
    }
}
