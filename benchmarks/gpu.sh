#!/bin/sh
# All that needs a GPU, in one command and in this order, so that the first minutes of one are enough:
#
#   benchmarks/gpu.sh WHEELS [OUT]      install from the folder WHEELS (no network), test, measure; OUT: default ./gpu
#   benchmarks/gpu.sh --collect WHEELS  fill the folder beforehand, on a machine that reaches a package index
#
# PyTorch itself, numpy and CUDA's libraries are taken from the machine's own Python (PYTHON, default python3), whose
# torch must see the GPU. OUT gets `log`, `tests.log`, `stages_gpu.json` and `stages_gpu.md`; README's lines follow from
# the first by `python -m benchmarks.stages --write-only`. Each step goes on where another failed; the exit code is 1
# if one did, 2 where there is no GPU or no folder of wheels.
# SLICES (default "64 300"), REPEAT (1) and PEER_SLICES (300) make it longer or shorter; BENCH_S (420) ends it.
set -u
cd "$(dirname "$0")/.." || exit 2
python=${PYTHON:-python3}

if [ "${1:-}" = --collect ]; then
    [ -n "${2:-}" ] || { echo "Name the folder of the wheels." >&2; exit 2; }
    # What the application, its GPU tests and its benchmarks import and a machine with PyTorch need not have.
    grep -hE '^[A-Za-z]' requirements-library.txt requirements.txt |
        grep -vE '^(torch|numpy|nvidia-cuda-runtime)==' | sed 's/ *#.*//' >"${TMPDIR:-/tmp}/gpu-wheels.txt"
    grep -hE '^(pytest|pytest-xdist|captum|matplotlib|scikit-learn)==' requirements-dev.txt |
        sed 's/ *#.*//' >>"${TMPDIR:-/tmp}/gpu-wheels.txt"
    exec "$python" -m pip download --quiet --only-binary=:all: --dest "$2" \
        --python-version "${PYTHON_VERSION:-3.12}" --implementation cp \
        --platform manylinux_2_28_x86_64 --platform manylinux_2_27_x86_64 --platform manylinux_2_17_x86_64 \
        --platform manylinux2014_x86_64 --no-deps -r "${TMPDIR:-/tmp}/gpu-wheels.txt"
fi

wheels=${1:-}
out=${2:-gpu}
[ -d "$wheels" ] || { echo "Name the folder of wheels: benchmarks/gpu.sh WHEELS [OUT]." >&2; exit 2; }
wheels=$(cd "$wheels" && pwd)
mkdir -p "$out"
out=$(cd "$out" && pwd)
site=$out/site
failed=0

# step NAME SECONDS COMMAND...: its output into the log, its time and exit code on the screen.
step() {
    name=$1 limit=$2
    shift 2
    began=$(date +%s)
    timeout "$limit" "$@" >>"$out/log" 2>&1
    code=$?
    [ $code = 0 ] || failed=1
    echo "$name: exit code $code after $(($(date +%s) - began)) s"
}

echo "$wheels into $site" >"$out/log"
step install 120 "$python" -m pip install --quiet --no-index --no-deps --no-compile --upgrade --target "$site" "$wheels"/*.whl
# The machine's own torch and numpy stay in front of any that a wheel may have brought.
PYTHONPATH=$("$python" -c 'import os, torch; print(os.path.dirname(os.path.dirname(torch.__file__)))'):$site
export PYTHONPATH PYTHONUNBUFFERED=1
"$python" -c 'import sys, torch; sys.exit(not torch.cuda.is_available())' || { echo "PyTorch finds no GPU." >&2; exit 2; }
step machine 60 "$python" -c 'import torch; print(torch.__version__, torch.cuda.get_device_properties(0))'
step files 60 "$python" -m compileall -q app groundglass operators benchmarks "$site"
step tests 300 sh -c '"$1" -m pytest -m gpu -o addopts= -p no:cacheprovider tests/app/test_gpu.py tests/groundglass/method \
    >"$2/tests.log" 2>&1' sh "$python" "$out"
# shellcheck disable=SC2086  # several lengths are several words
step bench "${BENCH_S:-420}" "$python" -m benchmarks.stages --device cuda --slices ${SLICES:-64 300} \
    --repeat "${REPEAT:-1}" --peer-slices "${PEER_SLICES:-300}"
for name in stages_gpu.json stages_gpu.md; do
    [ ! -f "benchmarks/results/$name" ] || cp "benchmarks/results/$name" "$out/"
done
rm -rf "$site"
[ -z "${PRINT:-1}" ] || cat "$out/stages_gpu.md" 2>/dev/null
exit $failed
