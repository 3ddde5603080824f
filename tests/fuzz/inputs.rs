//! The seeds, and every input that was a fault once, in each target. They are named by what was
//! wrong.

use std::fs;
use std::path::Path;

use fuzz::TARGETS;

#[test]
fn seeds_and_former_faults_end_in_a_result() {
    for target in TARGETS {
        let folder = tempfile::tempdir().unwrap();
        (target.prepare)(folder.path());
        let seeds = (target.seeds)();
        assert!(!seeds.is_empty(), "{}", target.name);
        for seed in seeds {
            (target.run)(folder.path(), &seed);
        }
        let faults = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("regressions")
            .join(target.name);
        for entry in fs::read_dir(faults).into_iter().flatten() {
            let path = entry.unwrap().path();
            println!("{}", path.display());
            (target.run)(folder.path(), &fs::read(path).unwrap());
        }
    }
}
