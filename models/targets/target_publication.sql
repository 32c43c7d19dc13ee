-- Written after campaign_targets and only when it was: an empty campaign_targets has no row that
-- could say how old it is.
-- depends_on: {{ ref('campaign_targets') }}
select
    '{{ var("cnpj") }}' as cnpj,
    {{ now() }} as built_at
