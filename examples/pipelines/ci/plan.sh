#!/usr/bin/env bash
# Plans the removal files that are other ones than in COMMIT: ci/plan.sh COMMIT. Calls nothing that
# changes anything. Fails if a guard is violated or a node would be refused.
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
