//! What no golden shows: refusals, counts, names. Equality with diffusers is in
//! `tests/schedulers.rs`.

use super::*;

fn scheduler(json: &str, kind: SchedulerKind) -> Result<Scheduler> {
    Scheduler::new(&SchedulerConfig::parse(json.as_bytes())?, Some(kind))
}

#[test]
fn names_and_classes_lead_back() {
    for kind in SchedulerKind::ALL {
        assert_eq!(kind.to_string().parse::<SchedulerKind>().unwrap(), kind);
        let json = format!(r#"{{"_class_name": "{}"}}"#, kind.class_name());
        let config = SchedulerConfig::parse(json.as_bytes()).unwrap();
        assert_eq!(Scheduler::new(&config, None).unwrap().kind(), kind);
    }
    let error = "plms".parse::<SchedulerKind>().unwrap_err();
    assert_eq!(error.code(), "request");
    for (json, kind) in [
        ("{}", SchedulerKind::Ddim),
        (r#"{"_class_name": "DDPMScheduler"}"#, SchedulerKind::Ddim),
        (
            r#"{"_class_name": "UniPCMultistepScheduler"}"#,
            SchedulerKind::DpmSolverMultistep,
        ),
        (
            r#"{"_class_name": "LMSDiscreteScheduler"}"#,
            SchedulerKind::Euler,
        ),
    ] {
        let config = SchedulerConfig::parse(json.as_bytes()).unwrap();
        assert_eq!(Scheduler::new(&config, None).unwrap().kind(), kind);
        assert_eq!(
            SchedulerKind::stand_in(&config).map(|found| found.1),
            Some(kind)
        );
        let euler = Some(SchedulerKind::Euler);
        assert_eq!(
            Scheduler::new(&config, euler).unwrap().kind(),
            SchedulerKind::Euler
        );
    }
}

/// The advice of a refusal works.
#[test]
fn a_refusal_names_schedulers_that_can_be_used() {
    let config = |json: &str| SchedulerConfig::parse(json.as_bytes()).unwrap();
    let thresholding = config(r#"{"_class_name": "DDIMScheduler", "thresholding": true}"#);
    let error = Scheduler::new(&thresholding, None).unwrap_err().to_string();
    let advice = error
        .rsplit_once("choose the scheduler ")
        .expect("advice")
        .1;
    assert_eq!(advice, "pndm or euler or euler-a");
    for name in advice.split(" or ") {
        Scheduler::new(&thresholding, Some(name.parse().unwrap())).unwrap();
    }
    Scheduler::check(&thresholding).unwrap();
    let nonsense = config(r#"{"_class_name": "DDIMScheduler", "beta_end": 2.0}"#);
    let error = Scheduler::check(&nonsense).unwrap_err().to_string();
    assert!(
        error.contains("beta_end") && !error.contains("choose"),
        "{error}"
    );
}

#[test]
fn unsupported_options_are_refused_by_name() {
    use SchedulerKind::{Ddim, DpmSolverMultistep as Dpm, Euler, Pndm};
    for (kind, json, key) in [
        (Ddim, r#"{"thresholding": true}"#, "thresholding"),
        (
            Ddim,
            r#"{"rescale_betas_zero_snr": true}"#,
            "rescale_betas_zero_snr",
        ),
        (
            Ddim,
            r#"{"prediction_type": "flow_prediction"}"#,
            "prediction_type",
        ),
        (
            Ddim,
            r#"{"timestep_spacing": "random"}"#,
            "timestep_spacing",
        ),
        (Pndm, r#"{"prediction_type": "sample"}"#, "prediction_type"),
        (Pndm, r#"{"steps_offset": 0.5}"#, "steps_offset"),
        (
            Euler,
            r#"{"interpolation_type": "log_linear"}"#,
            "interpolation_type",
        ),
        (Euler, r#"{"use_beta_sigmas": true}"#, "use_beta_sigmas"),
        (
            Euler,
            r#"{"timestep_type": "continuous", "prediction_type": "v_prediction"}"#,
            "timestep_type",
        ),
        (
            Dpm,
            r#"{"algorithm_type": "sde-dpmsolver++"}"#,
            "algorithm_type",
        ),
        (Dpm, r#"{"solver_order": 3}"#, "solver_order"),
        (Dpm, r#"{"solver_type": "rk"}"#, "solver_type"),
        (Dpm, r#"{"variance_type": "learned"}"#, "variance_type"),
        (Dpm, r#"{"use_lu_lambdas": true}"#, "use_lu_lambdas"),
        (Dpm, r#"{"final_sigmas_type": "half"}"#, "final_sigmas_type"),
        (Dpm, r#"{"use_karras_sigmas": "yes"}"#, "use_karras_sigmas"),
    ] {
        let error = scheduler(json, kind).unwrap_err();
        assert_eq!(error.code(), "config", "{kind} {json}");
        assert!(error.to_string().contains(key), "{error}");
    }
}

/// Every count either works, with finite samples, or is a request error; no count panics.
#[test]
fn every_step_count_works_or_is_refused() {
    for kind in SchedulerKind::ALL {
        for spacing in ["leading", "trailing", "linspace"] {
            for options in [
                r#""skip_prk_steps": true"#,
                r#""steps_offset": 1"#,
                r#""use_karras_sigmas": true"#,
                r#""beta_schedule": "squaredcos_cap_v2", "use_karras_sigmas": true"#,
                r#""lambda_min_clipped": 20.0"#,
            ] {
                let json = format!(
                    r#"{{"num_train_timesteps": 40, "original_inference_steps": 40, "timestep_spacing": "{spacing}", {options}}}"#
                );
                for steps in [0, 1, 2, 3, 4, 5, 19, 20, 21, 38, 39, 40, 41, usize::MAX] {
                    let mut scheduler = scheduler(&json, kind).unwrap();
                    if let Err(error) = scheduler.set_timesteps(steps) {
                        assert_eq!(error.code(), "request");
                        continue;
                    }
                    assert!((1..=40).contains(&steps));
                    let calls = scheduler.timesteps().len();
                    let mut sample = vec![0.5f32, -1.5];
                    for _ in 0..calls {
                        let output = scheduler.scale_model_input(&sample);
                        sample = scheduler.step(&output, &sample).unwrap().prev_sample;
                    }
                    let finite = sample.iter().all(|x| x.is_finite());
                    assert!(finite, "{kind} {json} {steps}: {sample:?}");
                    assert_eq!(
                        scheduler.step(&sample, &sample).unwrap_err().code(),
                        "request"
                    );
                }
            }
        }
    }
}

#[test]
fn usual_step_counts_are_never_refused() {
    for kind in SchedulerKind::ALL {
        for spacing in ["leading", "trailing", "linspace"] {
            let json = format!(
                r#"{{"timestep_spacing": "{spacing}", "steps_offset": 1, "skip_prk_steps": true}}"#
            );
            for steps in (1..=250).chain([500]) {
                let set = scheduler(&json, kind).unwrap().set_timesteps(steps);
                if kind == SchedulerKind::Lcm && steps > 50 {
                    assert!(set.is_err(), "more steps than it was distilled on: {steps}");
                    continue;
                }
                // DPM-Solver divides by one more than the count, so 499 is the last whole stride of
                // 2; 500 has stride 1.
                assert!(set.is_ok(), "{kind} {spacing} {steps}");
            }
        }
    }
}

#[test]
fn a_step_of_another_length_is_refused() {
    let mut scheduler = scheduler("{}", SchedulerKind::Ddim).unwrap();
    assert_eq!(
        scheduler.step(&[0.0], &[0.0]).unwrap_err().code(),
        "request"
    );
    scheduler.set_timesteps(3).unwrap();
    assert_eq!(
        scheduler.step(&[0.0], &[0.0, 1.0]).unwrap_err().code(),
        "request"
    );
}

/// Timesteps of one's own that are those of the config's spacing give the same loop; others change
/// the samples; what cannot be is refused.
#[test]
fn custom_timesteps_take_the_place_of_the_spacing() {
    let config = r#"{"timestep_spacing": "trailing", "prediction_type": "v_prediction"}"#;
    let run = |custom: Option<&[usize]>| {
        let mut scheduler = scheduler(config, SchedulerKind::DpmSolverMultistep).unwrap();
        match custom {
            Some(timesteps) => scheduler.set_custom_timesteps(timesteps).unwrap(),
            None => scheduler.set_timesteps(4).unwrap(),
        }
        let mut sample = vec![0.5, -1.0];
        for t in scheduler.timesteps().to_vec() {
            let output = [t.sin(), t.cos()];
            sample = scheduler.step_f64(&output, &sample).unwrap().prev_sample;
        }
        sample
    };
    assert_eq!(run(Some(&[999, 749, 499, 249])), run(None));
    assert_ne!(run(Some(&[999, 749, 499, 249, 100])), run(None));
    let mut dpm = scheduler(config, SchedulerKind::DpmSolverMultistep).unwrap();
    for wrong in [&[][..], &[1000, 500], &[500, 500], &[500, 600]] {
        let error = dpm.set_custom_timesteps(wrong).unwrap_err();
        assert!(error.to_string().contains("timesteps"), "{error}");
    }
    let mut ddim = scheduler("{}", SchedulerKind::Ddim).unwrap();
    let error = ddim.set_custom_timesteps(&[999, 499]).unwrap_err();
    assert!(error.to_string().contains("dpm++2m"), "{error}");
}
