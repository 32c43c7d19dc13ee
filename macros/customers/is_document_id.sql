{% macro is_document_id(column) -%}
    (
        byte_length({{ column }}) between 1 and 1500
        and not regexp_contains({{ column }}, r'(?s)/|^\.{1,2}$|^__.*__$')
    )
{%- endmacro %}
