from shop import Shop
from telegram import messages, send

shop = Shop({"tea": 3, "coffee": 1})
print("the shop is open", flush=True)
for chat, text in messages():
    command, _, rest = text.partition(" ")
    if command == "/list":
        send(chat, shop.listed())
    elif command == "/buy":
        send(chat, shop.sold(rest.strip()))
    else:
        send(chat, "/list shows what there is, /buy NAME takes one")
    print(f"answered {command}", flush=True)
