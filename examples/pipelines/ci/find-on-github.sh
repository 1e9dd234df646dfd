#!/usr/bin/env bash
# Passes the clusters to deploy to the next job of GitHub Actions: ci/find-on-github.sh. These are
# $CLUSTER if it is set, otherwise those whose file has changed since commit $BEFORE.
set -euo pipefail

if [[ -n $CLUSTER ]]; then
  clusters=$(ci/clusters.sh named "$CLUSTER")
else
  clusters=$(ci/clusters.sh since "$BEFORE")
fi
printf 'To deploy: %s\n' "${clusters:-nothing}"
list='import json, sys; print("clusters=" + json.dumps(sys.argv[1].split()))'
python3 -c "$list" "$clusters" >>"$GITHUB_OUTPUT"
