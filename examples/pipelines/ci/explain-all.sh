#!/usr/bin/env bash
# Explains the last operation of every stack. Fails if any node was not removed.
set -euo pipefail

shopt -s nullglob
failed=0
for file in removals/*.yaml; do
  cluster=$(basename "$file" .yaml)
  RESULTS=results/$cluster ci/report.sh explain --file "$file" "hyperpod-node-removal-$cluster" ||
    failed=1
done
exit "$failed"
