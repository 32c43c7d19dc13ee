{% macro local_now() %}
    {{ return(run_instant().astimezone(modules.pytz.timezone(var("timezone")))) }}
{% endmacro %}
