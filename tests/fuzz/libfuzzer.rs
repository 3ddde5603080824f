//! The targets in libFuzzer. `FUZZ_TARGET` names one and `FUZZ_FOLDER` is where it may write; with
//! `FUZZ_SEEDS` the seeds of all are written there and the targets are listed. `cargo xtask fuzz`
//! sets them.

#![no_main]

use std::path::PathBuf;
use std::sync::OnceLock;

use fuzz::{TARGETS, Target};
use libfuzzer_sys::fuzz_target;

static FOLDER: OnceLock<PathBuf> = OnceLock::new();

fn target() -> &'static Target {
    static TARGET: OnceLock<&Target> = OnceLock::new();
    TARGET.get_or_init(|| {
        let name = std::env::var("FUZZ_TARGET").unwrap_or_default();
        let target = TARGETS.iter().find(|target| target.name == name);
        target.unwrap_or_else(|| panic!("FUZZ_TARGET names no target: {name:?}"))
    })
}

fuzz_target!(
    init: {
        if let Some(folder) = std::env::var_os("FUZZ_SEEDS") {
            fuzz::write_seeds(folder.as_ref());
            TARGETS.iter().for_each(|target| println!("{}", target.name));
            std::process::exit(0);
        }
        // libfuzzer-sys ends the process at every panic. Ours are caught where a decoder's panic is
        // an error; one that is not still ends the process, as it cannot pass C++.
        std::panic::set_hook(Box::new(|panic| eprintln!("{panic}")));
        let folder = FOLDER.get_or_init(|| std::env::var_os("FUZZ_FOLDER").expect("a folder").into());
        (target().prepare)(folder);
    },
    |bytes: &[u8]| {
        (target().run)(FOLDER.get().expect("prepared"), bytes);
    }
);
