import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setImmediate } from 'node:timers/promises'
import { place } from '../attempts/attempt-fixture.ts'
import { BotServices } from './bot-services.ts'

const never = () => Promise.reject(new Error('not in this test'))
const servicesWith = (env: NodeJS.ProcessEnv) =>
  new BotServices({
    stateDir: place().path,
    env,
    connect: never,
    prepareImage: never,
    fetchUpload: never,
    sendData: never,
  })

/** Lets what was asked for a turn have it. */
async function settled(): Promise<void> {
  for (let i = 0; i < 5; i++) await setImmediate()
}

test('so many images are built at once, owners take turns, and one that waits is told so', async () => {
  const services = servicesWith({ ERRAND_BUILDS: '2' })
  const going: string[] = []
  const told: string[] = []
  const turns: Disposable[] = []
  const ask = (name: string) => {
    const tell = (line: string) => void told.push(`${name}: ${line}`)
    void services.buildTurn(name[0]!, new AbortController().signal, tell).then((turn) => {
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
    told.find((line) => line.startsWith('cem 1')),
    'cem 1: It waits for its turn: this runner builds 2 images at once.',
  )
  assert.ok(!told.some((line) => line.startsWith('ann 1')))
})

test('a build that is given up while it waits holds nobody up', async () => {
  const services = servicesWith({ ERRAND_BUILDS: '1' })
  const first = await services.buildTurn('ann', new AbortController().signal, () => {})
  const halt = new AbortController()
  const given = services.buildTurn('bob', halt.signal, () => {})
  const next = services.buildTurn('cem', new AbortController().signal, () => {})
  halt.abort(new Error('given up'))
  await assert.rejects(given, /given up/)
  await assert.rejects(
    services.buildTurn('dia', halt.signal, () => {}),
    /given up/,
  )
  first[Symbol.dispose]()
  ;(await next)[Symbol.dispose]()
})
