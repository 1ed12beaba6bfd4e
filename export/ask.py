"""Asks a served model: python export/ask.py "a text" "another" (needs Python, nothing else)."""

import argparse
import json
import sys
import urllib.error
import urllib.request

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("texts", nargs="+")
parser.add_argument("--url", default="http://127.0.0.1:8501/v1/models/bert")
arguments = parser.parse_args()
body = json.dumps({"instances": arguments.texts}).encode()
try:
    with urllib.request.urlopen(f"{arguments.url}:predict", data=body, timeout=60) as reply:
        for text, answer in zip(arguments.texts, json.load(reply)["predictions"], strict=True):
            print(f"{text}\t{json.dumps(answer, ensure_ascii=False)}")
except urllib.error.HTTPError as error:
    sys.exit(f"the server refuses: {json.load(error)['error']}")
except urllib.error.URLError as error:
    sys.exit(f"no server at {arguments.url}: {error.reason}")
