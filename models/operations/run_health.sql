{{ config(
    materialized='incremental',
    unique_key=['hour_at', 'step'],
) }}

with

sync_runs as (
    select * from {{ source('ops', 'sync_runs') }}
    where
        cnpj = {{ sql_text(var('cnpj')) }}
        and started_at <= {{ now() }}
        and {{ is_counted_anew('started_at') }}
),

runs as (
    select * from {{ source('ops', 'runs') }}
    where
        cnpj = {{ sql_text(var('cnpj')) }}
        and started_at <= {{ now() }}
        and {{ is_counted_anew('started_at') }}
),

steps as (
    select
        started_at,
        'SYNC' as step,
        exit_code,
        rows_read,
        problems,
        documents_read,
        writes_sent,
        cast(null as int64) as queries,
        cast(null as int64) as bytes_billed,
        seconds,
        cpu_seconds
    from sync_runs

    union all

    select
        runs.started_at,
        json_value(step, '$.step') as step,
        safe_cast(json_value(step, '$.exit_code') as int64) as exit_code,
        safe_cast(json_value(step, '$.rows') as int64) as rows_read,
        cast(null as int64) as problems,
        safe_cast(json_value(step, '$.documents_read') as int64) as documents_read,
        safe_cast(json_value(step, '$.writes_sent') as int64) as writes_sent,
        safe_cast(json_value(step, '$.queries') as int64) as queries,
        safe_cast(json_value(step, '$.bytes_billed') as int64) as bytes_billed,
        safe_cast(json_value(step, '$.seconds') as float64) as seconds,
        safe_cast(json_value(step, '$.cpu_seconds') as float64) as cpu_seconds
    from runs
    cross join unnest(json_query_array(runs.steps)) as step
    -- SYNC has its own table, with more columns.
    where json_value(step, '$.step') in ('TRACK', 'DEPLOY', 'BUILD', 'FIGURES', 'OTHER')
),

hours as (
    select
        timestamp_trunc(started_at, hour) as hour_at,
        step,
        count(*) as runs,
        -- A run without an exit code did not finish.
        countif(coalesce(exit_code, 1) != 0) as failed_runs,
        sum(rows_read) as rows_read,
        sum(problems) as problems,
        sum(documents_read) as documents_read,
        sum(writes_sent) as writes_sent,
        sum(queries) as queries,
        sum(bytes_billed) as bytes_billed,
        sum(seconds) as seconds,
        max(seconds) as longest_seconds,
        sum(cpu_seconds) as cpu_seconds
    from steps
    group by hour_at, step
),

final as (
    select
        {{ sql_text(var('cnpj')) }} as cnpj,
        hour_at,
        step,
        runs,
        failed_runs,
        failed_runs / runs as error_rate,
        rows_read,
        problems,
        documents_read,
        writes_sent,
        queries,
        bytes_billed,
        seconds,
        longest_seconds,
        cpu_seconds
    from hours
)

select * from final
