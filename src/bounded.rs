//! A map that forgets what was not asked for longest.

use std::hash::Hash;

use moka::policy::EvictionPolicy;
use moka::sync::Cache;

/// A map whose values weigh no more than so much together.
pub struct Bounded<K, V>(Cache<K, V>);

impl<K, V> Clone for Bounded<K, V> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<K, V> Bounded<K, V>
where
    K: Hash + Eq + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    /// An empty map. What a value weighs must not change.
    #[must_use]
    pub fn new(weight_max: u64, weigh: impl Fn(&K, &V) -> u64 + Send + Sync + 'static) -> Self {
        let weigher = move |key: &K, value: &V| u32::try_from(weigh(key, value)).unwrap_or(u32::MAX);
        // Least recently used: what is new is always taken in. A policy that weighs how often something was asked for
        // would keep answers of an old version in the place of the new one's.
        let policy = EvictionPolicy::lru();
        Self(Cache::builder().max_capacity(weight_max).weigher(weigher).eviction_policy(policy).build())
    }

    /// The value of a key.
    #[must_use]
    pub fn get(&self, key: &K) -> Option<V> {
        self.0.get(key)
    }

    /// The value of a key, made where there is none: whoever asks at the same time gets the same one.
    #[must_use]
    pub fn get_or_insert(&self, key: K, make: impl FnOnce() -> V) -> V {
        self.0.get_with(key, make)
    }

    /// Keeps a value.
    pub fn insert(&self, key: K, value: V) {
        self.0.insert(key, value);
    }

    /// Every value, in no order; what comes and goes meanwhile may be among them or not.
    pub fn values(&self) -> impl Iterator<Item = V> {
        self.0.iter().map(|(_, value)| value)
    }

    /// Forgets a value.
    pub fn remove(&self, key: &K) {
        self.0.invalidate(key);
    }
}
