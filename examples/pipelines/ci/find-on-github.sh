#!/usr/bin/env bash
# Gives the clusters to deploy to the next job of GitHub Actions: ci/find-on-github.sh. That is
# $CLUSTER, if a person named one, or else those whose file is another one than in commit $BEFORE.
set -euo pipefail

if [[ -n $CLUSTER ]]; then
  clusters=$(ci/clusters.sh named "$CLUSTER")
else
  clusters=$(ci/clusters.sh since "$BEFORE")
fi
printf 'To deploy: %s\n' "${clusters:-nothing}"
list='import json, sys; print("clusters=" + json.dumps(sys.argv[1].split()))'
python3 -c "$list" "$clusters" >>"$GITHUB_OUTPUT"
