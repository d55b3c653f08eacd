#!/usr/bin/env bash
# Measures everything that needs a GPU, on one card, in less than eight minutes: benchmarks/gpu.sh [DEVICE] [SIZE] [OUT]
#   DEVICE  cuda (default) or cpu
#   SIZE    full (default): true shapes with random weights; small: shapes that a CPU takes in about a minute
#   OUT     folder for the results (default: benchmarks/results/DEVICE-SIZE)
# Each step has a time limit of its own, and a step that fails costs the others nothing. OUT/steps.tsv says how each
# step ended: name, exit status (124: out of time; "left out": no time was left), seconds. PYTHON names the interpreter.
set -u
device=${1:-cuda} size=${2:-full}
here=$(cd "$(dirname "$0")" && pwd)
out=${3:-$here/results/$device-$size}
python=${PYTHON:-$here/../.venv/bin/python}
total=${TOTAL:-470} # seconds for all steps; a busy CPU may need more
mkdir -p "$out" || exit 1
out=$(cd "$out" && pwd)
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
export PYTHONPATH=$here/..${PYTHONPATH:+:$PYTHONPATH} TOKENIZERS_PARALLELISM=false HF_HUB_OFFLINE=1
export LLAVE_CACHE=$work/cache
: >"$out/steps.tsv"
failed=0

step() { # step NAME SECONDS COMMAND...: what it prints goes to OUT/NAME.log
  local name=$1 limit=$2 start=$SECONDS status left=$((total - SECONDS))
  shift 2
  if ((left < limit)); then limit=$left; fi
  if ((limit < 5)); then
    printf '%s\tleft out\t0\n' "$name" | tee -a "$out/steps.tsv"
    failed=1
    return
  fi
  timeout --kill-after=5 "$limit" "$@" >"$out/$name.log" 2>&1
  status=$?
  ((status == 0)) || failed=1
  printf '%s\t%s\t%s\n' "$name" "$status" "$((SECONDS - start))" | tee -a "$out/steps.tsv"
}

# doctor WHAT SHAPE: writes a checkpoint, and examines it as a user would. A check that fails is a figure, as random
# weights need not pass all of them. The step fails where there are no findings.
doctor() {
  local model
  set -o pipefail
  model=$("$python" "$here/families.py" --write "$1" "$work/$1" --shape "$2" --device "$device" | tail -n 1) || return
  "$python" -m llave doctor "$model" --device "$device" --json >"$out/doctor-$1.json"
  local status=$?
  rm -rf "${work:?}/$1"
  [ "$status" -le 1 ] && [ -s "$out/doctor-$1.json" ]
}
export -f doctor
export python here device out work

llave() { # llave SHAPE SECONDS FLAG...: speed, memory, share of the matrix rate, and parity of bf16 and fp32
  local shape=$1 limit=$2
  shift 2
  step "throughput-$shape" "$limit" "$python" "$here/throughput.py" --shape "$shape" --device "$device" "$@" \
    --out "$out/throughput-$shape.json"
}

training() { # training SHAPE SECONDS FLAG...: a cached step, a plain one, and one in the public way
  local shape=$1 limit=$2
  shift 2
  step "training-$shape" "$limit" "$python" "$here/training.py" --shape "$shape" --memory-shape "$shape" \
    --device "$device" "$@" --out "$out/training-$shape.json"
}

families() { # families SECONDS FLAG...
  step families "$1" "$python" "$here/families.py" --shape "$size" --device "$device" "${@:2}" \
    --out "$out/families.json"
}

step machine 60 "$python" -c 'import torch, transformers
print(torch.__version__, transformers.__version__, torch.version.cuda, torch.cuda.is_available())
print(torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU")'

case $size in
full)
  llave llave-0.5b 80 --loads texts mixed --texts 512 --photographs 32 --videos 4 --parity 16 --repeats 3
  families 120 --loads mixed --texts 256 --images 64 --parity 16 --repeats 3
  training llave-0.5b 60 --pairs 16 --micro-batch 4 --public-pairs 16 --memory-pairs 16 64 --memory-micro-batch 8 \
    --repeats 3
  step doctor-llave-0.5b 45 bash -c 'doctor llave-0.5b full'
  llave llave-7b 90 --loads photographs --texts 32 --photographs 24 --videos 1 --parity 8 --repeats 2
  llave llave-2b 60 --loads mixed --texts 256 --photographs 24 --videos 2 --parity 8 --repeats 2
  training llave-2b 75 --pairs 8 --micro-batch 2 --public-pairs 8 --memory-pairs 8 32 --memory-micro-batch 4 \
    --repeats 2
  step doctor-qwen3-vl 45 bash -c 'doctor qwen3-vl full'
  step doctor-clip 30 bash -c 'doctor clip full'
  step doctor-siglip2 30 bash -c 'doctor siglip2 full'
  ;;
small)
  llave small 600 --loads texts --texts 4 --photographs 1 --videos 1 --parity 3 --repeats 1
  families 600 --families clip qwen3-vl --loads mixed --texts 6 --images 2 --parity 3 --repeats 1
  training demo 600 --pairs 4 --micro-batch 2 --public-pairs 2 --images 2 --memory-pairs 4 8 --memory-micro-batch 2 \
    --repeats 1
  step doctor-clip 600 bash -c 'doctor clip small'
  ;;
*)
  echo "SIZE is $size: write full or small." >&2
  exit 2
  ;;
esac
exit $failed
