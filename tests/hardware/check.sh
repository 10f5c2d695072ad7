#!/usr/bin/env bash
# Checks on a machine with a CUDA device, each call in under 10 minutes:
#
#   OUT=report bash tests/hardware/check.sh                      what needs hardware, each way to run a
#                                                                network, the seed suite in fp16, tests
#   OUT=report bash tests/hardware/check.sh compared             a few baselines, a run compared with
#                                                                them, the paired comparison
#   OUT=report bash tests/hardware/check.sh baselines fp16 8 lightweight
#                                                                baselines of a suite (default: seeds)
#   OUT=report bash tests/hardware/check.sh engines              the inference engines that are installed
#
# Everything that it finds goes to $OUT (default: hardware-report), baselines as baselines.tar.gz.
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

case "${1:-checks}" in
checks)
  # What a test prints is in its log as soon as it is printed, whatever ends the step.
  step checks 150 "$PYTHON" "${BASE[@]}" -s -rA tests/hardware/test_on_hardware.py
  # Each way to run a network.
  step modes 60 "$PYTHON" "${BASE[@]}" "${LATENCY[@]}" --models=torchvision/resnet18 --quick \
    --dtype="${DTYPES:-fp32,tf32,fp16,bf16,amp-fp16,amp-bf16}" --runtime="${RUNTIMES:-eager,cudagraph}" \
    --memory-format=nchw,nhwc --results="$OUT/modes.json"
  step compiled 70 "$PYTHON" "${BASE[@]}" "${LATENCY[@]}" --models=torchvision/resnet18 --quick \
    --dtype=fp16 --runtime=compiled,aotinductor --results="$OUT/compiled.json"
  # 71 rows at batch 1 in fp16; the limit that they are to keep is 4 minutes.
  step seeds 170 "$PYTHON" "${BASE[@]}" "${LATENCY[@]}" --dtype=fp16 --time-budget=0.5 \
    --results="$OUT/seeds.json"
  step tests 100 "$PYTHON" "${BASE[@]}" tests/devices --ignore=tests/devices/sim \
    tests/measure/test_device_time.py tests/measure/test_running.py tests/measure/test_memory.py
  ;;
compared)
  # Ten process runs of a cell: 14 s each on the machine of an H200, most of it to import torch.
  CELLS=("${BASE[@]}" "${LATENCY[@]}" --models=torchvision/resnet50,torchvision/vgg16 --dtype=fp16)
  step baselines 200 "$PYTHON" "${CELLS[@]}" --time-budget=0.9 --baseline-update \
    --baseline-reason="first on this device"
  step compared 90 "$PYTHON" "${CELLS[@]}" --time-budget=0.9
  # A change of precision has to be found, the same tree not.
  step other-dtype 100 "$PYTHON" "${BASE[@]}" "${LATENCY[@]}" --models=torchvision/resnet50 \
    --batch-size=16 --dtype=fp32 --against=dtype=fp16
  step paired 160 "$PYTHON" -m archbench selftest --paired "--gpu=$DEVICE" --cells=4 --rounds=1 \
    --injected-rounds=1 --store="$OUT/rounds.jsonl"
  ;;
baselines)
  # Ten process runs of each row: 0.3 s of passes each, the least that counts as a process run.
  step baselines 560 "$PYTHON" "${BASE[@]}" "${LATENCY[@]}" "--dtype=$2" "--batch-size=$3" \
    --suite="${4:-seeds}" --time-budget=0.9 --baseline-update \
    --baseline-reason="first on this device"
  ;;
engines)
  # What an engine's own API says, then each engine in each precision, then cells of three networks.
  step api 60 "$PYTHON" "${BASE[@]}" -rA tests/runtimes -k "real_api or real_package"
  step engines 330 "$PYTHON" "${BASE[@]}" -s -rA tests/hardware/test_engines_on_hardware.py
  step cells 180 "$PYTHON" "${BASE[@]}" "${LATENCY[@]}" --quick --dtype="${DTYPES:-fp32,fp16}" \
    --models=torchvision/resnet50,timm/mobilenetv2_100,timm/vit_tiny_patch16_224 \
    --runtime="${RUNTIMES:-eager,cudagraph,tensorrt}" --results="$OUT/engines.json"
  ;;
*)
  echo "check.sh takes checks, compared, engines or baselines DTYPE BATCH [SUITE], not $1" >&2
  exit 2
  ;;
esac
for log in checks paired engines; do
  [ ! -e "$OUT/$log.log" ] || cat "$OUT/$log.log" >>"$REPORT"
done
tar -czf "$OUT/baselines.tar.gz" baselines
exit "$FAILED"
