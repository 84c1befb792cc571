#!/usr/bin/env bash
# A Slurm array: each task is a shard of one batch. sbatch examples/batch/slurm.sh /archive /results
# A task that is ended, by its time or by a node, is queued again and goes on where it was.
#SBATCH --job-name=cliplane-batch
#SBATCH --array=0-15
#SBATCH --requeue
#SBATCH --cpus-per-task=1
#SBATCH --mem=512M
#SBATCH --time=12:00:00
set -euo pipefail
archive=$1 results=$2
exec cliplane batch "$archive" --out "$results/shard-$SLURM_ARRAY_TASK_ID.jsonl" \
  --shard "$SLURM_ARRAY_TASK_ID/$SLURM_ARRAY_TASK_COUNT" --server-root "$archive" --hosts "${CLIPLANE_HOSTS:?}"
