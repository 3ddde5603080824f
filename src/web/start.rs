//! What happens once, when the module has been instantiated, and what it hears of the browser: its
//! console and its clock.

use std::cell::RefCell;

use js_sys::Function;
use wasm_bindgen::prelude::*;
use web_sys::WorkerGlobalScope;

thread_local! {
    static PANIC_HANDLER: RefCell<Option<Function>> = const { RefCell::new(None) };
}

#[allow(
    unsafe_code,
    reason = "the linker's own constructor function; it has no other name in Rust"
)]
unsafe extern "C" {
    fn __wasm_call_ctors();
}

/// Runs once when the module has been instantiated.
///
/// A linker that finds no call of `__wasm_call_ctors` puts one in front of every export, and the
/// GPU runtime's thousands of constructors would run again at each call (inventory 0.3.25,
/// `lib.rs:105`).
#[wasm_bindgen(start)]
fn start() {
    #[allow(unsafe_code, reason = "called exactly once, before any other export")]
    unsafe {
        __wasm_call_ctors();
    }
    std::panic::set_hook(Box::new(|info| {
        let message = info.to_string();
        PANIC_HANDLER.with_borrow(|handler| {
            let message = JsValue::from_str(&message);
            match handler {
                Some(handler) => drop(handler.call1(&JsValue::NULL, &message)),
                None => web_sys::console::error_1(&message), // before there is one
            }
        });
    }));
}

/// The function that hears the text of a panic, just before the module stops for good.
#[wasm_bindgen]
pub fn set_panic_handler(handler: Function) {
    PANIC_HANDLER.set(Some(handler));
}

/// Milliseconds since the worker began, by a clock that nobody sets.
pub fn now() -> f64 {
    let scope: WorkerGlobalScope = js_sys::global().unchecked_into();
    scope.performance().map_or(0.0, |clock| clock.now())
}
