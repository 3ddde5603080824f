//! Which patients a fraction has, which look counts, and a whole experiment in small.

use std::collections::BTreeSet;
use std::path::Path;

use burn::prelude::*;

use super::super::labels::LABELS;
use super::report::spread;
use super::{Arm, Augmentation, AugmentationRun, FINDINGS, Look, fraction, run, verdict};
use crate::data::dataset::Dataset;
use crate::data::record::Split;
use crate::evaluate::tests::{SIZE, classifier_run, write_data};
use crate::evaluate::training::LabelAuroc;

fn auroc(area: f64) -> LabelAuroc {
    LabelAuroc {
        positives: 1,
        negatives: 1,
        auroc: Some((area, 0.0)),
    }
}

#[test]
fn a_fraction_takes_whole_patients_and_a_larger_one_has_the_smaller() {
    let dir = tempfile::tempdir().unwrap();
    write_data(dir.path());
    let mut records = Dataset::load(dir.path(), SIZE, Split::Train)
        .unwrap()
        .records;
    for (i, record) in records.iter_mut().enumerate() {
        record.patient = format!("p{}", i / 4);
    }
    let of = |share, seed| BTreeSet::from_iter(fraction(&records, share, seed));
    let (some, more) = (of(0.2, 1), of(0.5, 1));
    assert_eq!((some.len(), more.len(), of(1.0, 1).len()), (8, 20, 40));
    assert!(some.is_subset(&more));
    assert_ne!(some, of(0.2, 2));
    for i in &some {
        let patient = i / 4 * 4..i / 4 * 4 + 4;
        assert!(patient.clone().all(|j| some.contains(&j)), "{patient:?}");
    }
}

#[test]
fn the_look_that_counts_on_one_half_is_chosen_on_the_other() {
    let look = |step, a, b| -> Look { (step, [[auroc(a); FINDINGS], [auroc(b); FINDINGS]]) };
    let mut looks = vec![look(10, 0.6, 0.7), look(20, 0.9, 0.5), look(30, 0.5, 0.6)];
    // The second half likes step 10, where the first has 0.6; the first likes step 20, where the
    // second has 0.5.
    let (auroc, chosen) = verdict(&looks);
    assert_eq!(chosen, [10, 20]);
    assert!((auroc[0].unwrap() - 0.55).abs() < 1e-12);
    looks[0].1[0][3].auroc = None;
    assert_eq!(verdict(&looks).0[3], None);
}

#[test]
fn spreads_are_those_of_a_sample() {
    assert_eq!(spread(&[]), None);
    assert_eq!(spread(&[0.5]), Some((0.5, 0.0)));
    assert_eq!(spread(&[1.0, 2.0, 3.0]), Some((2.0, 1.0)));
}

fn experiment(dir: &Path) -> AugmentationRun {
    let mut classifier = classifier_run(20);
    classifier.optimization.sheet_every = 10;
    let run = AugmentationRun {
        fractions: vec![0.5],
        seeds: vec![1, 2],
        images: 4,
        steps: 1,
        repeat_below: 0.25,
        optimization: classifier.optimization,
        model: classifier.model,
    };
    std::fs::write(dir.join("augment.toml"), toml::to_string(&run).unwrap()).unwrap();
    run
}

#[test]
fn an_experiment_is_resumed_arm_by_arm_and_not_mixed_with_another() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    std::fs::create_dir(&data).unwrap();
    write_data(&data);
    let mut described = experiment(dir.path());
    let a = Augmentation {
        bundle: concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../tests/reference/goldens/pipeline_sd1"
        )
        .into(),
        data,
        run: dir.path().join("augment.toml"),
        out: dir.path().join("out"),
    };
    let report = run(&a, &Device::flex()).unwrap();
    let of = |real, generated, seed| {
        let arm = Arm {
            real,
            generated,
            seed,
        };
        report.outcomes.iter().find(|o| o.arm == arm).unwrap()
    };
    assert_eq!(report.outcomes.len(), 6);
    let both = of(Some(0.5), true, 2);
    assert_eq!((both.real_images, both.generated_images), (20, 4));
    let alone = of(None, true, 1);
    assert_eq!((alone.real_images, alone.generated_images), (0, 4));
    assert_ne!(of(Some(0.5), false, 1).auroc, alone.auroc);
    let effusion = both.auroc[4].expect("val has it and lacks it");
    assert!((0.0..=1.0).contains(&effusion));
    assert_eq!(both.auroc[0], None, "nobody has atelectasis");
    let table = std::fs::read_to_string(a.out.join("augmentation.md")).unwrap();
    assert!(table.contains("| Mean AUROC | 50 % real |"), "{table}");
    assert!(table.contains("| Atelectasis | – |"), "{table}");

    // What is finished is read back, what is missing is trained to the same end.
    let arm = |name: &str| a.out.join("arms").join(name);
    let kept = arm("real-0.5-seed-1.json");
    let changed = kept.metadata().unwrap().modified().unwrap();
    std::fs::remove_file(arm("real-0.5-generated-seed-2.json")).unwrap();
    let again = run(&a, &Device::flex()).unwrap();
    for (again, before) in again.outcomes.iter().zip(&report.outcomes) {
        assert_eq!((again.arm, &again.chosen), (before.arm, &before.chosen));
        // A number of a file may differ in its last bit.
        for pair in again.auroc.iter().zip(&before.auroc) {
            assert!(match pair {
                (Some(a), Some(b)) => (a - b).abs() < 1e-12,
                (a, b) => a == b,
            });
        }
    }
    assert_eq!(kept.metadata().unwrap().modified().unwrap(), changed);

    described.optimization.learning_rate = 1e-4;
    std::fs::write(&a.run, toml::to_string(&described).unwrap()).unwrap();
    let error = run(&a, &Device::flex()).unwrap_err().to_string();
    assert!(error.contains("choose another --out"), "{error}");
    described.fractions = vec![1.5];
    std::fs::write(&a.run, toml::to_string(&described).unwrap()).unwrap();
    let error = run(&a, &Device::flex()).unwrap_err().to_string();
    assert!(error.contains("fractions"), "{error}");
}

#[test]
fn the_experiment_that_is_shipped_is_sound() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/augment.toml");
    let run = AugmentationRun::read(Path::new(path)).unwrap();
    assert_eq!(run.arms().len(), 21);
    run.model.init(LABELS, &Device::flex()).unwrap();
}
