import asyncio
import os

from aiogram import Bot, Dispatcher, F
from aiogram.client.session.aiohttp import AiohttpSession
from aiogram.client.telegram import TelegramAPIServer
from aiogram.types import Message

dispatcher = Dispatcher()


@dispatcher.message(F.text)
async def louder(message: Message) -> None:
    await message.answer(message.text.upper())
    print("answered", flush=True)


async def main() -> None:
    api = TelegramAPIServer.from_base(os.environ.get("TELEGRAM_API", "https://api.telegram.org"))
    async with Bot(os.environ["BOT_TOKEN"], session=AiohttpSession(api=api)) as bot:
        print(f"I am {(await bot.me()).username}", flush=True)
        await dispatcher.start_polling(bot)


asyncio.run(main())
