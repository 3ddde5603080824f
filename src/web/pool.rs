//! Threads of the CPU engine: workers of the browser among which rayon shares the kernels' work.
//!
//! The worker that owns the engine is one of them, so that work too small to be shared costs no waiting, and `n` threads take
//! `n - 1` workers more. Each of these instantiates this module on the same memory and calls [`serve`].

use std::sync::{Condvar, Mutex, PoisonError};

use rayon::{ThreadBuilder, ThreadPoolBuilder};
use wasm_bindgen::prelude::*;

/// Threads that no worker has taken yet.
static OFFERED: Mutex<Vec<ThreadBuilder>> = Mutex::new(Vec::new());
static OFFER: Condvar = Condvar::new();

/// Shares work from now on among this thread and `others`, and waits until each of these serves. A second call is an error.
#[wasm_bindgen]
pub fn share(others: usize) -> Result<(), JsError> {
    let pool = ThreadPoolBuilder::new().num_threads(1 + others);
    let pool = pool.use_current_thread().spawn_handler(|thread| {
        let mut offered = OFFERED.lock().unwrap_or_else(PoisonError::into_inner);
        offered.push(thread);
        OFFER.notify_one();
        Ok(())
    });
    Ok(pool.build_global()?)
}

/// Works for the thread that calls [`share`], now or later, for as long as the worker lives.
#[wasm_bindgen]
pub fn serve() {
    let mut offered = OFFERED.lock().unwrap_or_else(PoisonError::into_inner);
    let thread = loop {
        match offered.pop() {
            Some(thread) => break thread,
            None => offered = OFFER.wait(offered).unwrap_or_else(PoisonError::into_inner),
        }
    };
    drop(offered);
    thread.run();
}
