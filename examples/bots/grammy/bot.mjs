import { Bot } from 'grammy'

const apiRoot = process.env.TELEGRAM_API ?? 'https://api.telegram.org'
const bot = new Bot(process.env.BOT_TOKEN, { client: { apiRoot } })
const counts = new Map()

bot.on('message:text', async (context) => {
  const count = (counts.get(context.chat.id) ?? 0) + 1
  counts.set(context.chat.id, count)
  await context.reply(`message ${count}: ${context.message.text}`)
  console.log(`answered message ${count}`)
})
bot.catch(({ error }) => console.error(error))
process.once('SIGTERM', () => bot.stop())
await bot.start({ onStart: ({ username }) => console.log(`I am ${username}`) })
