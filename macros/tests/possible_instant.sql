{% test possible_instant(model, column_name) %}

-- Two queries, each with the bare column, so that BigQuery skips the partitions in between.
select {{ column_name }}
from {{ model }}
where {{ column_name }} < timestamp '1900-01-01 00:00:00+00:00'

union all

select {{ column_name }}
from {{ model }}
where {{ column_name }} >= timestamp '2100-01-01 00:00:00+00:00'

{% endtest %}
