#!/usr/bin/env bash
# One call on a machine with a CUDA device, in under 10 minutes: the tests, the checks that need
# hardware, a few baselines, the seed suite. Everything it finds goes to $OUT (default: hardware-report).
#
#   OUT=report bash tests/hardware/check.sh
#
# Each step has a limit of its own, and the ones behind it run whatever became of it.
set -u
cd "$(dirname "$0")/../.."
OUT=${OUT:-hardware-report}
PYTHON=${PYTHON:-python3}
mkdir -p "$OUT"
export OUT PYTHONPATH="$PWD/plugin${PYTHONPATH:+:$PYTHONPATH}" PYTHONUNBUFFERED=1
REPORT="$OUT/report.txt"
: >"$REPORT"
FAILED=0

step() { # name, seconds, command
  local name=$1 limit=$2 start=$SECONDS status
  shift 2
  timeout "$limit" "$@" >"$OUT/$name.log" 2>&1
  status=$?
  [ "$status" -eq 0 ] || FAILED=1
  echo "$name: status $status after $((SECONDS - start)) s of $limit" | tee -a "$REPORT"
}

BASE=(-m pytest -q -p no:cacheprovider)
step versions 60 "$PYTHON" -c 'import platform, torch; p = torch.cuda.get_device_properties(0); print(platform.python_version(), torch.__version__, torch.version.cuda, p)'
step checks 120 "$PYTHON" "${BASE[@]}" -s tests/hardware
step suite 150 "$PYTHON" "${BASE[@]}" tests/core tests/devices tests/store tests/measure/test_cells.py \
  tests/measure/test_latency.py tests/measure/test_running.py
# 71 rows at batch 1 in fp16; the limit that they are to keep is 4 minutes.
step seeds 240 "$PYTHON" "${BASE[@]}" benchmarks/test_latency.py --gpu=cuda --dtype=fp16 \
  --time-budget=0.5 --results="$OUT/seeds.json"
# Ten launches of a few cells: enough to see that a baseline can be made, and to compare with it.
step baselines 150 "$PYTHON" "${BASE[@]}" benchmarks/test_latency.py --gpu=cuda --time-budget=0.9 \
  --models=torchvision/resnet50 --dtype=fp32,fp16 --batch-size=1,8 \
  --baseline-update --baseline-reason="first on this device"
tar -czf "$OUT/baselines.tar.gz" baselines
cat "$OUT/checks.log" >>"$REPORT"
exit "$FAILED"
