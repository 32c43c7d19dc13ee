{% macro numbers_in_text(column) %}
    {#- SQL for a text with every number of a field, each between two bars: its digits, a + before
        them if one was written, and an x after them if an extension follows. -#}
    {%- set separators = "\\s().\\[\\]~_\\p{Z}\\p{Pd}" -%}
    {%- set steps = [] -%}
    {#- Invisible characters, such as in a number that was copied from a contact. -#}
    {%- do steps.append(["[\\p{Cf}\\x{FE00}-\\x{FE0F}]", ""]) -%}
    {#- 5511900000001:23@s.whatsapp.net is a phone with a device; 1234@lid and e-mails are not. -#}
    {%- do steps.append(["(?::[0-9]+)?@(?:S\\.WHATSAPP\\.NET|C\\.US)", ""]) -%}
    {%- do steps.append(["[^\\s;,|]*@[^\\s;,|]*", "|"]) -%}
    {#- A spreadsheet may change a number: 1.19900E+10 is lost, 11900000001.0 is not. -#}
    {%- do steps.append(["[0-9]+(?:[.,][0-9]+)?E[+-]?[0-9]+", "|"]) -%}
    {%- do steps.append(["([0-9]{8,14})[.,]0{1,2}([^0-9]|$)", "\\1\\2"]) -%}
    {#- Also .0 after spaces, an extension, or a letter in place of a digit. -#}
    {%- do steps.append(["([0-9])[.,]0{1,2}([^0-9]|$)", "\\1x|\\2"]) -%}
    {%- do steps.append([
        "([0-9])[\\s.,;()-]*(?:RAMAL|RML|RAM|R|EXTENS[AÃ]O|EXTENSION|EXT|X|#)[\\s.:=]*[0-9]{1,7}",
        "\\1x|",
    ]) -%}
    {%- do steps.append(["([0-9])\\p{L}", "\\1x|"]) -%}
    {#- A slash or comma separates two numbers, but not in 11/90000-0001. -#}
    {%- do steps.append(["^([^0-9]*0?[0-9]{2})[)\\s]*[/,]\\s*([0-9])", "\\1 \\2"]) -%}
    {%- do steps.append(["[^0-9+x|" ~ separators ~ "]+", "|"]) -%}
    {%- do steps.append(["\\+", "|+"]) -%}
    {#- Two numbers with only spaces between them. -#}
    {%- do steps.append([
        "(^|[^0-9])((?:55[\\s(]*)?[0(]*[1-9][0-9][\\s.)-]*(?:9[\\s.-]?)?[0-9]{4}[\\s.-]?[0-9]{4})"
        ~ "[\\s-]+(\\(?[0-9](?:[\\s().-]*[0-9]){7})",
        "\\1\\2|\\3",
    ]) -%}
    {%- do steps.append(["[" ~ separators ~ "]", ""]) -%}
    {#- People who give no number write (11) 99999-9999. -#}
    {%- do steps.append(["9{8}x?(\\||$)", "|\\1"]) -%}
    {#- Each number gets two bars of its own, so that a match leaves the next number its bar. -#}
    {%- do steps.append(["\\|", "||"]) -%}
    {%- set result = namespace(sql="upper(translate(" ~ column ~ ", '０１２３４５６７８９＋', '0123456789+'))") -%}
    {%- for pattern, replacement in steps -%}
        {%- set result.sql = (
            "regexp_replace(" ~ result.sql ~ ", r'" ~ pattern ~ "', r'" ~ replacement ~ "')"
        ) -%}
    {%- endfor -%}
    {{ return(result.sql) }}
{% endmacro %}

{% macro mobile_pattern() -%}
    {#- +55 or 00 55 or 55, then 0 or 0 and carrier, then area code and number: nine digits, or
        eight in the old form without the ninth digit. An old form with an extension is not a
        mobile. A number with + or 00 and another country code is foreign. 55 is also an area
        code. -#}
    r'(?:^|\|)(?:(?:\+|00)?55)?(?:0(?:[1-9]\d)?)?((?:1[1-9]|2[12478]|3[1-578]|4[1-9]|5[1345]|6[1-9]|7[134579]|8[1-9]|9[1-9])(?:9\d{8}x?|[6-9]\d{7}))(?:\||$)'
{%- endmacro %}

{% macro e164(mobile) -%}
    concat('+55', regexp_replace(rtrim({{ mobile }}, 'x'), r'^(\d{2})(\d{8})$', r'\19\2'))
{%- endmacro %}

{% macro normalize_phone(column) -%}
    {#- If a field has several numbers, the first mobile counts. -#}
    {{ e164("regexp_extract(" ~ numbers_in_text(column) ~ ", " ~ mobile_pattern() ~ ")") }}
{%- endmacro %}
