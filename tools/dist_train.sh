#!/usr/bin/env bash
# Train on several GPUs (or CPU processes): tools/dist_train.sh CONFIG PROCESSES [options of tools/train.py]
# Several machines: set NNODES, NODE_RANK, MASTER_ADDR and PORT on each.
# MAX_RESTARTS=3 starts all processes again when one fails, up to three times; each time they resume.
exec bash "$(dirname "$0")/launch.sh" train.py "$@"
