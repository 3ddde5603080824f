//! Schedulers against diffusers, in float64: whole loops over an analytic model, and the schedules
//! of training.
//!
//! The goldens and the program which made them are in `tests/reference`.

use roentgen_web::latents::scheduler::{Scheduler, SchedulerConfig, SchedulerKind};
use safetensors::SafeTensors;
use serde::Deserialize;

/// The bound of the comparison: relative L2.
const TOLERANCE: f64 = 1e-6;

/// Numbers in a sample.
const SIZE: usize = 8;

#[derive(Deserialize)]
struct Case {
    name: String,
    config: String,
    kind: String,
    steps: usize,
}

struct Goldens(Vec<u8>);

impl Goldens {
    fn read() -> (Vec<Case>, Self) {
        let file = |name: &str| {
            let path = format!(
                "{}/tests/reference/goldens/schedulers/{name}",
                env!("CARGO_MANIFEST_DIR")
            );
            std::fs::read(&path).unwrap_or_else(|e| panic!("{path}: {e}"))
        };
        let cases = serde_json::from_slice(&file("cases.json")).unwrap();
        (cases, Self(file("schedulers.safetensors")))
    }

    fn bytes(&self, name: &str) -> Vec<u8> {
        let tensors = SafeTensors::deserialize(&self.0).unwrap();
        tensors.tensor(name).unwrap().data().to_vec()
    }

    fn f64(&self, name: &str) -> Vec<f64> {
        let bytes = self.bytes(name);
        bytes
            .chunks_exact(8)
            .map(|b| f64::from_le_bytes(b.try_into().unwrap()))
            .collect()
    }

    fn f32(&self, name: &str) -> Vec<f32> {
        let bytes = self.bytes(name);
        bytes
            .chunks_exact(4)
            .map(|b| f32::from_le_bytes(b.try_into().unwrap()))
            .collect()
    }
}

/// The model of `tests/reference/schedulers.py`.
fn model(sample: &[f64], timestep: f64) -> Vec<f64> {
    let value = |(i, x): (usize, &f64)| 0.7 * (x + 0.37 * i as f64 + timestep / 150.0).sin();
    sample.iter().enumerate().map(value).collect()
}

/// The initial noise of `tests/reference/schedulers.py`.
fn noise() -> Vec<f64> {
    (0..SIZE)
        .map(|i| 1.3 * (1.0 + 2.4 * i as f64).sin())
        .collect()
}

fn wide(values: &[f32]) -> Vec<f64> {
    values.iter().map(|x| f64::from(*x)).collect()
}

fn relative_l2(found: &[f64], expected: &[f64]) -> f64 {
    assert_eq!(found.len(), expected.len());
    let square = |(a, b): (&f64, &f64)| (a - b) * (a - b);
    let error: f64 = found.iter().zip(expected).map(square).sum();
    let norm: f64 = expected.iter().map(|b| b * b).sum();
    (error / norm).sqrt()
}

#[test]
fn loops_equal_diffusers() {
    let (cases, goldens) = Goldens::read();
    assert!(cases.len() > 100);
    let mut worst: Vec<(f64, f64, &str)> = Vec::new();
    for (index, case) in cases.iter().enumerate() {
        let golden = |key: &str| goldens.f64(&format!("{index}.{key}"));
        let name = &case.name;
        let config = SchedulerConfig::parse(case.config.as_bytes()).unwrap();
        let kind: SchedulerKind = case.kind.parse().unwrap();
        // Where the file names the class itself, nobody needs to say so.
        let named = config.class_name() == Some(kind.class_name());
        let mut scheduler = Scheduler::new(&config, (!named).then_some(kind)).unwrap();
        scheduler.set_timesteps(case.steps).unwrap();
        // Whole timesteps are the same; those between have numpy's rounding of a logarithm in their
        // last bit.
        let timesteps = golden("timesteps");
        if timesteps.iter().all(|t| t.fract() == 0.0) {
            assert_eq!(scheduler.timesteps(), timesteps, "{name}");
        }
        assert!(
            relative_l2(scheduler.timesteps(), &timesteps) <= TOLERANCE || timesteps == [0.0],
            "{name}"
        );
        let sigma = scheduler.init_noise_sigma();
        assert!(
            (sigma / golden("init_noise_sigma")[0] - 1.0).abs() < TOLERANCE,
            "{name}"
        );

        let samples = golden("samples");
        let mut sample: Vec<f64> = noise().iter().map(|x| x * sigma).collect();
        let mut error = relative_l2(&sample, &samples[..SIZE]);
        let mut all = sample.clone();
        for (t, expected) in scheduler
            .timesteps()
            .to_vec()
            .iter()
            .zip(samples[SIZE..].chunks(SIZE))
        {
            let scale = scheduler.model_input_scale();
            let input: Vec<f64> = sample.iter().map(|x| x * scale).collect();
            let output = model(&input, *t);
            sample = scheduler.step_f64(&output, &sample).unwrap().prev_sample;
            error = error.max(relative_l2(&sample, expected));
            all.extend(&sample);
        }
        assert!(error <= TOLERANCE, "{name}: {error:.1e}");
        // Over the whole loop: where sigma starts at many thousands, diffusers' float32 has lost
        // the last sample's digits.
        let shipped = wide(&goldens.f32(&format!("{index}.shipped")));
        let shipped = relative_l2(&all, &shipped);
        assert!(
            shipped <= TOLERANCE,
            "{name}: {shipped:.1e} from diffusers as shipped"
        );
        worst.push((error, shipped, name));
    }
    worst.sort_by(|a, b| b.0.total_cmp(&a.0));
    let shipped = worst.iter().map(|w| w.1).fold(0.0, f64::max);
    let (count, (error, _, name)) = (worst.len(), worst[0]);
    println!("{count} loops; worst {error:.1e} ({name}); from diffusers as shipped {shipped:.1e}");
}

/// In float32, as the pipeline runs them: only the samples are rounded.
#[test]
fn float32_loops_stay_close() {
    let (cases, goldens) = Goldens::read();
    for (index, case) in cases.iter().enumerate() {
        let config = SchedulerConfig::parse(case.config.as_bytes()).unwrap();
        let kind = case.kind.parse().unwrap();
        let mut scheduler = Scheduler::new(&config, Some(kind)).unwrap();
        scheduler.set_timesteps(case.steps).unwrap();
        let sigma = scheduler.init_noise_sigma();
        let mut sample: Vec<f32> = noise().iter().map(|x| (x * sigma) as f32).collect();
        let mut all = sample.clone();
        for t in scheduler.timesteps().to_vec() {
            let input = wide(&scheduler.scale_model_input(&sample));
            let output: Vec<f32> = model(&input, t).iter().map(|x| *x as f32).collect();
            let step = scheduler.step(&output, &sample).unwrap();
            assert!(step.pred_original_sample.iter().all(|x| x.is_finite()));
            sample = step.prev_sample;
            all.extend(&sample);
        }
        let error = relative_l2(&wide(&all), &goldens.f64(&format!("{index}.samples")));
        assert!(error < 1e-5, "{}: {error:.1e}", case.name);
    }
}

#[test]
fn schedules_of_training_equal_diffusers() {
    let (_, goldens) = Goldens::read();
    let sample: Vec<f32> = noise().iter().map(|x| *x as f32).collect();
    let eps: Vec<f32> = sample.iter().rev().copied().collect();
    for name in [
        "linear",
        "scaled_linear",
        "squaredcos_cap_v2",
        "zero_snr",
        "ldm",
    ] {
        let mut config = SchedulerConfig::parse(&goldens.bytes(&format!("{name}.config"))).unwrap();
        // Zero terminal SNR with epsilon prediction is refused for sampling.
        config
            .0
            .insert("prediction_type".into(), "v_prediction".into());
        let scheduler = Scheduler::new(&config, None).unwrap();
        let expected = wide(&goldens.f32(&format!("{name}.alphas_cumprod")));
        if name == "zero_snr" {
            // torch takes its square roots from a vector library which is not exact to the last
            // bit.
            assert!(relative_l2(scheduler.alphas_cumprod(), &expected) <= TOLERANCE);
        } else {
            assert_eq!(scheduler.alphas_cumprod(), expected, "{name}");
        }
        let schedule = scheduler.schedule();
        let noisy = goldens.f64(&format!("{name}.add_noise"));
        let velocity = goldens.f64(&format!("{name}.velocity"));
        for (row, timestep) in [0, 1, 500, 999].into_iter().enumerate() {
            let range = 2 * row..2 * row + 2;
            let (x, e) = (&sample[range.clone()], &eps[range.clone()]);
            for (found, expected) in [
                (schedule.add_noise(x, e, timestep), &noisy),
                (schedule.velocity(x, e, timestep), &velocity),
            ] {
                let error = relative_l2(&wide(&found.unwrap()), &expected[range.clone()]);
                assert!(error <= TOLERANCE, "{name} {timestep}: {error:.1e}");
            }
        }
        assert!(schedule.add_noise(&sample, &eps, 1000).is_err());
    }
}
