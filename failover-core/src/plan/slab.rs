//! Dense numbers for things, so that a million jobs refer to one another in four bytes each.

use std::collections::HashMap;
use std::hash::Hash;
use std::num::NonZeroU32;
use std::ops::{Index, IndexMut};
use std::sync::Arc;

/// A number that stands for a thing in a [`Slab`].
pub(super) trait Key: Copy {
    fn at(index: usize) -> Self;
    fn index(self) -> usize;
}

/// Declares kinds of keys. An absent one takes no room.
macro_rules! keys {
    ($($(#[$doc:meta])* $name:ident,)*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub(super) struct $name(NonZeroU32);

        impl Key for $name {
            fn at(index: usize) -> Self {
                // Four billion things do not fit into any memory this is run in.
                Self(NonZeroU32::MIN.saturating_add(u32::try_from(index).unwrap_or(u32::MAX)))
            }

            fn index(self) -> usize {
                self.0.get() as usize - 1
            }
        }
    )*};
}

impl Slot {
    pub(super) const FIRST: Self = Self(NonZeroU32::MIN);
    pub(super) const LAST: Self = Self(NonZeroU32::MAX);
}

keys! {
    /// A job.
    Slot,
    /// A node, known as a place or by name only.
    NodeKey,
    /// A member that owns jobs.
    MemberKey,
    /// A policy that jobs share.
    PolicyKey,
    /// What policies that share it ask of a node itself: pins and labels.
    FilterKey,
    /// A group of jobs that keep apart.
    GroupKey,
    /// A line of the queue.
    LineKey,
}

/// Things under dense keys; the key of one that is gone is given out again.
#[derive(Debug, Clone)]
pub(super) struct Slab<K, T> {
    items: Vec<Option<T>>,
    free: Vec<K>,
}

impl<K: Key, T> Slab<K, T> {
    pub(super) const fn new() -> Self {
        Self { items: Vec::new(), free: Vec::new() }
    }

    pub(super) fn insert(&mut self, item: T) -> K {
        if let Some(key) = self.free.pop() {
            self.items[key.index()] = Some(item);
            return key;
        }
        self.items.push(Some(item));
        K::at(self.items.len() - 1)
    }

    pub(super) fn remove(&mut self, key: K) -> Option<T> {
        let item = self.items[key.index()].take();
        if item.is_some() {
            self.free.push(key);
        }
        item
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (K, &T)> {
        self.items.iter().enumerate().filter_map(|(index, item)| Some((K::at(index), item.as_ref()?)))
    }
}

// Whoever holds a key is removed before what the key stands for; anything else is a fault of this module.
impl<K: Key, T> Index<K> for Slab<K, T> {
    type Output = T;
    fn index(&self, key: K) -> &T {
        self.items[key.index()].as_ref().expect("a key is kept no longer than its item")
    }
}

impl<K: Key, T> IndexMut<K> for Slab<K, T> {
    fn index_mut(&mut self, key: K) -> &mut T {
        self.items[key.index()].as_mut().expect("a key is kept no longer than its item")
    }
}

/// Things that are kept once however many hold them, and go with the last holder.
#[derive(Debug, Clone)]
pub(super) struct Shared<K, T> {
    keys: HashMap<Arc<T>, K>,
    items: Slab<K, (Arc<T>, usize)>,
}

impl<K: Key, T: Hash + Eq> Shared<K, T> {
    pub(super) fn new() -> Self {
        Self { keys: HashMap::new(), items: Slab::new() }
    }

    /// One more holder.
    pub(super) fn hold(&mut self, item: T) -> K {
        if let Some(key) = self.keys.get(&item) {
            self.items[*key].1 += 1;
            return *key;
        }
        let item = Arc::new(item);
        let key = self.items.insert((Arc::clone(&item), 1));
        self.keys.insert(item, key);
        key
    }

    /// One holder less. Whether that was the last.
    pub(super) fn release(&mut self, key: K) -> bool {
        let (_, holders) = &mut self.items[key];
        *holders -= 1;
        if *holders > 0 {
            return false;
        }
        if let Some((item, _)) = self.items.remove(key) {
            self.keys.remove(&item);
        }
        true
    }
}

impl<K: Key, T> Index<K> for Shared<K, T> {
    type Output = T;
    fn index(&self, key: K) -> &T {
        &self.items[key].0
    }
}
