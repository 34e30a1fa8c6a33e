import json
import os
import random
import signal
import sys
import time
import urllib.request

API = os.environ.get("TELEGRAM_API", "https://api.telegram.org")
POLL_SECONDS = 30
FORTUNES = open("fortunes.txt", encoding="utf-8").read().splitlines()


def call(method, **arguments):
    request = urllib.request.Request(
        f"{API}/bot{os.environ['BOT_TOKEN']}/{method}",
        json.dumps(arguments).encode(),
        {"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=POLL_SECONDS + 10) as answer:
        return json.load(answer)["result"]


signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
print(f"{len(FORTUNES)} fortunes are ready")
offset = 0
while True:
    try:
        for update in call("getUpdates", offset=offset, timeout=POLL_SECONDS):
            offset = update["update_id"] + 1
            if "message" in update:
                call("sendMessage", chat_id=update["message"]["chat"]["id"], text=random.choice(FORTUNES))
                print("told one")
    except OSError as error:
        print(f"the API is not reached, trying again: {error}", file=sys.stderr)
        time.sleep(3)
