import assert from 'node:assert/strict'
import test from 'node:test'
import { oneStep, testingHub } from '../../../test/support/hub/hub-fixture.ts'
import { RunSummary } from '../../contract/run.ts'

interface Message {
  id: string
  event: string
  data: string
}

/** Reads messages until one is as wanted; answers all up to it. */
async function reader(url: string, token: string, headers: Record<string, string> = {}) {
  const stop = new AbortController()
  const response = await fetch(url, {
    headers: { authorization: `Bearer ${token}`, ...headers },
    signal: stop.signal,
  })
  assert.equal(response.status, 200)
  assert.match(response.headers.get('content-type')!, /^text\/event-stream/)
  const texts = response.body!.pipeThrough(new TextDecoderStream()).getReader()
  let rest = ''
  const ready: Message[] = []
  const until = async (wanted: (message: Message) => boolean): Promise<Message[]> => {
    const found: Message[] = []
    for (;;) {
      while (ready.length > 0) {
        found.push(ready.shift()!)
        if (wanted(found.at(-1)!)) return found
      }
      const { value, done } = await texts.read()
      assert.ok(!done, `ended after ${JSON.stringify(found)}`)
      const parts = (rest + value).split('\n\n')
      rest = parts.pop()!
      for (const part of parts.filter((each) => !each.startsWith(':')))
        ready.push(
          Object.fromEntries(
            part.split('\n').map((line) => [line.split(': ', 1)[0], line.slice(line.indexOf(': ') + 2)]),
          ) as unknown as Message,
        )
    }
  }
  return { until, close: () => stop.abort() }
}

const runOf = ({ data }: Message) => RunSummary.parse(JSON.parse(data))

test('a stream tells of each run of its user as lists show it, and goes on where it was left', async (t) => {
  const hub = await testingHub(t)
  const [ann, bob, boss] = [await hub.user('ann'), await hub.user('bob'), await hub.user('boss', 'admin')]
  const eve = await hub.user('eve', 'admin', 'elsewhere')
  const url = `${hub.url}/api/events?topics=runs`
  const readers = await Promise.all([ann, bob, boss, eve].map(({ token }) => reader(url, token)))
  const [ofAnn, ofBob, ofBoss, ofEve] = readers as [(typeof readers)[0], ...typeof readers]
  t.after(() => readers.map(({ close }) => close()))
  assert.deepEqual(
    (await ofAnn.until(() => true)).map(({ event }) => event),
    ['start'],
  )
  const create = async (owner: string, tenant = 'default') =>
    (await hub.engine.submit({ yaml: oneStep('say hi'), owner, tenant })).run_id
  const ended = (id: string) => (message: Message) =>
    message.event === 'run' && runOf(message).run_id === id && runOf(message).status === 'success'
  const [annsId, bobsId, evesId] = [
    await create('ann'),
    await create('bob'),
    await create('eve', 'elsewhere'),
  ]
  const seen = await ofAnn.until(ended(annsId))
  await ofBob!.until(ended(bobsId))
  await ofEve!.until(ended(evesId))
  await ofBoss!.until(ended(bobsId))
  const listed = (await hub.call('GET', '/api/runs', ann.token)).json.runs[0]
  assert.deepEqual(JSON.parse(seen.at(-1)!.data), listed)

  const next = await create('ann')
  const more = await ofAnn.until(ended(next))
  const ids = (messages: Message[]) => new Set(messages.map((each) => runOf(each).run_id))
  assert.deepEqual(ids([...seen, ...more].filter(({ event }) => event === 'run')), new Set([annsId, next]))

  const again = await reader(`${url}&after=${encodeURIComponent(seen.at(-1)!.id)}`, ann.token)
  t.after(again.close)
  const resumed = await again.until(ended(next))
  assert.equal(resumed[0]!.event, 'start')
  assert.deepEqual(ids(resumed.slice(1)), new Set([next]))
  const lost = await reader(url, ann.token, { 'last-event-id': 'of-another-hub.7' })
  t.after(lost.close)
  assert.equal((await lost.until(() => true))[0]!.event, 'reset')
})

test('a stream ends with the session that opened it', async (t) => {
  const hub = await testingHub(t, { apiLimits: { keepAliveMs: 20 } })
  await hub.user('ann', 'user', 'default', 'first password')
  const login = { username: 'ann', password: 'first password', cookie: true }
  const answer = await hub.call('POST', '/api/auth/login', undefined, login)
  const cookie = answer.headers.get('set-cookie')!.split(';')[0]!
  const response = await fetch(`${hub.url}/api/events`, { headers: { cookie } })
  assert.equal(response.status, 200)
  const texts = response.text()
  const headers = { cookie, 'x-errand-csrf': answer.json.csrf }
  assert.equal((await hub.call('POST', '/api/auth/logout', undefined, undefined, headers)).status, 204)
  assert.match(await texts, /event: start[\s\S]*event: error\ndata: .*unauthorized/)
})
