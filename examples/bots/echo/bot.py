"""Says back what it is told, by long polling of the Telegram Bot API."""

import json
import os
import signal
import sys
import time
import urllib.error
import urllib.request

API = os.environ.get("TELEGRAM_API", "https://api.telegram.org")
TOKEN = os.environ["BOT_TOKEN"]
POLL_SECONDS = 30


def call(method, **arguments):
    request = urllib.request.Request(
        f"{API}/bot{TOKEN}/{method}",
        json.dumps(arguments).encode(),
        {"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=POLL_SECONDS + 10) as answer:
        return json.load(answer)["result"]


def answer(message):
    text = message.get("text")
    if text:
        call("sendMessage", chat_id=message["chat"]["id"], text=text)
        print(f"echoed {text!r}", flush=True)


def main():
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    print(f"I am {call('getMe')['username']}", flush=True)
    offset = 0
    while True:
        try:
            for update in call("getUpdates", offset=offset, timeout=POLL_SECONDS):
                offset = update["update_id"] + 1
                answer(update.get("message", {}))
        except urllib.error.HTTPError as error:
            if error.code in (401, 404):
                sys.exit("the token is not accepted")
            print(f"the API answers {error.code}, trying again", file=sys.stderr, flush=True)
            time.sleep(3)
        except OSError as error:
            print(f"the API is not reached, trying again: {error}", file=sys.stderr, flush=True)
            time.sleep(3)


main()
