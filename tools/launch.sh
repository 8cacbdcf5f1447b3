#!/usr/bin/env bash
# Shared by dist_train.sh and dist_test.sh: launch.sh SCRIPT CONFIG PROCESSES [arguments]
set -eu
if [ $# -lt 3 ] || ! [[ "$3" =~ ^[1-9][0-9]*$ ]]; then
    [ "${1:-}" = test.py ] && checkpoint=' CHECKPOINT' || checkpoint=
    echo "usage: tools/dist_${1%.py}.sh CONFIG$checkpoint PROCESSES [options]; PROCESSES is a number," \
        "not '${3:-}'" >&2
    exit 2
fi
tools=$(dirname "$0")
python=$(command -v python || command -v python3)
if [ -x "$tools/../.venv/bin/python" ] && [ -z "${VIRTUAL_ENV:-}${CONDA_PREFIX:-}" ]; then
    python="$tools/../.venv/bin/python"
fi
address=${MASTER_ADDR:-127.0.0.1} port=${PORT:-29500} restarts=${MAX_RESTARTS:-0}
meeting=(--node_rank="${NODE_RANK:-0}" --master_addr="$address" --master_port="$port")
if [ "$restarts" -gt 0 ]; then
    # a store that outlives a restart (torch 2.11) still gives processes the old addresses
    export TORCH_DISABLE_SHARE_RDZV_TCP_STORE=1
    meeting=(--rdzv_backend=c10d --rdzv_endpoint="$address:$port" --max_restarts="$restarts")
fi
OMP_NUM_THREADS=${OMP_NUM_THREADS:-1} exec "$python" -m torch.distributed.run \
    --nnodes="${NNODES:-1}" --nproc_per_node="$3" "${meeting[@]}" \
    "$tools/$1" "$2" "${@:4}" --launcher pytorch
