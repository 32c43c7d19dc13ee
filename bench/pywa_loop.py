"""A loop over pywa in its own process, since pywa is not part of this project.

`make bench-send PYWA=/path/to/a/python` names a Python in which pywa is installed.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import sys
import time

import httpx
import pywa
from pywa.types.templates import BodyText, TemplateLanguage


def main() -> None:
    """Send one message after another, and print the measurements."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("url")
    parser.add_argument("number")
    parser.add_argument("template")
    parser.add_argument("variables", help="names with commas between them")
    parser.add_argument("count", type=int)
    given = parser.parse_args()
    session = httpx.Client(timeout=30, trust_env=False)
    client = pywa.WhatsApp(
        phone_id=given.number, token=os.environ["WHATSAPP_TOKEN"], session=session
    )
    # pywa's constructor always uses the real address; another one can only be set afterwards.
    session.base_url = given.url
    names = [name for name in given.variables.split(",") if name]
    params = [BodyText.params(**dict.fromkeys(names, "Ana"))] if names else []
    took = []
    before = _cpu()
    for index in range(given.count):
        began = time.perf_counter()
        client.send_template(
            to=f"55219{80_000_000 + index}",
            name=given.template,
            language=TemplateLanguage("pt_BR"),
            params=params,
            use_mm_lite_api=True,
        )
        took.append(time.perf_counter() - began)
    cpu = _cpu() - before
    json.dump({"version": pywa.__version__, "took": took, "cpu": cpu}, sys.stdout)


def _cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    main()
