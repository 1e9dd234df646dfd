#!/usr/bin/env bash
# Puts the job's $AWS_ID_TOKEN where the AWS SDKs look for it, outside the checkout. To be sourced:
# . ci/keep-id-token.sh. Who sets AWS_ROLE_ARN then takes that role, with no other credentials.
AWS_WEB_IDENTITY_TOKEN_FILE=$(mktemp)
printf '%s' "$AWS_ID_TOKEN" >"$AWS_WEB_IDENTITY_TOKEN_FILE"
export AWS_WEB_IDENTITY_TOKEN_FILE AWS_ROLE_SESSION_NAME="gitlab-$CI_JOB_ID"
unset AWS_ID_TOKEN
