import assert from 'node:assert/strict'
import { once } from 'node:events'
import { Readable } from 'node:stream'
import { test } from 'node:test'
import { setImmediate } from 'node:timers/promises'
import { place, until } from '../../../test/support/runner/attempt-fixture.ts'
import type { DockerEngine } from '../docker/docker-engine.ts'
import { answerData, dataVolume, ownerText } from './bot-data.ts'
import { BotServices } from './bot-services.ts'

const never = () => Promise.reject(new Error('not in this test'))
const servicesWith = (env: NodeJS.ProcessEnv, more: Partial<BotServices['options']> = {}) =>
  new BotServices({
    stateDir: place().path,
    env,
    connect: never,
    prepareImage: never,
    fetchUpload: never,
    sendData: never,
    ...more,
  })

/** Lets pending requests for a turn proceed. */
async function settled(): Promise<void> {
  for (let i = 0; i < 5; i++) await setImmediate()
}

test('the number of parallel builds is limited, owners take turns, and a waiting build learns that it waits', async () => {
  const services = servicesWith({ ERRAND_BUILDS: '2' })
  const going: string[] = []
  const reported: string[] = []
  const turns: Disposable[] = []
  const ask = (name: string) => {
    const report = (line: string) => void reported.push(`${name}: ${line}`)
    void services.buildTurn(name[0]!, new AbortController().signal, report).then((turn) => {
      going.push(name)
      turns.push(turn)
    })
  }
  for (const name of ['ann 1', 'ann 2', 'ann 3', 'ann 4', 'bob 1']) ask(name)
  await settled()
  assert.deepEqual(going, ['ann 1', 'bob 1'])
  turns.shift()![Symbol.dispose]()
  await settled()
  assert.deepEqual(going, ['ann 1', 'bob 1', 'ann 2'])
  ask('cem 1')
  turns.shift()![Symbol.dispose]()
  turns.shift()![Symbol.dispose]()
  await settled()
  assert.deepEqual(going.slice(3).sort(), ['ann 3', 'cem 1'])
  assert.equal(
    reported.find((line) => line.startsWith('cem 1')),
    'cem 1: Waiting for other builds: this runner builds at most 2 images at once.',
  )
  assert.ok(!reported.some((line) => line.startsWith('ann 1')))
})

test('a build that is aborted while it waits blocks no other', async () => {
  const services = servicesWith({ ERRAND_BUILDS: '1' })
  const first = await services.buildTurn('ann', new AbortController().signal, () => {})
  const halt = new AbortController()
  const granted = services.buildTurn('bob', halt.signal, () => {})
  const next = services.buildTurn('cem', new AbortController().signal, () => {})
  halt.abort(new Error('given up'))
  await assert.rejects(granted, /given up/)
  await assert.rejects(
    services.buildTurn('dia', halt.signal, () => {}),
    /given up/,
  )
  first[Symbol.dispose]()
  ;(await next)[Symbol.dispose]()
})

test('a tar far longer than the data limit is ended with both numbers', async () => {
  const gb = 1024 ** 3
  const block = Buffer.alloc(1024 ** 2)
  let tarBytes = 0
  function* tar() {
    for (let left = tarBytes; left > 0; left -= block.length) yield block
  }
  let sentBytes = 0
  const ask = { what: 'export', bot_id: 'keeper', owner: 'ann', tenant: 'default' } as const
  const volume = { name: '' }
  const engine = { volumes: async () => [volume], readVolume: async () => Readable.from(tar()) }
  const services = servicesWith(
    {},
    {
      connect: async () => engine as unknown as DockerEngine,
      async sendData(_, make) {
        sentBytes = 0
        for await (const chunk of await make()) sentBytes += chunk.length
      },
    },
  )
  volume.name = dataVolume({ runner: services.runner, owner: ownerText(ask), bot: ask.bot_id })
  const exported = async (bytes: number, limit_bytes?: number) => {
    tarBytes = bytes
    return await answerData('a', { ...ask, limit_bytes }, services, new AbortController().signal)
  }
  assert.deepEqual(await exported(gb, gb / 1024), { exists: true })
  assert.equal(sentBytes, gb)
  const { error } = await exported(3 * gb, gb / 1024)
  assert.equal(error?.code, 'quota_exceeded')
  assert.match(error!.message, /for a data limit of 1 MB, a tar may have at most 1 GB/)
  assert.equal(sentBytes, gb)
  // A hub of an earlier version sends no limit.
  assert.deepEqual(await exported(2 * gb), { exists: true })
  assert.deepEqual(await exported(2 * gb, gb / 4), { exists: true })
})

test('each allowed destination that bots cannot reach is reported with the reason, until that is fixed', async (t) => {
  let fault: Error | undefined = new Error('No address was found for db.internal')
  const engine = {
    prepareNetwork: async () => {
      if (fault !== undefined) throw fault
    },
    releaseNetwork: async () => undefined,
    ping: async () => undefined,
    close: () => undefined,
    async *events(_: unknown, signal: AbortSignal) {
      yield { type: 'open' }
      await once(signal, 'abort')
    },
  }
  const services = servicesWith(
    {},
    { connect: async () => engine as unknown as DockerEngine, networkLookMs: 10 },
  )
  t.after(() => services.close())
  services.presence()
  services.live.set('one', {}, { soon: false })
  const reported: unknown[] = []
  services.live.onNews((bots) => reported.push(...bots.map(({ cannot_reach }) => cannot_reach)))
  await until(() => reported.length > 0)
  fault = undefined
  await until(() => reported.length > 1)
  assert.deepEqual(reported, ['No address was found for db.internal', undefined])
})
