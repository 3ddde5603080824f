//! PyTorch's own files.

use std::fs;
use std::path::Path;

use roentgen_web::bundle::Policy;
use roentgen_web::checkpoint;
use safetensors::SafeTensors;
use train::exchange::import::{self, Target};

use crate::support::*;

/// PyTorch's own file of the same tensors.
#[test]
fn a_ckpt_is_read_without_running_it() {
    let folder = golden("pipeline_sd1");
    let ckpt = golden("original_sd1").join("model.ckpt");
    let expected = contents(
        import(original(1), Some(folder.clone()), Policy::Mixed)
            .unwrap()
            .path(),
    );
    let found = contents(
        import(ckpt.clone(), Some(folder.clone()), Policy::Mixed)
            .unwrap()
            .path(),
    );
    assert!(found.keys().eq(expected.keys()));
    assert!(found.iter().all(|(name, bytes)| bytes == &expected[name]));

    // As .safetensors: every tensor, bit for bit.
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("out.safetensors");
    let mut args = args(ckpt.clone(), None, Policy::Mixed, &out);
    args.to = Target::Safetensors;
    import::run(&args).unwrap();
    let (bytes, original) = (fs::read(&out).unwrap(), fs::read(original(1)).unwrap());
    let found = SafeTensors::deserialize(&bytes).unwrap();
    let expected = SafeTensors::deserialize(&original).unwrap();
    assert_eq!(found.len(), expected.len());
    for (key, view) in expected.iter() {
        assert!(found.tensor(key).is_ok_and(|found| found == view), "{key}");
    }
    // Nothing else is left in the folder, and nothing is overwritten by itself.
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    let error = checkpoint::to_safetensors(&out, &out).unwrap_err();
    assert_eq!(error.code(), "request");
    args.lora = vec!["a".parse().unwrap()];
    assert_eq!(import::run(&args).unwrap_err().code(), "request");

    // A pickle that would run a command (see `tests/reference/originals.py`).
    let malicious = golden("original_sd1").join("malicious.ckpt");
    for to in [Target::Bundle, Target::Safetensors] {
        let out = dir.path().join("never");
        let mut args = self::args(
            malicious.clone(),
            Some(folder.clone()).filter(|_| to == Target::Bundle),
            Policy::Mixed,
            &out,
        );
        args.to = to;
        let error = import::run(&args).unwrap_err().to_string();
        assert!(
            error.contains("posix.system") && error.contains("nothing was run"),
            "{error}"
        );
        assert!(!out.exists() && !Path::new("it-was-run").exists());
    }
    // Cut off, and not of today's form.
    let whole = fs::read(&ckpt).unwrap();
    let bad = dir.path().join("bad.ckpt");
    for (bytes, word) in [
        (&whole[..whole.len() / 2], "zip archive"),
        (&b"PK\x03\x04"[..], "zip archive"),
        (
            &b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19."[..],
            "zip archive",
        ),
    ] {
        fs::write(&bad, bytes).unwrap();
        let error = import(bad.clone(), Some(folder.clone()), Policy::Mixed).unwrap_err();
        let text = error.to_string();
        assert!(
            error.code() == "config" && text.contains(word) && text.contains("weights_only=True"),
            "{text}"
        );
    }
}
