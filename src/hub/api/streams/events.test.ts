import assert from 'node:assert/strict'
import test from 'node:test'
import { oneStep, testingHub } from '../../../../test/support/hub/hub-fixture.ts'
import { RunSummary } from '../../../contract/run.ts'
import { TopicEvent, TopicNews } from '../../../contract/run-api.ts'
import { TaskSummary } from '../../../contract/tasks/task-api.ts'

const json = { accept: 'application/json' }

interface Message {
  id: string
  event: string
  data: string
}

/** Opens a reader that reads messages until one matches, and returns all up to it. */
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
  const until = async (isReached: (message: Message) => boolean): Promise<Message[]> => {
    const found: Message[] = []
    for (;;) {
      while (ready.length > 0) {
        found.push(ready.shift()!)
        if (isReached(found.at(-1)!)) return found
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

test('a stream shows each run of its user as lists do, and resumes where it stopped', async (t) => {
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
  const begun = await lost.until(({ event }) => event === 'reset')
  assert.deepEqual(
    begun.map(({ event }) => event),
    ['start', 'reset'],
  )
})

test('a stream includes runs of others only while they are shared with its user', async (t) => {
  const hub = await testingHub(t)
  const [ann, bob, cid] = [await hub.user('ann'), await hub.user('bob'), await hub.user('cid')]
  const boss = await hub.user('boss', 'admin')
  const far = await hub.user('eve', 'admin', 'elsewhere')
  const url = `${hub.url}/api/events?topics=runs`
  const readers = await Promise.all([bob, cid, boss, far].map(({ token }) => reader(url, token)))
  const [ofBob, ofCid, ofBoss, ofFar] = readers as [(typeof readers)[0], ...typeof readers]
  t.after(() => readers.map(({ close }) => close()))
  const hold = async () =>
    (await hub.engine.submit({ yaml: oneStep('hold'), owner: 'ann', tenant: 'default' })).run_id
  const [run, secret] = [await hold(), await hold()]
  const shares = (method: string, path = '', body?: object) =>
    hub.call(method, `/api/runs/${run}/shares${path}`, ann.token, body)
  await shares('PUT', '', { user: 'bob' })
  const first = await ofBob.until(({ event }) => event === 'shared')
  const listed = (await hub.call('GET', '/api/runs?shared=true', bob.token)).json.runs
  assert.deepEqual(JSON.parse(first.at(-1)!.data), listed[0])

  await shares('PUT', '', { role: 'admin' })
  await ofBoss!.until(({ event, data }) => event === 'shared' && data.includes(run))
  await shares('DELETE', '?user=bob')
  const more = await ofBob.until(({ event }) => event === 'unshared')
  assert.deepEqual(JSON.parse(more.at(-1)!.data), { run_id: run })
  // From here on bob gets nothing about this run: the next message is about his own.
  await hub.engine.cancel(run, { by: 'ann' })
  await hub.engine.done(run)
  await ofBoss!.until(({ event, data }) => event === 'shared' && data.includes('"canceled"'))
  const ended = (id: string) => (message: Message) =>
    message.event === 'run' && runOf(message).run_id === id && runOf(message).status === 'success'
  const own = async (owner: string, tenant = 'default') =>
    (await hub.engine.submit({ yaml: oneStep('say hi'), owner, tenant })).run_id
  const [bobs, cids, fars] = [await own('bob'), await own('cid'), await own('eve', 'elsewhere')]
  for (const [one, id] of [[ofBob, bobs] as const, [ofCid!, cids] as const, [ofFar!, fars] as const]) {
    const received = (await one.until(ended(id))).filter(({ event }) => event !== 'start')
    assert.ok(
      received.every(({ data }) => data.includes(id)),
      JSON.stringify(received),
    )
  }
  // The shares of a run whose log is over are announced too.
  await shares('DELETE', '?role=admin')
  await ofBoss!.until(({ event, data }) => event === 'unshared' && data.includes(run))
  await hub.engine.cancel(secret, { by: 'ann' })
})

const eventOf = ({ data }: Message) => TopicEvent.parse(JSON.parse(data))

test('one stream delivers the logs of several runs, which can be added and dropped, each from a seq', async (t) => {
  const hub = await testingHub(t, { apiLimits: { keepAliveMs: 20 } })
  const ann = await hub.user('ann')
  const bob = await hub.user('bob')
  const eve = await hub.user('eve', 'admin', 'elsewhere')
  const create = async (cmd: string, owner = 'ann') =>
    (await hub.engine.submit({ yaml: oneStep(cmd), owner, tenant: 'default' })).run_id
  const [first, second, bobs] = [
    await create('say one'),
    await create('say two'),
    await create('hold', 'bob'),
  ]
  await Promise.all([hub.engine.done(first), hub.engine.done(second)])
  const log = (await hub.call('GET', `/api/runs/${first}/events`, ann.token, undefined, json)).json
  const stream = await reader(`${hub.url}/api/events?topics=run:${first}@2,run:${bobs}`, ann.token)
  t.after(stream.close)
  const [start, ...begun] = await stream.until(({ event, data }) => event === 'topic' && data.includes('end'))
  const { stream: id } = JSON.parse(start!.data)
  const news = begun
    .filter(({ event }) => event === 'topic')
    .map(({ data }) => TopicNews.parse(JSON.parse(data)))
  assert.deepEqual(
    news.map(({ topic, state, error }) => [topic, state, error?.code]).sort(),
    [
      [`run:${bobs}`, 'refused', 'run_not_found'],
      [`run:${first}`, 'end', undefined],
    ].sort(),
  )
  const events = begun.filter(({ event }) => event === 'run.event').map(eventOf)
  assert.ok(events.every(({ run_id }) => run_id === first))
  const textless = log.map(({ text: _, ...event }: { text?: string }) => event)
  assert.deepEqual(
    events.map(({ event }) => event),
    textless.slice(2),
  )

  const change = (token: string, body: object) => hub.call('POST', `/api/events/${id}`, token, body)
  assert.deepEqual((await change(ann.token, { add: [`run:${second}`] })).status, 200)
  const more = await stream.until(({ event, data }) => event === 'topic' && data.includes('end'))
  assert.equal(eventOf(more[0]!).event.seq, 1)
  for (const token of [bob.token, eve.token])
    assert.equal((await change(token, { add: ['runs'] })).json.error.code, 'not_found')
  const refused = await change(ann.token, { add: [`run:${bobs}`] })
  assert.deepEqual([refused.status, refused.json.error.code], [404, 'run_not_found'])
  const many = Array.from({ length: 40 }, (_, index) => `run:of-nobody-${index}`)
  assert.equal((await change(ann.token, { add: [...many, 'cats'] })).json.error.code, 'bad_request')

  const held = await create('hold')
  assert.deepEqual((await change(ann.token, { add: [`run:${held}@999`, 'runs'] })).json.topics, [
    'runs',
    `run:${held}`,
  ])
  const resumed = await stream.until(({ event, data }) => event === 'run.event' && data.includes(held))
  assert.ok(resumed.some(({ event, data }) => event === 'topic' && data.includes('"reset"')))
  assert.deepEqual((await change(ann.token, { drop: [`run:${held}`] })).json.topics, ['runs'])
})

test('a topic of an open stream ends when access to its run is withdrawn', async (t) => {
  const hub = await testingHub(t, { apiLimits: { keepAliveMs: 20 } })
  const boss = await hub.user('boss', 'admin')
  const { run_id } = await hub.engine.submit({ yaml: oneStep('hold'), owner: 'ann', tenant: 'default' })
  const stream = await reader(`${hub.url}/api/events?topics=run:${run_id}`, boss.token)
  t.after(stream.close)
  await stream.until(({ event }) => event === 'run.event')
  await hub.accounts.updateUser(boss.id, { role: 'user' })
  const received = await stream.until(({ event }) => event === 'topic')
  const { state, error } = TopicNews.parse(JSON.parse(received.at(-1)!.data))
  assert.deepEqual([state, error?.code], ['refused', 'run_not_found'])
})

test('a stream follows at most 64 runs', async (t) => {
  const hub = await testingHub(t)
  const ann = await hub.user('ann')
  const stream = await reader(`${hub.url}/api/events?topics=runs`, ann.token)
  t.after(stream.close)
  const [start] = await stream.until(() => true)
  const path = `/api/events/${JSON.parse(start!.data).stream}`
  const ids = Array.from({ length: 65 }, (_, index) => `held-${index}`)
  for (const run_id of ids)
    await hub.engine.submit({ run_id, yaml: oneStep('hold'), owner: 'ann', tenant: 'default' })
  const add = ids.map((id) => `run:${id}`)
  const change = (part: string[]) => hub.call('POST', path, ann.token, { add: part })
  assert.deepEqual(
    [(await change(add.slice(0, 33))).status, (await change(add.slice(33))).json.error?.code],
    [200, 'rate_limited'],
  )
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

const taskOf = ({ data }: Message) => TaskSummary.parse(JSON.parse(data))

test('a stream shows each task only to its user, as lists do, and resumes where it stopped', async (t) => {
  const hub = await testingHub(t, { tasks: { retryMs: 1 } })
  const [ann, bob, boss] = [await hub.user('ann'), await hub.user('bob'), await hub.user('boss', 'admin')]
  const eve = await hub.user('eve', 'admin', 'elsewhere')
  const url = `${hub.url}/api/events?topics=tasks`
  const readers = await Promise.all([ann, bob, boss, eve].map(({ token }) => reader(url, token)))
  const [ofAnn, ofBob, ofBoss, ofEve] = readers as [(typeof readers)[0], ...typeof readers]
  t.after(() => readers.map(({ close }) => close()))
  const repo_url = 'https://git.example/shop/web'
  const give = async ({ token }: { token: string }) => {
    const task = { title: 'say hi', repo_url, agent: 'codex' }
    const { status, json } = await hub.call('POST', '/api/tasks', token, { task })
    assert.equal(status, 201)
    const { id } = (json as { tasks: [{ id: string }] }).tasks[0]
    const headers = { authorization: `Bearer ${token}`, accept: 'text/event-stream' }
    await (await fetch(`${hub.url}/api/tasks/${id}/events`, { headers })).text()
    return id
  }
  // One after the other, so that anything sent to the wrong user has arrived by then.
  for (const user of [ann, bob, eve]) await give(user)
  const done = (owner: string) => (message: Message) =>
    message.event === 'task' && taskOf(message).owner === owner && taskOf(message).state === 'done'
  const seen = await Promise.all([
    ofAnn.until(done('ann')),
    ofBob!.until(done('bob')),
    ofBoss!.until(done('bob')),
    ofEve!.until(done('eve')),
  ])
  const owners = (messages: Message[]) => [
    ...new Set(messages.filter(({ event }) => event === 'task').map((one) => taskOf(one).owner)),
  ]
  assert.deepEqual(seen.map(owners), [['ann'], ['bob'], ['ann', 'bob'], ['eve']])
  assert.deepEqual(taskOf(seen[0].at(-1)!), (await hub.call('GET', '/api/tasks', ann.token)).json.tasks[0])

  const second = await give(ann)
  const after = encodeURIComponent(seen[0].at(-1)!.id)
  const again = await reader(`${hub.url}/api/events?topics=tasks,runs&after=${after}`, ann.token)
  t.after(again.close)
  // Runs were not followed before, so what was missed of them is not known.
  const resumed = await again.until((message) => done('ann')(message) && taskOf(message).id === second)
  assert.deepEqual(
    resumed.slice(0, 2).map(({ event }) => event),
    ['start', 'reset'],
  )
  assert.ok(resumed.filter(({ event }) => event === 'task').every((one) => taskOf(one).id === second))
  const lost = await reader(`${url}&after=~of-another-hub.7`, ann.token)
  t.after(lost.close)
  const begun = await lost.until(({ event }) => event === 'topic')
  assert.deepEqual(JSON.parse(begun.at(-1)!.data), { topic: 'tasks', state: 'reset' })
})

test('lists can be added to an open stream and dropped; the runners arrive at once, as a whole', async (t) => {
  const hub = await testingHub(t, { tasks: { retryMs: 1 } })
  const ann = await hub.user('ann')
  const stream = await reader(`${hub.url}/api/events?topics=runners`, ann.token)
  t.after(stream.close)
  const first = await stream.until(({ event }) => event === 'runners')
  const path = `/api/events/${JSON.parse(first[0]!.data).stream}`
  assert.deepEqual(JSON.parse(first.at(-1)!.data), (await hub.call('GET', '/api/runners', ann.token)).json)
  const change = async (body: object) => (await hub.call('POST', path, ann.token, body)).json.topics
  assert.deepEqual(await change({ add: ['tasks', 'runs'] }), ['runs', 'tasks', 'runners'])
  const { run_id } = await hub.engine.submit({ yaml: oneStep('say hi'), owner: 'ann', tenant: 'default' })
  const seen = await stream.until(
    (message) =>
      message.event === 'run' && runOf(message).run_id === run_id && runOf(message).status === 'success',
  )
  const begun = seen.filter(({ event }) => event === 'topic').map(({ data }) => JSON.parse(data))
  assert.deepEqual(begun, [
    { topic: 'tasks', state: 'begun' },
    { topic: 'runs', state: 'begun' },
  ])
  assert.match(seen.at(-1)!.id, /^[\w-]+\.\d+~[\w-]+\.\d+$/)
  assert.deepEqual(await change({ drop: ['tasks', 'runners'] }), ['runs'])
})
