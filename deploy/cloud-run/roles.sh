#!/usr/bin/env bash
# Functions for the scripts next to it: they compare deploy/roles with what is granted, and bring it in line.
# They expect PROJECT and, for some kinds of resources, REGION, LOCATION and TOKENS; CNPJS is a list.

DECLARED="$(dirname "${BASH_SOURCE[0]}")/../roles"
DRIFT=0
: "${LOCATION:=southamerica-east1}" "${REGION:=}" "${TOKENS:=}"
: "${OWNERS:=}" "${OPERATORS:=}" "${AUDITORS:=}"
CHECK=
CNPJS=()
# Accounts that were just made: Google may not find them yet.
MADE=" "

address() { printf '%s@%s.iam.gserviceaccount.com' "$1" "$PROJECT"; }

sql() { bq --project_id "$PROJECT" --quiet --format csv query --use_legacy_sql=false --max_rows 100000 "$1"; }

check_cnpjs() { # CNPJ…
    local cnpj
    for cnpj in "$@"; do
        # It becomes part of statements, so check it.
        [[ $cnpj =~ ^[0-9A-Z]{12}[0-9]{2}$ ]] || { echo "'$cnpj' is not a CNPJ" >&2; exit 2; }
    done
}

has_account() { # name
    [[ $MADE == *" $1 "* ]] ||
        gcloud iam service-accounts describe "$(address "$1")" --project "$PROJECT" >/dev/null 2>&1
}

has_secret() { # name
    gcloud secrets versions describe latest --secret "$1" --project "$PROJECT" >/dev/null 2>&1
}

# The account of deploy/roles that a member is; nothing for a member that is none of ours.
account_of() { # member
    local own="@$PROJECT.iam.gserviceaccount.com"
    case $1 in
        "$OWNERS") echo owner ;;
        "$OPERATORS") echo operator ;;
        "$AUDITORS") echo auditor ;;
        serviceAccount:vmhub-*"$own")
            local name=${1#serviceAccount:vmhub-}
            name=${name%"$own"}
            if [[ $name =~ ^[0-9a-z]{12}[0-9]{2}$ ]]; then echo laundromat; else echo "$name"; fi
            ;;
    esac
}

members_of() { # account, CNPJ of the resource or nothing
    case $1 in
        owner) [[ -z $OWNERS ]] || echo "$OWNERS" ;;
        operator) [[ -z $OPERATORS ]] || echo "$OPERATORS" ;;
        auditor) [[ -z $AUDITORS ]] || echo "$AUDITORS" ;;
        laundromat)
            local cnpj
            for cnpj in "${CNPJS[@]}"; do
                if [[ -z $2 || $2 == "$cnpj" ]] && has_account "vmhub-${cnpj,,}"; then
                    echo "serviceAccount:$(address "vmhub-${cnpj,,}")"
                fi
            done
            ;;
        *) echo "serviceAccount:$(address "vmhub-$1")" ;;
    esac
}

# The lines "account role" for a resource.
declared_on() { # kind, name, CNPJ of the resource or nothing
    local account role kind pattern name
    while read -r -u 3 account role kind pattern; do
        [[ $account != "#"* && $kind == "$1" ]] || continue
        name=${pattern//"{cnpj}"/$3}
        [[ $kind != account ]] || name=${name,,}
        # Where a laundromat has its own account, only that one reaches its datasets.
        if [[ $account == run && $kind == dataset && $pattern == "{cnpj}"* ]] &&
            has_account "vmhub-${3,,}"; then
            continue
        fi
        if [[ $name == "-" || $name == "$2" ]] ||
            [[ $pattern == "{token}" && " $TOKENS " == *" $2 "* ]]; then
            echo "$account $role"
        fi
    done 3<"$DECLARED"
}

# What is granted on a resource, as lines "role<TAB>member<TAB>title of a condition".
granted_on() { # kind, name
    local read=(--project "$PROJECT" --flatten "bindings[].members")
    read+=(--format "value(bindings.role,bindings.members,bindings.condition.title)")
    case $1 in
        project) gcloud projects get-iam-policy "$PROJECT" "${read[@]:2}" ;;
        secret) gcloud secrets get-iam-policy "$2" "${read[@]}" ;;
        account) gcloud iam service-accounts get-iam-policy "$(address "$2")" "${read[@]}" ;;
        job) gcloud run jobs get-iam-policy "$2" --region "$REGION" "${read[@]}" ;;
        dataset)
            # The view must be asked about one object; a dataset's name is in object_name.
            sql "SELECT privilege_type, grantee
                 FROM \`$PROJECT\`.\`region-$LOCATION\`.INFORMATION_SCHEMA.OBJECT_PRIVILEGES
                 WHERE object_name = '$2' AND object_type = 'SCHEMA'" | tail -n +2 | tr , '\t'
            ;;
    esac
}

bind() { # add or remove, kind, name, role, member
    local options=(--member "$5" --role "$4" --quiet)
    # Without --all a binding that has a condition stays.
    if [[ $1 == remove ]]; then
        [[ $2 == job ]] || options+=(--all)
    elif [[ $2 == project ]]; then
        options+=(--condition None)
    fi
    case $2 in
        project) gcloud projects "$1-iam-policy-binding" "$PROJECT" "${options[@]}" >/dev/null ;;
        secret) gcloud secrets "$1-iam-policy-binding" "$3" --project "$PROJECT" "${options[@]}" >/dev/null ;;
        account)
            gcloud iam service-accounts "$1-iam-policy-binding" "$(address "$3")" --project "$PROJECT" \
                "${options[@]}" >/dev/null
            ;;
        job)
            gcloud run jobs "$1-iam-policy-binding" "$3" --project "$PROJECT" --region "$REGION" \
                "${options[@]}" >/dev/null
            ;;
        dataset)
            if [[ $1 == add ]]; then
                sql "GRANT \`$4\` ON SCHEMA \`$PROJECT\`.\`$3\` TO '$5'"
            else
                sql "REVOKE \`$4\` ON SCHEMA \`$PROJECT\`.\`$3\` FROM '$5'"
            fi
            ;;
    esac
}

# Compares a resource with deploy/roles, and brings it in line unless CHECK is set.
hold() { # kind, name, CNPJ of the resource or nothing
    local wanted granted account role member condition members line
    wanted=$(declared_on "$1" "$2" "${3:-}")
    granted=$(granted_on "$1" "$2")
    # Standard input is left to the commands in the loops.
    while read -r -u 3 account role; do
        [[ -n $account ]] || continue
        members=$(members_of "$account" "${3:-}")
        while read -r -u 4 member; do
            [[ -n $member ]] || continue
            # With a condition it is less than what is declared.
            line=$role$'\t'$member
            if grep -qxF -e "$line" -e "$line"$'\t' <<<"$granted"; then continue; fi
            DRIFT=1
            echo "missing: $role on $1 $2 for $member"
            [[ -n $CHECK ]] || bind add "$1" "$2" "$role" "$member"
        done 4<<<"$members"
    done 3<<<"$wanted"
    while IFS=$'\t' read -r -u 3 role member condition; do
        [[ -n $member ]] || continue
        account=$(account_of "$member")
        [[ -n $account ]] || continue
        if grep -qxF "$account $role" <<<"$wanted"; then
            # On the datasets of one laundromat, no other laundromat's account.
            [[ $account == laundromat && -n ${3:-} ]] || continue
            [[ $member != "serviceAccount:$(address "vmhub-${3,,}")" ]] || continue
        fi
        DRIFT=1
        echo "not in deploy/roles: $role on $1 $2 for $member${condition:+, if $condition}"
        # A group of people may have roles for other work, so those are only shown.
        case $account in owner | operator | auditor) continue ;; esac
        [[ -n $CHECK ]] || bind remove "$1" "$2" "$role" "$member"
    done 3<<<"$granted"
}

# All resources of laundromats.
hold_laundromats() { # CNPJ…
    local cnpj
    CNPJS=("$@")
    hold project "$PROJECT"
    hold dataset VMHUB_OPS
    for cnpj in "$@"; do
        hold dataset "${cnpj}_RAW" "$cnpj"
        hold dataset "${cnpj}_CAMPAIGN" "$cnpj"
        if has_account "vmhub-${cnpj,,}"; then
            hold account "vmhub-${cnpj,,}" "$cnpj"
        fi
    done
}

# The secrets in deploy/roles and TOKENS that exist.
hold_secrets() {
    local name
    for name in $(awk '$3 == "secret" && $4 !~ /[{]/ && !seen[$4]++ { print $4 }' "$DECLARED") $TOKENS; do
        if has_secret "$name"; then
            hold secret "$name"
        fi
    done
}
