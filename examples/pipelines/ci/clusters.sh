#!/usr/bin/env bash
# Prints the names of clusters, one per line, from the names of the files in removals/.
#
#   ci/clusters.sh since COMMIT   the clusters whose file has changed since COMMIT
#   ci/clusters.sh named CLUSTER  the cluster, if it has a file
#
# File names come from pull requests. One that is not a valid cluster name is an error.
set -euo pipefail

readonly NO_COMMIT=0000000000000000000000000000000000000000 # before the first push of a branch
readonly NAME='[a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}'

fail() {
  printf 'error: %s\n' "$1" >&2
  exit 1
}

print_clusters() { # of paths that end in NUL
  local path
  while IFS= read -r -d '' path; do
    [[ $path =~ ^removals/($NAME)\.yaml$ ]] || fail "not a removal file: $(printf %q "$path")"
    printf '%s\n' "${BASH_REMATCH[1]}"
  done
}

case "$1" in
  since)
    since=$2
    if [[ $since == "$NO_COMMIT" ]]; then
      since=$(git hash-object -t tree /dev/null)
    elif ! git merge-base --is-ancestor "$since" HEAD; then
      fail "$since is not before this commit, so the changed files are unknown; deploy manually"
    fi
    git diff -z --no-renames --name-only --diff-filter=D "$since" HEAD -- removals/ |
      print_clusters | while read -r cluster; do
      printf 'removals/%s.yaml is gone. The stack hyperpod-node-removal-%s stays; deleting it %s\n' \
        "$cluster" "$cluster" "removes no node and adds none." >&2
    done
    git diff -z --no-renames --name-only --diff-filter=d "$since" HEAD -- removals/ | print_clusters
    ;;
  named)
    [[ $2 =~ ^$NAME$ && -f removals/$2.yaml ]] || fail "there is no removals/$(printf %q "$2").yaml"
    printf '%s\n' "$2"
    ;;
  *) fail "usage: ci/clusters.sh since COMMIT | named CLUSTER" ;;
esac
