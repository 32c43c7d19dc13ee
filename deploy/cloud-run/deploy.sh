#!/usr/bin/env bash
# Deploys the hourly run and the alerts as Cloud Run jobs, each with its schedule, and the sender as a
# worker pool. Alerts and the sender need secrets first, and are left out without them. Safe to repeat:
# it updates what exists, and deletes nothing but roles of vmhub's service accounts that are not in
# deploy/roles. A new account may not be known everywhere at once; if a role cannot be granted for that
# reason, run this again.
#
#   PROJECT=my-project REGION=southamerica-east1 IMAGE=… deploy/cloud-run/deploy.sh
#
#   PROJECT   the Google Cloud project of BigQuery, Firestore and the jobs
#   REGION    of the jobs and their schedules
#   IMAGE     the image that was pushed, with its tag or digest
#   LOCATION  of BigQuery's datasets, default southamerica-east1
#   TASKS     shards that run at the same time, default 1
#   TOKENS    names of the secrets that hold WhatsApp's access tokens, with spaces between them
#   IMPERSONATE  the accounts that accounts.sh makes, 'vmhub-{cnpj}@my-project.iam.gserviceaccount.com',
#             once every laundromat has one; default: the job's own account
#   OWNERS, OPERATORS, AUDITORS  people: grant.sh
#   JOBS      laundromats in parallel within a shard, default 4; more need more memory in run.yaml
set -euo pipefail
cd "$(dirname "$0")"

: "${PROJECT:?the Google Cloud project}" "${REGION:?of the jobs}" "${IMAGE:?the image to run}"
: "${LOCATION:=southamerica-east1}" "${TASKS:=1}" "${JOBS:=4}" "${TOKENS:=}" "${IMPERSONATE:=}"

# shellcheck source=deploy/cloud-run/roles.sh
source ./roles.sh

account() { # name, what it is for
    has_account "$1" ||
        gcloud iam service-accounts create "$1" --project "$PROJECT" --display-name "$2"
}

replace() { # file with ${…} to be filled in, what it describes…
    local text name rendered region=(--region "$REGION")
    # A worker pool takes its region from the label in the file, and the command has no such option.
    [[ $* != *worker-pools* ]] || region=()
    text=$(<"$1")
    shift
    for name in PROJECT REGION IMAGE LOCATION TASKS JOBS IMPERSONATE; do
        text=${text//"\${$name}"/${!name}}
    done
    rendered=$(mktemp)
    printf '%s\n' "$text" >"$rendered"
    gcloud "$@" replace "$rendered" --project "$PROJECT" "${region[@]}"
    rm -f "$rendered"
}

clock() { # job, cron expression in UTC
    local verb=create
    hold job "$1"
    if gcloud scheduler jobs describe "$1" --project "$PROJECT" --location "$REGION" \
        >/dev/null 2>&1; then
        verb=update
    fi
    # The API only starts an execution and answers at once; a failed start is retried.
    gcloud scheduler jobs "$verb" http "$1" --project "$PROJECT" --location "$REGION" \
        --schedule "$2" --time-zone Etc/UTC --http-method POST \
        --uri "https://$REGION-run.googleapis.com/apis/run.googleapis.com/v1/namespaces/$PROJECT/jobs/$1:run" \
        --oauth-service-account-email "$(address vmhub-scheduler)" --max-retry-attempts 3
}

gcloud services enable run.googleapis.com cloudscheduler.googleapis.com \
    secretmanager.googleapis.com bigquery.googleapis.com bigquerystorage.googleapis.com \
    firestore.googleapis.com --project "$PROJECT"

account vmhub-run "The hourly run of VMHub campaigns"
account vmhub-send "The sender of VMHub campaigns"
account vmhub-webhook "The webhook of VMHub campaigns"
account vmhub-alert "The alerts of VMHub campaigns"
account vmhub-scheduler "Begins the jobs of VMHub campaigns"

# What deploy/roles says; grant.sh holds the datasets.
hold project "$PROJECT"
hold_secrets

replace run.yaml run jobs
clock vmhub-run "5 * * * *"

if has_secret vmhub-phone-key; then
    replace send.yaml beta run worker-pools
else
    echo "No sender: there is no secret vmhub-phone-key yet, a random text. Make it, then run this again:" >&2
    echo "  openssl rand -hex 32 | gcloud secrets create vmhub-phone-key --project $PROJECT --data-file=-" >&2
fi

if has_secret vmhub-alert-urls; then
    replace alert.yaml run jobs
    clock vmhub-alert "35 * * * *"
else
    echo "No alerts: there is no secret vmhub-alert-urls yet. Make it, then run this again:" >&2
    echo "  gcloud secrets create vmhub-alert-urls --project $PROJECT --data-file=-" >&2
fi
