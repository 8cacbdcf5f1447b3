#!/usr/bin/env bash
# Evaluate on several GPUs (or CPU processes): tools/dist_test.sh CONFIG CHECKPOINT PROCESSES [options of tools/test.py]
# Several machines: set NNODES, NODE_RANK, MASTER_ADDR and PORT on each.
if [ $# -lt 3 ]; then
    sed -n 2,3p "$0" >&2
    exit 2
fi
exec bash "$(dirname "$0")/launch.sh" test.py "$1" "$3" "$2" "${@:4}"
