//! Workers of a browser that share the kernels' work with the one that owns the engine.
//!
//! A kernel takes some 100 µs, and a thread that sleeps takes 50 µs to wake up: so workers look for
//! the next kernel's tasks for a while before they sleep, and the owner for their end. rayon's
//! threads sleep at once where `std::thread::yield_now` does nothing, as in wasm.

use std::cell::{Cell, UnsafeCell};
use std::hint::spin_loop;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering::SeqCst};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// How often a thread looks before it sleeps: some 0.3 ms.
const LOOKS: u32 = 1 << 18;

/// What the threads do: a task for each number below `count`.
#[derive(Clone, Copy)]
struct Job {
    task: &'static (dyn Fn(usize) + Sync),
    count: usize,
}

/// The job, which the owner writes while nobody is inside.
struct Shared(UnsafeCell<Option<Job>>);

// SAFETY: `run` writes it before it opens a turn and after everybody has left; workers read it in
// between.
unsafe impl Sync for Shared {}

static JOB: Shared = Shared(UnsafeCell::new(None));
/// Odd while a job is open.
static TURN: AtomicU32 = AtomicU32::new(0);
/// The task that nobody has taken yet.
static NEXT: AtomicUsize = AtomicUsize::new(0);
/// Workers that may be reading the job.
static INSIDE: AtomicU32 = AtomicU32::new(0);
static WORKERS: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    /// Whether this thread does a task already.
    static IN_TASK: Cell<bool> = const { Cell::new(false) };
}

static ASLEEP: AtomicU32 = AtomicU32::new(0);
static OWNER_ASLEEP: AtomicBool = AtomicBool::new(false);
static LOCK: Mutex<()> = Mutex::new(());
/// A turn is open.
static OPENED: Condvar = Condvar::new();
/// The last worker has left.
static LEFT: Condvar = Condvar::new();

fn lock() -> MutexGuard<'static, ()> {
    LOCK.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Shares work from now on with `workers` threads that call [`serve`].
pub fn share(workers: usize) {
    WORKERS.store(workers, SeqCst);
}

/// The owner and its workers.
pub fn threads() -> usize {
    1 + WORKERS.load(SeqCst)
}

/// Does `task` for each number below `count`, on every thread, and returns when all is done. A task
/// that comes here itself does its own tasks alone.
pub fn run(count: usize, task: &(dyn Fn(usize) + Sync)) {
    if threads() == 1 || IN_TASK.get() {
        return (0..count).for_each(task);
    }
    // SAFETY: nobody holds the job when this returns, and nobody is inside before the turn is open.
    unsafe {
        let task =
            std::mem::transmute::<&(dyn Fn(usize) + Sync), &'static (dyn Fn(usize) + Sync)>(task);
        *JOB.0.get() = Some(Job { task, count });
    }
    NEXT.store(0, SeqCst);
    TURN.fetch_add(1, SeqCst);
    if ASLEEP.load(SeqCst) > 0 {
        let _guard = lock();
        OPENED.notify_all();
    }
    IN_TASK.set(true);
    work(count, task);
    IN_TASK.set(false);
    TURN.fetch_add(1, SeqCst); // who comes now stays out
    for _ in 0..LOOKS {
        if INSIDE.load(SeqCst) == 0 {
            return;
        }
        spin_loop();
    }
    OWNER_ASLEEP.store(true, SeqCst);
    let mut guard = lock();
    while INSIDE.load(SeqCst) > 0 {
        guard = LEFT.wait(guard).unwrap_or_else(PoisonError::into_inner);
    }
    OWNER_ASLEEP.store(false, SeqCst);
}

/// Takes tasks until there are no more.
fn work(count: usize, task: &(dyn Fn(usize) + Sync)) {
    loop {
        let i = NEXT.fetch_add(1, SeqCst);
        if i >= count {
            return;
        }
        task(i);
    }
}

/// Works for the owner for as long as the thread lives.
pub fn serve() -> ! {
    IN_TASK.set(true);
    let mut done = 0;
    loop {
        done = next_turn(done);
        INSIDE.fetch_add(1, SeqCst);
        if TURN.load(SeqCst) == done {
            // SAFETY: the turn was open after this thread came inside, so the owner waits until it
            // has left.
            let job = unsafe { *JOB.0.get() };
            let Job { task, count } = job.expect("an open turn has a job");
            work(count, task);
        }
        if INSIDE.fetch_sub(1, SeqCst) == 1 && OWNER_ASLEEP.load(SeqCst) {
            let _guard = lock();
            LEFT.notify_one();
        }
    }
}

/// Waits for an open turn after the turn `done`.
fn next_turn(done: u32) -> u32 {
    let open = || Some(TURN.load(SeqCst)).filter(|turn| turn % 2 == 1 && *turn != done);
    for _ in 0..LOOKS {
        if let Some(turn) = open() {
            return turn;
        }
        spin_loop();
    }
    ASLEEP.fetch_add(1, SeqCst);
    let mut guard = lock();
    let turn = loop {
        match open() {
            Some(turn) => break turn,
            None => guard = OPENED.wait(guard).unwrap_or_else(PoisonError::into_inner),
        }
    };
    ASLEEP.fetch_sub(1, SeqCst);
    turn
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn every_task_is_done_once_whether_threads_sleep_or_not() {
        (0..3).for_each(|_| drop(std::thread::spawn(|| serve())));
        share(3);
        for round in 0..2000 {
            let counts: Vec<AtomicUsize> = (0..round % 17).map(|_| AtomicUsize::new(0)).collect();
            run(counts.len(), &|i| {
                run(2, &|_| {
                    counts[i].fetch_add(1, SeqCst);
                });
                if round % 100 == 16 {
                    std::thread::sleep(Duration::from_millis(2)); // the owner sleeps
                }
            });
            assert!(
                counts.iter().all(|count| count.load(SeqCst) == 2),
                "{round}"
            );
            if round % 100 == 0 {
                std::thread::sleep(Duration::from_millis(2)); // the workers sleep
            }
        }
        share(0);
        assert_eq!(threads(), 1);
    }
}
