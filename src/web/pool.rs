//! Threads of the CPU engine: workers of the browser that share the kernels' work.
//!
//! The worker that owns the engine is one of them, so that work too small to be shared costs no
//! waiting, and `n` threads take `n - 1` workers more. Each of these instantiates this module on
//! the same memory and calls [`serve`].

use wasm_bindgen::prelude::*;

use crate::kernels::cpu::pool;

/// Shares work from now on among this thread and `others` that call [`serve`], now or later.
#[wasm_bindgen]
pub fn share(others: usize) {
    pool::share(others);
}

/// Works for the thread that calls [`share`], for as long as the worker lives.
#[wasm_bindgen]
pub fn serve() {
    pool::serve();
}
