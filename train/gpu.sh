#!/bin/sh
# Trains on a rented GPU in one go. See train/docs/gpu.md.
#
# Here, with the largest run first:
#   train/gpu.sh pack OUT.tar.gz DEVICE DATA RUN.toml FOLDER [RUN.toml FOLDER ..]
# There, in the folder that OUT.tar.gz unpacks to:
#   sh gpu.sh run DEVICE MINUTES RESULTS
#
# DEVICE is cuda, or cpu to try the commands. `pack` builds the programs, or takes them from the
# folder that PROGRAMS names. `run` needs no network, may be cut at any minute, and leaves at most
# 60 MB in RESULTS. SECONDS_EACH (20) is what a network is measured for; PARITY_EVERY (1) takes one
# case of the kernels' table in so many, CASES those of peers/training.json, TRIAL (40) are the
# steps that a run is timed on.
set -eu
limit=60000000

die() { echo "gpu.sh: $*" >&2; exit 1; }

# Copies into a folder whatever of a run `train diffusion` reads.
keep_run() { # FROM TO
    for part in tokenizer latents.safetensors sources.json doubtful.csv vae/checkpoint/ema.safetensors \
        adversarial/checkpoint/ema.safetensors text/checkpoint/ema.safetensors diffusion/checkpoint diffusion/log.csv; do
        [ -e "$1/$part" ] || continue
        mkdir -p "$(dirname "$2/$part")"
        cp -R "$1/$part" "$2/$part"
    done
}

build() { # TO DEVICE
    features=
    [ "$2" = cuda ] && features="--features cuda"
    # shellcheck disable=SC2086
    cargo build --release --locked -p train $features --bin train --bench step --bench parity --message-format json \
        | sed -n 's/.*"executable":"\([^"]*\)".*/\1/p' | while read -r program; do
            cp "$program" "$1/$(basename "$program" | sed 's/-[0-9a-f]\{16\}$//')"
        done
}

pack() {
    [ $# -ge 5 ] || die "pack takes OUT.tar.gz DEVICE DATA RUN.toml FOLDER"
    out=$1 device=$2 data=$3
    shift 3
    here=$(cd "$(dirname "$0")" && pwd)
    staged=$(mktemp -d)
    trap 'rm -rf "$staged"' EXIT
    to=$staged/gpu
    mkdir -p "$to/bin" "$to/peers"
    cp "$here/gpu.sh" "$to/"
    cp "$here/../tests/peers/training.py" "$here/../tests/peers/training.json" "$to/peers/"
    case ${PROGRAMS:-} in
        '') (cd "$here/.." && build "$to/bin" "$device") ;;
        *) cp "$PROGRAMS/train" "$PROGRAMS/step" "$PROGRAMS/parity" "$to/bin/" ;;
    esac
    for program in train step parity; do
        [ -x "$to/bin/$program" ] || die "the program $program is missing"
        strip "$to/bin/$program" 2>/dev/null || true # names for debuggers, half of its size
    done
    cp -R "$data" "$to/data"
    number=1
    while [ $# -ge 2 ]; do
        [ -e "$2/latents.safetensors" ] || die "$2 has no latents; start \`train diffusion\` once, so that it encodes the images"
        mkdir -p "$to/runs/$number"
        keep_run "$2" "$to/runs/$number/folder"
        cp "$1" "$to/runs/$number/run.toml"
        init=$(sed -n 's/^init *= *"\(.*\)".*/\1/p' "$1")
        if [ -n "$init" ]; then
            cp -R "$init" "$to/runs/$number/init"
            sed "s|^init *=.*|init = \"runs/$number/init\"|" "$1" >"$to/runs/$number/run.toml"
        fi
        number=$((number + 1))
        shift 2
    done
    tar -czf "$out.part" -C "$staged" gpu
    mv "$out.part" "$out"
    echo "$out: $(wc -c <"$out") bytes"
}

# Sets keys of the table [diffusion.optimization].
set_keys() { # FILE KEY=VALUE ..
    file=$1
    shift
    awk -v pairs="$*" '
        function missing(  k) { for (k in value) if (!(k in seen)) print k " = " value[k]; split("", value) }
        BEGIN { n = split(pairs, p, " "); for (i = 1; i <= n; i++) { split(p[i], kv, "="); value[kv[1]] = kv[2] } }
        /^\[/ { if (inside) missing(); inside = ($0 ~ /^\[diffusion\.optimization\]/) }
        inside { split($0, kv, /[ =]+/); if (kv[1] in value) { print kv[1] " = " value[kv[1]]; seen[kv[1]] = 1; next } }
        { print }
        END { if (inside) missing() }' "$file" >"$file.part"
    mv "$file.part" "$file"
}

get_key() { # FILE KEY
    awk -v key="$2" '/^\[/ { inside = ($0 ~ /^\[diffusion\.optimization\]/) }
        inside { split($0, kv, /[ =]+/); if (kv[1] == key) print kv[2] }' "$1"
}

done_steps() { tail -n 1 "$1/folder/diffusion/log.csv" 2>/dev/null | cut -d, -f1 | grep -x '[0-9][0-9]*' || echo 0; }

# The newest checkpoint of a run, as much of it as RESULTS has room for, in place of the one before.
bring() { # RUN RESULTS
    from=$1/folder/diffusion
    to=$2/training
    mkdir -p "$to"
    cp "$1/run.toml" "$to/run.toml"
    [ -d "$1/folder/sheets" ] && cp -R "$1/folder/sheets" "$to/"
    [ -e "$from/log.csv" ] && cp "$from/log.csv" "$to/log.part" && mv "$to/log.part" "$to/log.csv"
    [ -e "$from/checkpoint/state.json" ] || return 0
    new=$2.part # outside, so that RESULTS never holds two
    rm -rf "$new"
    mkdir -p "$new"
    room=$((limit - $(du -sb --exclude=checkpoint "$2" | cut -f1) - 1000000))
    for file in state.json ema.safetensors module.bpk optimizer.bpk; do # what a bundle needs first
        # Where it is being replaced: next time.
        size=$(wc -c <"$from/checkpoint/$file" 2>/dev/null) || return 0
        if [ "$size" -le "$room" ]; then
            cp "$from/checkpoint/$file" "$new/$file" 2>/dev/null || return 0
            room=$((room - size))
        else
            echo "$file, $size bytes" >>"$new/left-out.txt"
        fi
    done
    cmp -s "$new/state.json" "$from/checkpoint/state.json" || return 0 # replaced meanwhile
    rm -rf "$2.old"
    [ -e "$to/checkpoint" ] && mv "$to/checkpoint" "$2.old"
    mv "$new" "$to/checkpoint"
    rm -rf "$2.old"
}

diffusion() { bin/train --device "$device" diffusion --run "$1/run.toml" --folder "$1/folder" --data data; }

# Trains some steps and prints how many a second the later half of them took.
trial() { # RUN STEPS
    first=$(done_steps "$1")
    set_keys "$1/run.toml" "checkpoint_every=$2" sheet_every=1000000000 "pause_at=$((first + $2))"
    diffusion "$1" >>"$results/training.txt" 2>&1 || die "$1 cannot be trained; see $results/training.txt"
    batch=$(get_key "$1/run.toml" batch_size)
    awk -F, -v first="$first" -v half="$(($2 / 2))" -v batch="$batch" '
        $1 > first { seconds[$1 - first] = ($1 - first) * batch / $5; last = $1 - first }
        END { time = seconds[last] - seconds[half]; print (last > half && time > 0 ? (last - half) / time : 1) }' \
        "$1/folder/diffusion/log.csv"
}

# The first of the runs, which are sorted by size, that ends in time; or the last.
train() {
    for run in runs/*; do
        speed=$(trial "$run" "${TRIAL:-40}")
        done=$(done_steps "$run")
        steps=$(get_key "$run/run.toml" steps)
        left=$((end - $(date +%s)))
        fits=$(awk -v s="$speed" -v n="$((steps - done))" -v t="$left" 'BEGIN { print (n <= s * t) ? 1 : 0 }')
        echo "$run,$done,$steps,$speed,$left,$fits" >>"$results/choice.csv"
        [ "$fits" = 1 ] && break
    done
    each=$(awk -v s="$speed" 'BEGIN { n = int(s * 60); print n < 1 ? 1 : n }')
    set_keys "$run/run.toml" "checkpoint_every=$each" "pause_at=1000000000"
    bring "$run" "$results"
    diffusion "$run" >>"$results/training.txt" 2>&1 &
    trainer=$!
    while kill -0 "$trainer" 2>/dev/null; do
        if [ "$(date +%s)" -ge "$end" ]; then
            kill "$trainer"
            break
        fi
        sleep 5
        [ $(($(date +%s) % 30)) -lt 5 ] && bring "$run" "$results"
    done
    wait "$trainer" || true
    bring "$run" "$results"
}

machine() {
    date -u +%Y-%m-%dT%H:%MZ
    uname -a
    nproc
    nvidia-smi 2>/dev/null || echo "no nvidia-smi"
}

run() {
    [ $# -eq 3 ] || die "run takes DEVICE MINUTES RESULTS"
    device=$1 results=$3
    end=$(($(date +%s) + $2 * 60))
    mkdir -p "$results"
    machine >"$results/machine.txt"
    # Rows come as they are measured, so that nothing is lost when this is cut.
    bin/parity "$device" "${PARITY_EVERY:-1}" >"$results/parity.csv" 2>"$results/parity.txt" \
        || echo "parity failed; see parity.txt" >>"$results/failed.txt"
    python=$(command -v "${PYTHON:-python3}" || true)
    if [ -n "$python" ] && ! "$python" -c "import torch, diffusers" 2>/dev/null; then
        python=
        echo "no PyTorch and diffusers to compare with" >"$results/peers.txt"
    fi
    for name in ${CASES:-shipped next autoencoder autoencoder-dc sd-like}; do
        if [ -n "$python" ]; then
            "$python" peers/training.py bin/step "$name" --device "$device" --rounds 1 --seconds "${SECONDS_EACH:-20}" \
                --out "$results/step-$name.json"
        else
            bin/step peers/training.json "$name" "${SECONDS_EACH:-20}" 1 "$device"
        fi >>"$results/step.txt" 2>>"$results/step-errors.txt" || echo "$name failed; see step-errors.txt" >>"$results/failed.txt"
    done
    train
    echo "$results: $(du -sb "$results" | cut -f1) bytes"
    [ ! -e "$results/failed.txt" ] || { cat "$results/failed.txt"; exit 1; }
}

case ${1:-} in
    pack) shift && pack "$@" ;;
    run) shift && run "$@" ;;
    *) die "pack or run? See the head of this file" ;;
esac
