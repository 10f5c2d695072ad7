#!/usr/bin/env bash
# One call on a machine with a CUDA device, in under 10 minutes: the checks that need hardware, the
# tests of what runs there, the seed suite, a few baselines, the paired comparison. Everything that it finds goes to
# $OUT (default: hardware-report), baselines as baselines.tar.gz.
#
#   OUT=report bash tests/hardware/check.sh              everything but the baselines of the seed suite
#   OUT=report bash tests/hardware/check.sh fp16 8       baselines of the seed suite in fp16 at batch 8
#
# Each step has a limit of its own, all together below 10 minutes, and the ones behind it run whatever
# became of it. DEVICE=cpu tries the script itself where there is no accelerator.
set -u
cd "$(dirname "$0")/../.."
OUT=${OUT:-hardware-report}
PYTHON=${PYTHON:-python3}
DEVICE=${DEVICE:-cuda}
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
LATENCY=(benchmarks/test_latency.py "--gpu=$DEVICE")
step versions 20 "$PYTHON" tests/hardware/versions.py

if [ $# -eq 2 ]; then
  # Ten process runs of 71 rows: 0.3 s of passes each, the least that counts as a process run.
  step baselines 560 "$PYTHON" "${BASE[@]}" "${LATENCY[@]}" "--dtype=$1" "--batch-size=$2" \
    --time-budget=0.9 --baseline-update --baseline-reason="first on this device"
else
  step checks 120 "$PYTHON" "${BASE[@]}" -s tests/hardware
  step tests 60 "$PYTHON" "${BASE[@]}" tests/devices --ignore=tests/devices/sim tests/measure/test_device_time.py \
    tests/measure/test_running.py tests/measure/test_memory.py
  # 71 rows at batch 1 in fp16; the limit that they are to keep is 4 minutes.
  step seeds 200 "$PYTHON" "${BASE[@]}" "${LATENCY[@]}" --dtype=fp16 --time-budget=0.5 \
    --results="$OUT/seeds.json"
  # Ten process runs of a few cells: enough to see that a baseline can be made, and to compare with it.
  step baselines 60 "$PYTHON" "${BASE[@]}" "${LATENCY[@]}" --models=torchvision/resnet50 \
    --dtype=fp32,fp16 --time-budget=0.9 --baseline-update --baseline-reason="first on this device"
  step compared 25 "$PYTHON" "${BASE[@]}" "${LATENCY[@]}" --models=torchvision/resnet50 \
    --dtype=fp32,fp16 --time-budget=0.9 --energy
  step paired 110 "$PYTHON" -m archbench selftest --paired "--gpu=$DEVICE" --cells=4 --rounds=1 \
    --injected-rounds=1 --store="$OUT/rounds.jsonl"
  cat "$OUT/checks.log" "$OUT/paired.log" >>"$REPORT"
fi
tar -czf "$OUT/baselines.tar.gz" baselines
exit "$FAILED"
