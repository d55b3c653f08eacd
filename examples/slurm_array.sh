#!/usr/bin/env bash
# One task of a suite for each job of an array. See docs/walkthroughs.md.
#
#   sbatch --array=0-35 examples/slurm_array.sh MODEL SUITE [FLAGS OF llave run ...]
#
#SBATCH --job-name=llave
#SBATCH --gpus=1
#SBATCH --cpus-per-task=8
#SBATCH --mem=48G
#SBATCH --time=04:00:00
#SBATCH --output=llave-%A_%a.log
#SBATCH --requeue
set -euo pipefail

model=$1
suite=$2
shift 2
mapfile -t tasks < <(llave tasks --suite "$suite" --json \
    | python3 -c 'import json, sys; print(*(task["name"] for task in json.load(sys.stdin)), sep="\n")')
number=${SLURM_ARRAY_TASK_ID:?"start it with sbatch --array=0-$((${#tasks[@]} - 1))"}
if ((number >= ${#tasks[@]})); then
    echo "$suite has ${#tasks[@]} tasks, so there is nothing for job $number."
    exit 0
fi
exec llave run "$model" --tasks "${tasks[number]}" "$@"
