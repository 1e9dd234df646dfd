#!/usr/bin/env bash
# Posts a Markdown file as a comment on pull request $NUMBER: ci/comment-on-github.sh FILE.
set -euo pipefail

if [[ ! -e $1 ]]; then
  echo "There is no plan: no removal file is changed."
  exit
fi
{
  printf 'What %s would do:\n\n' "$HEAD_SHA"
  cat "$1"
} | gh pr comment "$NUMBER" --body-file -
