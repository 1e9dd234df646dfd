#!/usr/bin/env bash
# Writes the job's $AWS_ID_TOKEN to a file outside the checkout, from which the AWS SDKs assume the
# role in AWS_ROLE_ARN. Source it: . ci/keep-id-token.sh
AWS_WEB_IDENTITY_TOKEN_FILE=$(mktemp)
printf '%s' "$AWS_ID_TOKEN" >"$AWS_WEB_IDENTITY_TOKEN_FILE"
export AWS_WEB_IDENTITY_TOKEN_FILE AWS_ROLE_SESSION_NAME="gitlab-$CI_JOB_ID"
unset AWS_ID_TOKEN
