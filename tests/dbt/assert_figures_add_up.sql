-- One test for all rules, as at the gate: each query is billed 10 MiB for every table it names.
{{ config(tags=['daily']) }}

with

final as (
    select
        campaign_type,
        template_variant,
        business_date
    from {{ ref('campaign_performance') }}
    where
        sent + failed != attempts
        or delivered > sent
        or read > delivered
        or replied > sent
        or failed != (
            failed_temporary
            + failed_deferred
            + failed_opted_out
            + failed_unreachable
            + failed_content
            + failed_sender
            + failed_unknown
        )
)

select * from final
