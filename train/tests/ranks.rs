//! A training shared between processes takes the steps of one process, and ends everywhere when it
//! ends anywhere. `cargo xtask test ranks` runs this where there is an MPI.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use tempfile::TempDir;

mod tiny;

/// What mpirun needs in a container, as root, and on fewer cores than ranks.
const MPIRUN: [(&str, &str); 5] = [
    ("OMPI_ALLOW_RUN_AS_ROOT", "1"),
    ("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1"),
    ("OMPI_MCA_rmaps_base_oversubscribe", "1"),
    ("OMPI_MCA_btl_vader_single_copy_mechanism", "none"),
    ("RAYON_NUM_THREADS", "1"),
];

/// Steps of a diffusion.
const STEPS: usize = 20;

/// A folder with images, and with a run whose autoencoder is trained, in `vae`.
fn prepared() -> &'static Path {
    static PREPARED: OnceLock<TempDir> = OnceLock::new();
    let dir = PREPARED.get_or_init(|| {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("data")).unwrap();
        tiny::write(&dir.path().join("data"));
        let run = Run::new(dir.path(), "vae", [1, 1], &[]);
        succeeded(run.command(1, "vae").output().unwrap());
        dir
    });
    dir.path()
}

/// A run's file and folder.
struct Run {
    ranks: usize,
    path: PathBuf,
    folder: PathBuf,
    data: PathBuf,
}

impl Run {
    fn new(dir: &Path, name: &str, [ranks, replicas]: [usize; 2], changes: &[(&str, f64)]) -> Self {
        let mut run: toml::Table = toml::from_str(tiny::RUN).unwrap();
        let optimization = &mut run["diffusion"]["optimization"];
        let keys = [
            ("steps", STEPS),
            ("batch_size", 4),
            ("replicas", replicas),
            ("checkpoint_every", 10),
            ("sheet_every", 1000),
        ];
        let optimization = optimization.as_table_mut().unwrap();
        for (key, value) in keys {
            optimization.insert(key.into(), toml::Value::Integer(value as i64));
        }
        for (key, value) in changes {
            let value = if value.fract() == 0.0 && *value < 1e9 {
                toml::Value::Integer(*value as i64)
            } else {
                toml::Value::Float(*value)
            };
            optimization.insert(key.to_string(), value);
        }
        let path = dir.join(format!("{name}-{ranks}x{replicas}.toml"));
        fs::write(&path, run.to_string()).unwrap();
        Self {
            ranks,
            path,
            folder: dir.join(name),
            data: prepared_data(dir),
        }
    }

    /// One that starts where the autoencoder is trained.
    fn diffusion(name: &str, shape: [usize; 2], changes: &[(&str, f64)]) -> Self {
        let dir = prepared();
        let run = Self::new(dir, name, shape, changes);
        copy(&dir.join("vae"), &run.folder);
        run
    }

    fn command(&self, ranks: usize, stage: &str) -> Command {
        let program = env!("CARGO_BIN_EXE_train");
        let mut command = match ranks {
            1 => Command::new(program),
            _ => {
                let mut mpirun = Command::new("mpirun");
                mpirun
                    .envs(MPIRUN)
                    .args(["-n", &ranks.to_string(), program]);
                mpirun
            }
        };
        command.arg(stage).arg("--run").arg(&self.path);
        command.arg("--folder").arg(&self.folder);
        command.arg("--data").arg(&self.data);
        command.stdin(Stdio::null()).env_remove("RUST_BACKTRACE");
        command
    }

    fn train(&self) -> Output {
        self.command(self.ranks, "diffusion").output().unwrap()
    }

    fn log(&self) -> Vec<String> {
        let log = fs::read_to_string(self.folder.join("diffusion/log.csv")).unwrap_or_default();
        log.lines().skip(1).map(String::from).collect()
    }

    fn losses(&self) -> Vec<f64> {
        let loss = |line: &String| line.split(',').nth(1).unwrap().parse().unwrap();
        self.log().iter().map(loss).collect()
    }
}

fn prepared_data(dir: &Path) -> PathBuf {
    dir.join("data")
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let (source, target) = {
            let entry = entry.unwrap();
            (entry.path(), to.join(entry.file_name()))
        };
        if source.is_dir() {
            copy(&source, &target)
        } else {
            fs::copy(&source, &target).unwrap();
        }
    }
}

fn succeeded(output: Output) -> String {
    let [said, failed] =
        [output.stdout, output.stderr].map(|text| String::from_utf8(text).unwrap());
    assert!(output.status.success(), "{failed}");
    said
}

fn same(found: &[f64], expected: &[f64], what: &str) {
    assert_eq!(found.len(), expected.len(), "{what}");
    for (step, (a, b)) in found.iter().zip(expected).enumerate() {
        assert!((a - b).abs() <= 1e-5, "{what}, step {step}: {a} is not {b}");
    }
}

#[test]
fn ranks_and_replicas_share_a_batch_without_changing_the_losses() {
    let run = |shape: [usize; 2]| {
        let run = Run::diffusion(&format!("shared-{}x{}", shape[0], shape[1]), shape, &[]);
        let said = succeeded(run.train());
        assert_eq!(
            said.matches("U-Net:").count(),
            1,
            "rank 0 alone prints: {said}"
        );
        assert_eq!(run.losses().len(), STEPS);
        run.losses()
    };
    let alone = run([1, 4]);
    same(&run([2, 2]), &alone, "2 ranks of 2 replicas");
    same(&run([4, 1]), &alone, "4 ranks");

    // With another number of ranks from the checkpoint on.
    let half = Run::diffusion("resumed", [4, 1], &[("pause_at", 10.0)]);
    succeeded(half.train());
    let rest = Run::new(prepared(), "resumed", [2, 2], &[]);
    succeeded(rest.train());
    same(&rest.losses(), &alone, "4 ranks, then 2 of 2 replicas");
}

#[test]
fn ranks_share_the_trajectories_of_a_distillation() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("texts.csv");
    fs::write(dir.path().join("a.png"), "").unwrap();
    fs::write(&data, "file,text\na.png,An effusion.\n").unwrap();
    let distilled = |ranks: usize| {
        let folder = dir.path().join(format!("run-{ranks}"));
        let text = include_str!("distil.toml");
        let path = dir.path().join(format!("{ranks}.toml"));
        let replicas = 4 / ranks;
        fs::write(&path, format!("{text}replicas = {replicas}\n")).unwrap();
        let run = Run {
            ranks,
            path,
            folder: folder.clone(),
            data: data.clone(),
        };
        let teacher = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../tests/reference/goldens/pipeline_sd2"
        );
        let mut command = run.command(ranks, "distil");
        let said = succeeded(command.args(["--teacher", teacher]).output().unwrap());
        let losses = fs::read_to_string(folder.join("distil/log.csv")).unwrap();
        let loss = |line: &str| line.split(',').nth(1).unwrap().parse().unwrap();
        let losses: Vec<f64> = losses.lines().skip(1).map(loss).collect();
        let files = fs::read_dir(folder.join("trajectories")).unwrap();
        let mut files: Vec<PathBuf> = files.map(|file| file.unwrap().path()).collect();
        files.sort();
        let files: Vec<Vec<u8>> = files.iter().map(|file| fs::read(file).unwrap()).collect();
        (losses, files, said)
    };
    let (alone, files, _) = distilled(1);
    let (losses, shared, said) = distilled(2);
    assert!(files.len() >= 4 && files == shared, "other trajectories");
    // Rank 0 says how many are its own.
    assert!(said.contains("2 of 4 files"), "{said}");
    same(&losses, &alone, "2 ranks of 2 replicas");
}

#[test]
fn a_killed_rank_ends_the_others_and_leaves_a_whole_checkpoint() {
    let run = Run::diffusion("killed", [3, 1], &[("steps", 1e6), ("batch_size", 3.0)]);
    let mut command = run.command(3, "diffusion");
    let mut mpirun = command
        .stderr(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let started = Instant::now();
    while run.log().len() < 15 {
        assert!(started.elapsed() < Duration::from_secs(120), "no step");
        std::thread::sleep(Duration::from_millis(50));
    }
    let second = rank(mpirun.id(), 1);
    let killed = Command::new("kill").args(["-9", &second]).status().unwrap();
    assert!(killed.success());
    ended(&mut mpirun);
    let said = mpirun.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&said.stderr).into_owned();
    assert!(said.contains("rank 1"), "{said}");

    let state = fs::read_to_string(run.folder.join("diffusion/checkpoint/state.json")).unwrap();
    let state: serde_json::Value = serde_json::from_str(&state).unwrap();
    let step = state["step"].as_u64().unwrap() + 2;
    let rest = [
        ("steps", 1e6),
        ("batch_size", 3.0),
        ("pause_at", step as f64),
    ];
    let said = succeeded(Run::new(prepared(), "killed", [1, 1], &rest).train());
    assert!(
        said.contains(&format!("continuing at step {}", step - 2)),
        "{said}"
    );
}

#[test]
fn what_fails_on_every_rank_is_said_once() {
    let run = Run::diffusion(
        "diverged",
        [3, 1],
        &[("learning_rate", 1e30), ("batch_size", 3.0)],
    );
    let output = run.train();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success());
    assert_eq!(said.matches("train: ").count(), 1, "{said}");
    assert!(said.contains("lower the learning rate"), "{said}");

    let run = Run::diffusion("odd", [3, 1], &[]);
    let output = run.train();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success());
    assert_eq!(said.matches("train: ").count(), 1, "{said}");
    assert!(
        said.contains("4 images") && said.contains("3 ranks"),
        "{said}"
    );
}

/// The process of a rank that the process `mpirun` has started on this machine.
fn rank(mpirun: u32, rank: usize) -> String {
    let wanted = format!("OMPI_COMM_WORLD_RANK={rank}");
    let processes = fs::read_dir("/proc").unwrap().flatten();
    let found = processes.map(|entry| entry.path()).find(|path| {
        let parent = fs::read_to_string(path.join("status")).unwrap_or_default();
        let parent = parent
            .lines()
            .any(|line| line == format!("PPid:\t{mpirun}"));
        let environment = fs::read(path.join("environ")).unwrap_or_default();
        parent
            && environment
                .split(|b| *b == 0)
                .any(|v| v == wanted.as_bytes())
    });
    let found = found.expect("a process of the rank");
    found.file_name().unwrap().to_string_lossy().into_owned()
}

fn ended(process: &mut std::process::Child) {
    let started = Instant::now();
    while process.try_wait().unwrap().is_none() {
        if started.elapsed() > Duration::from_secs(30) {
            process.kill().unwrap();
            panic!("it hangs");
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}
