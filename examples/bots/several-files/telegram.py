"""The little of the Telegram Bot API that this bot needs."""

import json
import os
import sys
import time
import urllib.request

API = os.environ.get("TELEGRAM_API", "https://api.telegram.org")
POLL_SECONDS = 30


def call(method, **arguments):
    request = urllib.request.Request(
        f"{API}/bot{os.environ['BOT_TOKEN']}/{method}",
        json.dumps(arguments).encode(),
        {"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=POLL_SECONDS + 10) as answer:
        return json.load(answer)["result"]


def send(chat, text):
    call("sendMessage", chat_id=chat, text=text)


def messages():
    """Chat and text of each message, for ever."""
    offset = 0
    while True:
        try:
            updates = call("getUpdates", offset=offset, timeout=POLL_SECONDS)
        except OSError as error:
            print(f"the API is not reached, trying again: {error}", file=sys.stderr, flush=True)
            time.sleep(3)
            continue
        for update in updates:
            offset = update["update_id"] + 1
            message = update.get("message", {})
            if "text" in message:
                yield message["chat"]["id"], message["text"]
