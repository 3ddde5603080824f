//! What the processes of a training are to each other.

/// What the processes of a training do together. All ranks make the same calls of [`Self::sum`],
/// [`Self::barrier`] and [`Self::gather`] in the same order.
pub trait Ranks: Send + Sync {
    /// This process among them, from 0.
    fn rank(&self) -> usize;

    /// How many they are.
    fn size(&self) -> usize;

    /// Replaces `values` by their sums over all ranks.
    fn sum(&self, values: &mut [f32]);

    /// Waits until every rank is here.
    fn barrier(&self);

    /// Tells the waiting ranks whether there is a training to join. Rank 0 calls it.
    fn call(&self, join: bool);

    /// Waits, without load, for what rank 0 tells. The others call it.
    fn called(&self) -> bool;

    /// Waits until every rank is done, for nothing more to follow.
    fn finish(&self);

    /// Ends every rank.
    fn abort(&self);

    /// The `value` of every rank, by rank.
    fn gather(&self, value: f32) -> Vec<f32> {
        let mut values = vec![0.0; self.size()];
        values[self.rank()] = value;
        self.sum(&mut values);
        values
    }
}

/// A process that trains by itself.
pub(super) struct Alone;

impl Ranks for Alone {
    fn rank(&self) -> usize {
        0
    }

    fn size(&self) -> usize {
        1
    }

    fn sum(&self, _: &mut [f32]) {}

    fn barrier(&self) {}

    fn call(&self, _: bool) {}

    fn called(&self) -> bool {
        true
    }

    fn finish(&self) {}

    fn abort(&self) {}
}
