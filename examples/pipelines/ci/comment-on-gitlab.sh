#!/usr/bin/env bash
# Posts a Markdown file as a comment on the merge request: ci/comment-on-gitlab.sh FILE.
set -euo pipefail

if [[ ! -e $1 ]]; then
  echo "There is no plan: no removal file is changed."
  exit
fi
# The token is passed in a file, because other processes can see a command line.
curl --fail --silent --show-error --output /dev/null \
  --header @<(printf 'PRIVATE-TOKEN: %s' "$REMOVAL_COMMENT_TOKEN") \
  --data-urlencode "body@$1" \
  "$CI_API_V4_URL/projects/$CI_PROJECT_ID/merge_requests/$CI_MERGE_REQUEST_IID/notes"
