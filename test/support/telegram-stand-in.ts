import assert from 'node:assert/strict'
import { createServer, type IncomingMessage } from 'node:http'
import { networkInterfaces } from 'node:os'
import { text } from 'node:stream/consumers'
import type { TestContext } from 'node:test'
import { eventually } from './errand-command.ts'

interface Message {
  chat: number
  text: string
}
interface Update {
  update_id: number
  message: object
}

/** A stand-in for the Telegram Bot API. It supports what a bot needs that polls for messages and answers them. */
export interface TelegramStandIn {
  /** The address for bots: an address of this machine that is not loopback. */
  url: string
  /** The value for ERRAND_BOT_ALLOW, `HOST:PORT`. */
  place: string
  /** Sends a person's message to the bot with this token. */
  write(token: string, message: Message): void
  /** Returns what bots with this token have sent to the chat, in order. */
  sent(token: string, chat: number): string[]
  /** Sends a message to the bot and waits for its answer. */
  ask(token: string, message: Message): Promise<string>
}

export async function startTelegramStandIn(t: TestContext): Promise<TelegramStandIn> {
  const updates = new Map<string, Update[]>()
  const sent: (Message & { token: string })[] = []
  const wake = new Set<() => void>()
  let lastId = 0
  const updatesOf = (token: string): Update[] => updates.get(token) ?? []

  /** Returns the updates from `offset` on. Waits for one, and forgets the older ones, as Telegram does. */
  const getUpdates = async (token: string, { offset = 0, limit = 100, timeout = 0 }) => {
    const untilMs = Date.now() + timeout * 1000
    for (;;) {
      const found = updatesOf(token).filter(({ update_id }) => update_id >= offset)
      updates.set(token, found)
      const leftMs = untilMs - Date.now()
      if (found.length > 0 || leftMs <= 0) return found.slice(0, limit)
      await new Promise<void>((resolve) => {
        const timer = setTimeout(done, leftMs)
        function done(): void {
          clearTimeout(timer)
          wake.delete(done)
          resolve()
        }
        wake.add(done)
      })
      if (!server.listening) return []
    }
  }

  const answer = async (token: string, method: string, fields: Record<string, unknown>): Promise<unknown> => {
    const number = (name: string) => (fields[name] === undefined ? undefined : Number(fields[name]))
    switch (method) {
      case 'getme':
        return { id: 1, is_bot: true, first_name: 'Stand-in', username: 'stand_in_bot' }
      case 'deletewebhook':
        return true
      case 'getupdates':
        return await getUpdates(token, {
          offset: number('offset'),
          limit: number('limit'),
          timeout: number('timeout'),
        })
      case 'sendmessage': {
        const message = { token, chat: number('chat_id')!, text: String(fields.text) }
        sent.push(message)
        return messageOf(sent.length, message)
      }
    }
    return undefined
  }

  const server = createServer((request, response) => {
    void (async () => {
      const [, token, method] = /^\/bot([^/]+)\/(\w+)/.exec(request.url!) ?? []
      const result =
        token && method && (await answer(token, method.toLowerCase(), await argumentsOf(request)))
      response.writeHead(result === undefined ? 404 : 200, { 'content-type': 'application/json' })
      response.end(
        JSON.stringify(
          result === undefined
            ? { ok: false, error_code: 404, description: 'Not Found' }
            : { ok: true, result },
        ),
      )
    })()
  })
  t.after(async () => {
    const closed = new Promise((resolve) => server.close(resolve))
    for (const each of wake) each()
    server.closeAllConnections()
    await closed
  })
  await new Promise<void>((resolve) => server.listen(0, '0.0.0.0', resolve))
  const { port } = server.address() as { port: number }
  const place = `${ownAddress()}:${port}`

  const standIn: TelegramStandIn = {
    url: `http://${place}`,
    place,
    write(token, message) {
      const id = ++lastId
      updates.set(token, [...updatesOf(token), { update_id: id, message: messageOf(id, message) }])
      for (const each of wake) each()
    },
    sent: (token, chat) =>
      sent.filter((each) => each.token === token && each.chat === chat).map(({ text }) => text),
    async ask(token, message) {
      const before = standIn.sent(token, message.chat).length
      standIn.write(token, message)
      return await eventually('the answer of the bot', () => standIn.sent(token, message.chat)[before])
    },
  }
  return standIn
}

/** Reads the arguments from JSON, a form, or the address. */
async function argumentsOf(request: IncomingMessage): Promise<Record<string, unknown>> {
  const body = await text(request)
  const query = Object.fromEntries(new URL(request.url!, 'http://any').searchParams)
  if (body === '') return query
  return /json/.test(request.headers['content-type'] ?? '')
    ? { ...query, ...JSON.parse(body) }
    : { ...query, ...Object.fromEntries(new URLSearchParams(body)) }
}

const messageOf = (id: number, { chat, text }: Message) => ({
  message_id: id,
  date: Math.floor(Date.now() / 1000),
  chat: { id: chat, type: 'private', first_name: 'Anna' },
  from: { id: chat, is_bot: false, first_name: 'Anna' },
  text,
  ...(text.startsWith('/') && {
    entities: [{ type: 'bot_command', offset: 0, length: text.split(' ')[0]!.length }],
  }),
})

/** Returns an address of this machine that containers can reach if they may. */
export function ownAddress(): string {
  const found = Object.entries(networkInterfaces())
    .filter(([name]) => !/^(docker|br-|errand-|veth)/.test(name))
    .flatMap(([, addresses]) => addresses ?? [])
    .find(({ family, internal }) => family === 'IPv4' && !internal)
  assert.ok(found, 'this machine has an address')
  return found.address
}
