{% macro job_labels(node) %}
    {#- dbt shows this macro only the vars of the command line, so cnpj needs a default here. -#}
    {%- set labels = {"app": "vmhub", "cnpj": var("cnpj", "none") | lower} -%}
    {%- if node is not none -%} {%- do labels.update({"node": node.name | lower}) -%} {%- endif -%}
    {{ return(tojson(labels)) }}
{% endmacro %}
