#!/bin/sh
# Measures our engines beside onnxruntime-web: the same weights, the same browser, in turn. See
# README.md.
#
#   sh tests/peers/run.sh [FOLDER] [arguments of `cargo xtask bench stages`]
#
# FOLDER (default target/peers) gets a Python environment (6 GB), the npm package and the ONNX
# files, and is used again.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
folder=${1:-"${CARGO_TARGET_DIR:-$root/target}/peers"}
[ $# -gt 0 ] && shift
mkdir -p "$folder"
folder=$(cd "$folder" && pwd)

if [ ! -x "$folder/venv/bin/python" ]; then
    python3 -m venv "$folder/venv"
    "$folder/venv/bin/pip" install --quiet --requirement "$here/requirements.txt"
fi
cp "$here/package.json" "$here/package-lock.json" "$folder/"
[ -d "$folder/node_modules/onnxruntime-web" ] || npm ci --prefix "$folder" --ignore-scripts --no-audit --no-fund

cd "$root"
target="${CARGO_TARGET_DIR:-$root/target}"
sd_like="$target/bench/sd-like"
if [ ! -f "$sd_like/bundle.json" ]; then
    cargo build --quiet --workspace --locked --bins
    "$target/debug/roentgen" random --configs "$here/sd-like.json" --tokenizer models/default --side 256 --out "$sd_like"
fi
for model in shipped sd-like; do
    bundle=models/default
    [ "$model" = sd-like ] && bundle=$sd_like
    [ -f "$folder/onnx/$model/unet.onnx" ] || "$folder/venv/bin/python" "$here/export.py" "$bundle" "$folder/onnx/$model"
done
case " $* " in *" --on "*) ;; *) set -- --on cpu-wasm,webgpu "$@" ;; esac
exec cargo xtask bench stages --peers "$folder" "$@"
