#!/usr/bin/env bash
# Grants what deploy/roles says on the project, the secrets and laundromats' datasets, and revokes from vmhub's
# service accounts what it does not say. Run it for each laundromat, after `vmhub onboard`, as an owner of the
# project and the datasets. Safe to repeat. --check changes nothing: it shows every difference, and ends with 3
# if there is one.
#
#   PROJECT=my-project deploy/cloud-run/grant.sh [--check] 12ABC34501DE35 11222333000181
#
#   LOCATION  of BigQuery's datasets, default southamerica-east1
#   TOKENS    names of the secrets that hold WhatsApp's access tokens, with spaces between them
#   OWNERS, OPERATORS, AUDITORS  people: one group each, as group:owners@example.com; default: none
#   REGION    of the jobs, whose roles deploy.sh grants; with it, --check looks at them too
set -euo pipefail

: "${PROJECT:?the Google Cloud project}"
is_check=
if [[ ${1:-} == --check ]]; then
    is_check=yes
    shift
fi
[[ $# -gt 0 ]] || { echo "pass the CNPJs of the laundromats" >&2; exit 2; }
# shellcheck source=deploy/cloud-run/roles.sh
source "$(dirname "$0")/roles.sh"
check_cnpjs "$@"
CHECK=$is_check

hold_laundromats "$@"
hold_secrets
if [[ -n $CHECK ]]; then
    if [[ -n $REGION ]]; then
        hold job vmhub-run
        if has_secret vmhub-alert-urls; then
            hold job vmhub-alert
        fi
    fi
    [[ $DRIFT == 0 ]] || exit 3
    echo "As in deploy/roles."
fi
