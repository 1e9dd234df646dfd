#!/usr/bin/env bash
# Plans the removal files that have changed since COMMIT: ci/plan.sh COMMIT. Changes nothing. Fails
# if a guard is violated or a node would be refused.
set -euo pipefail

clusters=$(ci/clusters.sh since "$1")
mkdir -p results
printf '%s' "$clusters" >results/clusters.txt
if [[ -z $clusters ]]; then
  echo "No removal file is changed."
  exit
fi
mapfile -t files <<<"$clusters"
files=("${files[@]/#/removals/}")
ci/report.sh plan "${files[@]/%/.yaml}"
