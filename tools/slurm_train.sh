#!/usr/bin/env bash
# Train under Slurm: tools/slurm_train.sh PARTITION JOB_NAME CONFIG [options of tools/train.py]
# GPUS (8), GPUS_PER_NODE (8), CPUS_PER_TASK (5) and SRUN_ARGS come from the environment.
# GRACE (120) seconds before the job's time limit, SIGUSR1 makes it save; it is then requeued.
exec bash "$(dirname "$0")/slurm.sh" train.py "$@"
