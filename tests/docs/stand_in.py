"""
Stands for kubectl, helm, docker, make, kind and tilt: notes each call, keeps the Secrets, and hands them out again.

What cannot be answered ends with 1, so that a page that asks for a Secret before it makes it stops there.
"""

import base64
import json
import os
import re
import sys
import time
from collections.abc import Sequence
from http.server import HTTPServer, SimpleHTTPRequestHandler
from pathlib import Path
from typing import Any

STATE = Path(os.environ["STAND_IN_STATE"])
OF_OPERATORS = {
    "payments/sluice-postgres-ca": {"ca.crt": "CA", "ca.key": "key"},
    "payments/sluice-postgres-app": {"password": "of-owner"},
}


def main(program: str, words: Sequence[str]) -> int:
    """One call; its exit code."""
    state: Any = json.loads(STATE.read_text()) if STATE.exists() else {"calls": [], "secrets": OF_OPERATORS}
    state["calls"].append([program, *words])
    code = 0
    if program == "kubectl" and words[:2] == ["create", "secret"]:
        code = _create(state["secrets"], words[2], words[3], words[4:])
    elif program == "kubectl" and words[:2] == ["patch", "secret"]:
        state["secrets"][f"payments/{words[2]}"].update(json.loads(words[-1])["stringData"])
    elif program == "kubectl" and words[0] == "port-forward":
        _serve(int(words[-1]))
    elif program == "kubectl" and words[:2] == ["get", "secret"]:
        code = _get(state["secrets"].get(f"payments/{words[2]}", {}), words[-1])
    elif any(not Path(words[place + 1]).is_file() for place, word in enumerate(words) if word == "-f"):
        code = _refuse(f"no such file in {words}")
    STATE.write_text(json.dumps(state))
    return code


def _create(secrets: dict[str, dict[str, str]], kind: str, name: str, options: Sequence[str]) -> int:
    namespace, held, words = "payments", {}, iter(options)
    for word in words:
        option, _, value = word.partition("=")
        if option == "--namespace":
            namespace = value or next(words)
        elif option == "--from-literal":
            key, _, literal = value.partition("=")
            held[key] = literal
        elif option in {"--from-file", "--cert", "--key"}:
            key, _, path = value.rpartition("=")
            fixed = {"--cert": "tls.crt", "--key": "tls.key"}.get(option)
            held[fixed or key or Path(path).name] = Path(path).read_text()
        elif option.startswith("--docker-"):
            held[".dockerconfigjson"] = word
        elif option != "--type":
            return _refuse(f"kubectl create secret {kind} knows no {option}")
    if not all(held.values()):
        return _refuse(f"an empty value in {name}")
    secrets[f"{namespace}/{name}"] = held
    return 0


def _serve(port: int) -> None:
    """Like a pod behind it: after a moment, and for ever."""
    time.sleep(1)
    HTTPServer(("127.0.0.1", port), SimpleHTTPRequestHandler).serve_forever()


def _get(held: dict[str, str], template: str) -> int:
    (key,) = re.findall(r'index \.data "([^"]+)"|\.data\.(\w+)', template)
    value = held.get(key[0] or key[1])
    if value is None:
        return _refuse(f"no {key} in {sorted(held)}")
    encoded = base64.b64encode(value.encode()).decode()
    sys.stdout.write(value if "base64decode" in template else encoded)
    return 0


def _refuse(reason: str) -> int:
    sys.stderr.write(f"{reason}\n")
    return 1


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[0]).name, sys.argv[1:]))
