//! Work shared among threads, and the memory it fills.

use std::cell::RefCell;
use std::mem::MaybeUninit;
#[cfg(feature = "workers")]
use std::sync::{Mutex, PoisonError};

/// Multiply-adds that are worth handing over: some 20 µs of a thread, as rayon's sleep and take a
/// few to wake up, and a quarter of it among a browser's workers, which look for work.
const WORTH: usize = if cfg!(feature = "workers") {
    1 << 16
} else {
    1 << 18
};

/// Tasks of a thread at most: one that is slower than another leaves it some.
const TASKS: usize = 4;

/// Tasks that so many multiply-adds are worth to be shared among.
pub fn parts(work: usize) -> usize {
    let (worth, threads) = (work / WORTH, threads());
    match worth {
        _ if threads == 1 || worth == 0 => 1,
        _ if worth < threads => worth,
        _ => worth.min(TASKS * threads) / threads * threads, // all end at the same time
    }
}

/// How many of `count` things a task takes, each of `work` multiply-adds.
pub fn share(count: usize, work: usize) -> usize {
    count.div_ceil(parts(count.saturating_mul(work))).max(1)
}

/// The same for images, whose work may be shared inside: a browser's workers share nothing inside
/// of a task, so an image is one only where each thread gets one.
pub fn share_images(count: usize, work: usize) -> usize {
    if count < threads() {
        count.max(1)
    } else {
        share(count, work)
    }
}

/// Threads that work is shared among.
pub fn threads() -> usize {
    #[cfg(feature = "workers")]
    return super::pool::threads();
    #[cfg(all(feature = "threads", not(feature = "workers")))]
    return rayon::current_num_threads();
    #[cfg(not(any(feature = "threads", feature = "workers")))]
    1
}

/// Runs over tasks that differ in size, on every core where there are threads.
pub fn each<T: Send>(tasks: Vec<T>, run: impl Fn(usize, T) + Sync + Send) {
    #[cfg(feature = "workers")]
    if tasks.len() > 1 && threads() > 1 {
        let tasks: Vec<_> = tasks
            .into_iter()
            .map(|task| Mutex::new(Some(task)))
            .collect();
        return super::pool::run(tasks.len(), &|i| {
            let task = tasks[i]
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .take();
            run(i, task.expect("a task is taken once"));
        });
    }
    #[cfg(all(feature = "threads", not(feature = "workers")))]
    if tasks.len() > 1 && threads() > 1 {
        use rayon::prelude::*;
        let tasks = tasks.into_par_iter().enumerate().with_max_len(1);
        return tasks.for_each(|(i, task)| run(i, task));
    }
    for (i, task) in tasks.into_iter().enumerate() {
        run(i, task);
    }
}

/// Runs over pieces of `size`, the last of which may be shorter.
pub fn each_chunk(out: &mut [f32], size: usize, run: impl Fn(usize, &mut [f32]) + Sync + Send) {
    each(out.chunks_mut(size.max(1)).collect(), run);
}

/// What comes of each piece of `size`, in their order.
pub fn map_chunks<T: Send>(
    x: &[f32],
    size: usize,
    run: impl Fn(&[f32]) -> T + Sync + Send,
) -> Vec<T> {
    let mut results: Vec<Option<T>> = x.chunks(size).map(|_| None).collect();
    let tasks = results.iter_mut().zip(x.chunks(size)).collect();
    each(tasks, |_, (result, chunk)| *result = Some(run(chunk)));
    let results = results.into_iter();
    results
        .map(|result| result.expect("every task was done"))
        .collect()
}

/// `len` values in parts of these `sizes`, each of which a task fills, zeros at first. Each part is
/// cleared by its own task, just before it is filled: then it is in the cache, and every thread
/// clears some.
pub fn filled(
    sizes: impl IntoIterator<Item = usize>,
    len: usize,
    run: impl Fn(usize, &mut [f32]) + Sync + Send,
) -> Vec<f32> {
    let mut values = Vec::with_capacity(len);
    let mut rest = &mut values.spare_capacity_mut()[..len];
    let mut parts = Vec::new();
    for size in sizes {
        let (part, after) = rest.split_at_mut(size);
        parts.push(part);
        rest = after;
    }
    assert!(rest.is_empty(), "the parts are the whole");
    each(parts, |i, part| run(i, cleared(part)));
    // SAFETY: every value of every part was written, and the parts are all of the values.
    unsafe { values.set_len(len) };
    values
}

/// `len` values in parts of one `size`, the last of which may be shorter, as [`filled`].
pub fn filled_chunks(
    len: usize,
    size: usize,
    run: impl Fn(usize, &mut [f32]) + Sync + Send,
) -> Vec<f32> {
    let size = size.max(1);
    let sizes = (0..len).step_by(size).map(|start| size.min(len - start));
    filled(sizes, len, run)
}

/// As [`filled_chunks`], but where memory was given back, `run` sees what was left there: it writes
/// every value.
pub fn overwritten_chunks(
    len: usize,
    size: usize,
    run: impl Fn(usize, &mut [f32]) + Sync + Send,
) -> Vec<f32> {
    let mut values = GIVEN_BACK.take();
    if values.capacity() < len {
        GIVEN_BACK.set(values);
        return filled_chunks(len, size, run);
    }
    values.resize(len, 0.0);
    each_chunk(&mut values, size, run);
    values
}

/// Keeps the largest memory of this thread that one step after another needs, such as that of a
/// layer's transformed weights, so that nobody clears it anew.
#[cfg(feature = "training")]
pub fn give_back(values: Vec<f32>) {
    let kept = GIVEN_BACK.take();
    GIVEN_BACK.set(std::cmp::max_by_key(kept, values, Vec::capacity));
}

fn cleared(part: &mut [MaybeUninit<f32>]) -> &mut [f32] {
    part.fill(MaybeUninit::new(0.0));
    // SAFETY: every value was just written, and a value has the layout of what may be one.
    unsafe { &mut *(std::ptr::from_mut(part) as *mut [f32]) }
}

thread_local! {
    static SCRATCH: RefCell<Vec<Vec<f32>>> = const { RefCell::new(Vec::new()) };
    static GIVEN_BACK: RefCell<Vec<f32>> = const { RefCell::new(Vec::new()) };
}

/// Runs with `len` values of this thread's that are used again and again: they hold what was left
/// there.
pub fn scratch<T>(len: usize, run: impl FnOnce(&mut [f32]) -> T) -> T {
    let mut values = SCRATCH.with_borrow_mut(Vec::pop).unwrap_or_default();
    if values.len() < len {
        values.resize(len, 0.0);
    }
    let result = run(&mut values[..len]);
    SCRATCH.with_borrow_mut(|kept| kept.push(values));
    result
}

#[cfg(all(test, feature = "threads"))]
mod tests {
    use super::*;

    #[test]
    fn little_work_is_not_shared_and_much_is_evenly() {
        let with = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads);
            let counts = || [1, 2 * WORTH, 3 * WORTH, 9 * WORTH, 1 << 40].map(parts);
            pool.build().expect("threads").install(counts)
        };
        assert_eq!(with(1), [1; 5]);
        assert_eq!(with(2), [1, 2, 2, 8, 8]);
        assert_eq!(with(4), [1, 2, 3, 8, 16]);
    }
}
