//! A map of few entries that takes no more room than they do.

/// A sorted list of entries. A tree has room for eleven in every node, and most maps of a graph hold one.
///
/// Looking is a binary search; to put an entry in moves those behind it.
#[derive(Debug, Clone)]
pub(super) struct Few<K, V> {
    entries: Vec<(K, V)>,
}

impl<K, V> Default for Few<K, V> {
    fn default() -> Self {
        Self {
            entries: Vec::new(),
        }
    }
}

impl<K: Ord + Copy, V> Few<K, V> {
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub(super) fn get(&self, key: K) -> Option<&V> {
        self.find(key).ok().map(|at| &self.entries[at].1)
    }

    pub(super) fn get_mut(&mut self, key: K) -> Option<&mut V> {
        self.find(key).ok().map(|at| &mut self.entries[at].1)
    }

    /// The entry's value, put in when there is none.
    pub(super) fn or_insert(&mut self, key: K, value: V) -> &mut V {
        let at = self.find(key).unwrap_or_else(|at| {
            if self.entries.is_empty() {
                // One is what most have; a list grows to four at least.
                self.entries.reserve_exact(1);
            }
            self.entries.insert(at, (key, value));
            at
        });
        &mut self.entries[at].1
    }

    pub(super) fn remove(&mut self, key: K) -> Option<V> {
        let at = self.find(key).ok()?;
        Some(self.entries.remove(at).1)
    }

    /// All entries, in the order of their keys.
    pub(super) fn iter(&self) -> impl Iterator<Item = &(K, V)> {
        self.entries.iter()
    }

    /// Those from a key on.
    pub(super) fn since(&self, key: K) -> impl Iterator<Item = &(K, V)> {
        let at = self.find(key).unwrap_or_else(|at| at);
        self.entries[at..].iter()
    }

    fn find(&self, key: K) -> Result<usize, usize> {
        // Times come in order, so what is looked for is the last one or lies behind it.
        match self.entries.last() {
            Some((last, _)) if *last < key => Err(self.entries.len()),
            Some((last, _)) if *last == key => Ok(self.entries.len() - 1),
            _ => self.entries.binary_search_by(|(known, _)| known.cmp(&key)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_in_order_whatever_the_order_they_came_in() {
        let mut few = Few::default();
        for key in [5, 1, 9, 3, 5, 9, 7] {
            *few.or_insert(key, 0) += key;
        }
        let all: Vec<(i32, i32)> = few.iter().copied().collect();
        assert_eq!(all, [(1, 1), (3, 3), (5, 10), (7, 7), (9, 18)]);
        assert_eq!(
            few.since(4).map(|(key, _)| *key).collect::<Vec<_>>(),
            [5, 7, 9]
        );
        assert_eq!(few.since(10).count(), 0);
        assert_eq!(
            (few.remove(5), few.remove(5), few.len()),
            (Some(10), None, 4)
        );
        assert_eq!((few.get(5), few.get(7)), (None, Some(&7)));
        assert_eq!(few.get_mut(9), Some(&mut 18));
        assert!(!few.is_empty());
    }

    #[test]
    fn one_entry_takes_the_room_of_one() {
        let mut few = Few::default();
        few.or_insert(1_u64, 1_u64);
        assert_eq!(few.entries.capacity(), 1);
    }
}
