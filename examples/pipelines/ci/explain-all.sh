#!/usr/bin/env bash
# Tells what came of the last operation of every stack. Fails if a node of any is still there.
set -euo pipefail

shopt -s nullglob
failed=0
for file in removals/*.yaml; do
  cluster=$(basename "$file" .yaml)
  RESULTS=results/$cluster ci/report.sh explain --file "$file" "hyperpod-node-removal-$cluster" ||
    failed=1
done
exit "$failed"
