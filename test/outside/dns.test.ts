import assert from 'node:assert/strict'
import { createSocket, type RemoteInfo, type Socket } from 'node:dgram'
import { Resolver } from 'node:dns/promises'
import { once } from 'node:events'
import test, { type TestContext } from 'node:test'
import { forgeFetch } from '../../src/runner/git/policy-fetch.ts'
import { boundedLookup } from '../../src/runner/git/server-addresses.ts'
import { eventually } from '../support/errand-command.ts'
import { webStandIn } from '../support/notify/channel-stand-ins.ts'
import { hubPlace } from '../support/outside/hub-place.ts'
import type { Manner } from '../support/outside/manners.ts'
import { throughManners } from '../support/outside/through-manners.ts'

const LIMIT_MS = 500

/** A name server that resolves every name to 127.0.0.1. How it fails can be changed at any time. */
class NameServer {
  asked = 0
  #manner: Manner | 'well' = 'well'
  #socket: Socket | undefined
  #port = 0
  readonly #held: (() => void)[] = []

  get address(): string {
    return `127.0.0.1:${this.#port}`
  }

  async set(manner: Manner | 'well'): Promise<void> {
    this.#manner = manner
    if (manner === 'refuses') await this.close()
    else if (this.#socket === undefined) await this.#open()
  }

  release(): void {
    for (const send of this.#held.splice(0)) send()
  }

  async close(): Promise<void> {
    const socket = this.#socket
    this.#socket = undefined
    if (socket === undefined) return
    socket.close()
    await once(socket, 'close')
  }

  async #open(): Promise<void> {
    const socket = createSocket('udp4', (question, from) => this.#take(question, from))
    socket.bind(this.#port, '127.0.0.1')
    await once(socket, 'listening')
    this.#port = socket.address().port
    this.#socket = socket
  }

  #take(question: Buffer, { port, address }: RemoteInfo): void {
    this.asked++
    const send = (bytes: Buffer) => this.#socket?.send(bytes, port, address)
    // Repeats the question and adds one answer: a pointer to its name, A, IN, 60 s, four bytes.
    const answer = Buffer.concat([question, Buffer.from('c00c000100010000003c00047f000001', 'hex')])
    answer.writeUInt16BE(0x8180, 2)
    answer.writeUInt16BE(1, 6)
    answer.writeUInt16BE(0, 10)
    const sent: Partial<Record<Manner | 'well', Buffer>> = {
      well: answer,
      stops_midway: answer.subarray(0, question.length + 6),
      page: Buffer.from('HTTP/1.1 200 OK\r\n\r\n<h1>Please sign in</h1>'),
      garbage: Buffer.from([0xff, 0x13]),
    }
    const bytes = sent[this.#manner]
    if (bytes !== undefined) send(bytes)
    else if (this.#manner === 'late') this.#held.push(() => send(answer))
    // It goes away after it has received the question.
    else if (this.#manner === 'cut') void this.close()
  }
}

async function nameServer(t: TestContext): Promise<NameServer> {
  const server = new NameServer()
  await server.set('well')
  t.after(() => server.close())
  return server
}

test('a name server fails in every way; what needs a name waits, and continues once it answers', async (t) => {
  const names = await nameServer(t)
  const place = await webStandIn(t)
  const resolver = new Resolver({ timeout: 10_000, tries: 2 })
  resolver.setServers([names.address])
  const look = boundedLookup((host) => resolver.resolve4(host), LIMIT_MS)
  const host = `chat.test:${new URL(place.url).port}`
  const fetch = forgeFetch(`http://${host}`, 'ERRAND_NOTIFY_ALLOW', look)(undefined)
  const { client, run, works, failing } = await hubPlace(t, {
    hub: { notify: { fetch, retryMs: 100 } },
  })
  await client.channels.add({ kind: 'webhook', url: `http://${host}/hook`, tells: ['failures'] })
  const view = async () => (await client.channels.list()).channels[0]!
  let runId = ''
  await throughManners(t, 'dns', {
    front: names,
    works,
    async spoiled(manner) {
      const beganMs = Date.now()
      names.asked = 0
      runId = (await run({ name: 'fails', cmd: 'exit 3' })).run_id
      const [one] = await eventually('the host to be named', async () => {
        const all = await failing(host)
        return all.length > 0 && all
      })
      assert.ok(Date.parse(one!.since) >= beganMs)
      assert.match(one!.message, /The address of chat\.test cannot be found: /)
      assert.equal((await view()).waiting, 1)
      if (manner !== 'refuses') assert.ok(names.asked > 0)
    },
    async mended() {
      await eventually('the notice', () => place.received.some(({ body }) => body.includes(runId)))
      await eventually('it to be healthy', async () => (await failing(host)).length === 0)
    },
  })
})
