{% macro is_counted_anew(instant) -%}
    {%- if is_incremental() -%} {{ instant }} >= {{ figures_start() }}
    {%- else -%} true
    {%- endif -%}
{%- endmacro %}
