#!/usr/bin/env bash
# Shared by slurm_train.sh and slurm_test.sh: slurm.sh SCRIPT PARTITION JOB_NAME CONFIG [arguments]
set -eu
if [ $# -lt 4 ]; then
    echo "usage: tools/slurm_${1%.py}.sh PARTITION JOB_NAME CONFIG [options]" >&2
    exit 2
fi
gpus=${GPUS:-8}
per_node=${GPUS_PER_NODE:-$((gpus < 8 ? gpus : 8))}
resume=()
while :; do
    status=0
    # shellcheck disable=SC2086  # SRUN_ARGS is a list of words
    srun -p "$2" --job-name="$3" --gres="gpu:$per_node" --ntasks="$gpus" \
        --ntasks-per-node="$per_node" --cpus-per-task="${CPUS_PER_TASK:-5}" --kill-on-bad-exit=1 \
        --signal="USR1@${GRACE:-120}" ${SRUN_ARGS:-} \
        python -u "$(dirname "$0")/$1" "${@:4}" "${resume[@]}" --launcher slurm || status=$?
    # 138 = 128 + SIGUSR1: the time limit was near, and the run has saved its state
    if [ "$1" != train.py ] || [ "$status" -ne 138 ]; then
        exit "$status"
    fi
    if [ -n "${SLURM_JOB_ID:-}" ]; then # a requeued batch job starts by itself, and train.py resumes
        exec scontrol requeue "$SLURM_JOB_ID"
    fi
    resume=(--resume)
done
