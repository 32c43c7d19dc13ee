{% test matches(model, column_name, pattern) %}

select {{ column_name }}
from {{ model }}
where not regexp_contains({{ column_name }}, {{ sql_text(pattern) }})

{% endtest %}
