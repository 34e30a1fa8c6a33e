import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test, { type TestContext } from 'node:test'
import { testingHub } from '../../../test/support/hub/hub-fixture.ts'
import { ErrandError } from '../../contract/errors.ts'
import { TaskList, TasksCreated, TaskView } from '../../contract/tasks/task-api.ts'
import { type TaskEvent, TaskEvent as TaskEventSchema } from '../../contract/tasks/task-log.ts'
import type { HubOptions } from '../start-hub.ts'

const repo_url = 'https://git.example/shop/web'
const titled = (title: string, more: object = {}) => ({ title, repo_url, ...more })

type Hub = Awaited<ReturnType<typeof testingHub>>

/** Opens a hub whose tries do what the title of their task says. */
async function hubOf(t: TestContext, tasks: HubOptions['tasks'] = {}) {
  const hub = await testingHub(t, { tasks: { ...tasks, retryMs: 1 } })
  const ann = await hub.user('ann')
  const create = async (body: object, headers?: Record<string, string>) =>
    await hub.call('POST', '/api/tasks', ann.token, body, headers)
  const made = async (title: string, more: object = {}): Promise<string> => {
    const { status, json, text } = await create({ task: titled(title, more) })
    assert.equal(status, 201, text)
    return TasksCreated.parse(json).tasks[0]!.id
  }
  const get = async (id: string) =>
    TaskView.parse((await hub.call('GET', `/api/tasks/${id}`, ann.token)).json)
  return { ...hub, ann, create, made, get }
}

/** Streams the log until an event matches, and returns the events so far. */
async function until(
  hub: Hub,
  token: string,
  id: string,
  is: (event: TaskEvent) => boolean,
): Promise<TaskEvent[]> {
  const headers = { authorization: `Bearer ${token}`, accept: 'text/event-stream' }
  const response = await fetch(`${hub.url}/api/tasks/${id}/events`, { headers })
  assert.equal(response.status, 200)
  const events: TaskEvent[] = []
  let rest = ''
  for await (const bytes of response.body!) {
    rest += Buffer.from(bytes).toString()
    for (let end = rest.indexOf('\n\n'); end >= 0; end = rest.indexOf('\n\n')) {
      const data = /^data: (.*)$/m.exec(rest.slice(0, end))?.[1]
      rest = rest.slice(end + 2)
      if (data === undefined) continue
      const event = TaskEventSchema.parse(JSON.parse(data))
      events.push(event)
      if (is(event)) return events
    }
  }
  return events
}

const becomes = (state: string) => (event: TaskEvent) => event.type === 'task.state' && event.state === state
const never = () => false

test('a task starts at once, its run can be followed, and its log is streamed until the task ends', async (t) => {
  const hub = await hubOf(t)
  const id = await hub.made('say hi', { task_id: 'T-1', metadata: { team: 'web' } })
  const log = await until(hub, hub.ann.token, id, never)
  assert.deepEqual(
    log.map(({ type }) => type),
    [...['task.created', 'task.try_started', 'task.try_ended', 'task.state']],
  )
  assert.deepEqual(
    log.map(({ seq }) => seq),
    [1, 2, 3, 4],
  )
  const task = await hub.get(id)
  assert.deepEqual([task.state, task.task_id, task.task.metadata], ['done', 'T-1', { team: 'web' }])
  const { runs } = (await hub.call('GET', `/api/tasks/${id}/runs`, hub.ann.token)).json
  assert.deepEqual(
    runs.map((run: { status: string }) => run.status),
    ['success'],
  )
  const run = (await hub.call('GET', `/api/runs/${runs[0].run_id}`, hub.ann.token)).json
  assert.deepEqual([run.blueprint, run.owner], ['task', 'ann'])
  const json = await hub.call('GET', `/api/tasks/${id}/events?after=2`, hub.ann.token, undefined, {
    accept: 'application/json',
  })
  assert.deepEqual(
    json.json.map(({ seq }: TaskEvent) => seq),
    [3, 4],
  )
  const last = await hub.call('GET', `/api/tasks/${id}/events`, hub.ann.token, undefined, {
    'last-event-id': '4',
  })
  assert.equal(last.status, 204)
  for (const ref of ['T-1', 'tasks%2FT-1'])
    assert.equal((await hub.call('GET', `/api/tasks/${ref}`, hub.ann.token)).json.id, id)
})

test('stores a file of tasks completely or not at all, and reports all mistakes at once', async (t) => {
  const hub = await hubOf(t)
  const wrong = await hub.create({
    tasks: [
      titled('one', { task_id: 'a', dependencies: ['c', 'nobody'] }),
      titled('two', { task_id: 'b', dependencies: ['a'] }),
      { title: 'three', task_id: 'c', dependencies: ['b'] },
      titled('four', { task_id: 'a' }),
    ],
  })
  assert.deepEqual([wrong.status, wrong.json.error.code], [400, 'task_invalid'])
  const faults = wrong.json.error.details.map((fault: { field: string; message: string }) => fault)
  assert.deepEqual(faults.map(({ field }: { field: string }) => field).sort(), [
    ...['body.tasks', 'body.tasks[0].dependencies[1]', 'body.tasks[2].repo_url', 'body.tasks[3].task_id'],
  ])
  assert.ok(faults.some(({ message }: { message: string }) => /cycle: a → c → b → a/.test(message)))
  for (const [body, field] of [
    [{ task: { title: ' ' } }, 'body.task.title'],
    [{ task: titled('x', { titel: 'x' }) }, 'body.task.titel'],
    [{ task: titled('x', { follow: true, pull_request: false }) }, 'body.task.follow'],
    [{ task: titled('x', { agent: 'acp' }) }, 'body.task.command'],
    [{ task: titled('x', { command: ['mine'] }) }, 'body.task.command'],
    [{ task: titled('x', { llm_api_key_env_var: 'GIT_TOKEN' }) }, 'body.task.llm_api_key_env_var'],
    [{ task: titled('x', { review: { agent: 'codex', command: ['x'] } }) }, 'body.task.review.command'],
    [
      { task: titled('x', { env: { API_TOKEN: 'ghp_0123456789abcdefghijABCDEFGHIJ012345' } }) },
      'body.task.env.API_TOKEN',
    ],
    [{ task: { title: 'x', repo_url: 'https://ann:secret@git.example/shop/web' } }, 'body.task.repo_url'],
    [{}, undefined],
    [{ task: titled('x'), tasks: [titled('y')] }, undefined],
  ] as const) {
    const answer = await hub.create(body)
    assert.equal(answer.status, 400, answer.text)
    if (field !== undefined) assert.ok(answer.text.includes(field), answer.text)
  }
  assert.deepEqual((await hub.call('GET', '/api/tasks', hub.ann.token)).json.tasks, [])
})

test('repeating a task returns the existing one, and another task with the same name is refused', async (t) => {
  const hub = await hubOf(t)
  const id = await hub.made('say hi', { task_id: 'T-1' })
  const again = await hub.create({ task: titled('say hi', { task_id: 'T-1' }) })
  assert.deepEqual([again.status, again.json.tasks[0].id], [200, id])
  const other = await hub.create({ task: titled('say ho', { task_id: 'T-1', priority: 2 }) })
  assert.deepEqual([other.status, other.json.error.code], [409, 'task_exists'])
  assert.match(other.json.error.message, /differs in priority, title/)
  const key = { 'idempotency-key': 'k' }
  const first = await hub.create({ task: titled('say a') }, key)
  const repeat = await hub.create({ task: titled('say a') }, key)
  assert.deepEqual([first.status, repeat.status], [201, 200])
  assert.equal(repeat.json.tasks[0].id, first.json.tasks[0].id)
  assert.equal((await hub.create({ task: titled('say b') }, key)).status, 409)
  const task = titled('say c', { task_id: 'T-2' })
  const atOnce = await Promise.all([1, 2, 3].map(() => hub.create({ task })))
  assert.deepEqual(atOnce.map(({ status }) => status).sort(), [200, 200, 201])
  assert.equal(new Set(atOnce.map(({ json }) => json.tasks[0].id)).size, 1)
})

test('tasks wait for their dependencies, and a failed dependency blocks them until it is retried', async (t) => {
  const hub = await hubOf(t)
  const { json } = await hub.create({
    tasks: [
      titled('hold', { task_id: 'low' }),
      titled('say up', { task_id: 'high', dependencies: ['low'] }),
      titled('fail', { task_id: 'bad' }),
      titled('say no', { task_id: 'stuck', dependencies: ['bad'] }),
    ],
  })
  const [low, high, bad, stuck] = json.tasks.map(({ id }: { id: string }) => id) as [
    string,
    string,
    string,
    string,
  ]
  await until(hub, hub.ann.token, stuck, becomes('blocked'))
  assert.match((await hub.get(stuck)).message!, /depends on task bad, which failed/)
  await until(hub, hub.ann.token, high, ({ type }) => type === 'task.waiting')
  assert.deepEqual(
    [(await hub.get(high)).why, (await hub.get(low)).state],
    ['it runs after task low', 'running'],
  )
  hub.host.release()
  await until(hub, hub.ann.token, high, becomes('done'))
  const done = await hub.call('PUT', `/api/registry/tasks/${bad}/status`, hub.ann.token, { status: 'ready' })
  assert.equal(done.status, 200)
  await until(hub, hub.ann.token, bad, (event) => event.type === 'task.try_started' && event.number === 2)
})

test('no more tasks of a file run at once than the file allows', async (t) => {
  const hub = await hubOf(t)
  const tasks = ['a', 'b', 'c'].map((task_id) => titled('hold', { task_id }))
  const { json } = await hub.create({ tasks, limit: 2 })
  const ids: string[] = json.tasks.map(({ id }: { id: string }) => id)
  await until(hub, hub.ann.token, ids[2]!, ({ type }) => type === 'task.waiting')
  assert.match((await hub.get(ids[2]!)).why!, /the limit of its file for tasks in progress is reached: 2/)
  await hub.call('POST', `/api/tasks/${ids[0]}/cancel`, hub.ann.token)
  await until(hub, hub.ann.token, ids[2]!, ({ type }) => type === 'task.try_started')
})

test('a canceled task ends with its run, and its dependents are blocked or canceled with it', async (t) => {
  const hub = await hubOf(t)
  const { json } = await hub.create({
    tasks: [
      titled('hold', { task_id: 'low' }),
      titled('say', { task_id: 'mid', dependencies: ['low'] }),
      titled('say', { task_id: 'high', dependencies: ['mid'] }),
    ],
  })
  const [low, mid, high] = json.tasks.map(({ id }: { id: string }) => id) as [string, string, string]
  await until(hub, hub.ann.token, low, ({ type }) => type === 'task.try_started')
  const busy = await hub.call('POST', `/api/tasks/${low}/retry`, hub.ann.token)
  assert.deepEqual([busy.status, busy.json.error.code], [409, 'task_running'])
  const canceled = await hub.call('POST', `/api/tasks/${low}/cancel`, hub.ann.token, { message: 'not now' })
  assert.deepEqual([canceled.status, canceled.json.state], [202, 'canceled'])
  const log = await until(hub, hub.ann.token, low, never)
  const end = log.find((event) => event.type === 'task.try_ended')
  assert.equal(end?.type === 'task.try_ended' && end.status, 'canceled')
  await until(hub, hub.ann.token, high, becomes('blocked'))
  assert.match((await hub.get(mid)).message!, /depends on task low, which was canceled/)
  const all = await hub.call('POST', `/api/tasks/${mid}/cancel`, hub.ann.token, { with_dependants: true })
  assert.equal(all.status, 202)
  assert.deepEqual([(await hub.get(mid)).state, (await hub.get(high)).state], ['canceled', 'canceled'])
  const again = await hub.call('POST', `/api/tasks/${low}/retry`, hub.ann.token, {})
  assert.equal(again.status, 202)
  await until(hub, hub.ann.token, low, (event) => event.type === 'task.try_started' && event.number === 2)
  const tooFar = await hub.call('POST', `/api/tasks/${high}/retry`, hub.ann.token, { from: 'push' })
  assert.deepEqual([tooFar.status, tooFar.json.error.code], [409, 'conflict'])
  const toNobody = { from: 'push', prompt: 'Shorter' }
  const unheard = await hub.call('POST', `/api/tasks/${high}/retry`, hub.ann.token, toNobody)
  assert.deepEqual([unheard.status, unheard.json.error.code], [400, 'bad_request'])
})

test('a task that cannot be executed as written fails with the reason', async (t) => {
  const run = async () => {
    throw new ErrandError('task_invalid', 'The playbook has no steps.', { hint: 'Write one.' })
  }
  const hub = await hubOf(t, { run })
  const id = await hub.made('say hi')
  await until(hub, hub.ann.token, id, never)
  const { state, reason, message } = await hub.get(id)
  assert.deepEqual(
    [state, reason, message],
    ['failed', 'task_invalid', 'The playbook has no steps. Write one.'],
  )
})

test('a task waits while its run asks a person, and continues with the answer', async (t) => {
  const steps = [{ name: 'plan_approval', action: 'approval.wait', args: { message: 'like this?' } }]
  const hub = await hubOf(t, { run: async () => ({ workflow: { version: 'v0.1', name: 'asks', steps } }) })
  const id = await hub.made('say hi')
  await until(hub, hub.ann.token, id, becomes('waiting'))
  assert.match((await hub.get(id)).message!, /like this\?/)
  const answered = await hub.call('POST', `/api/tasks/${id}/approve`, hub.ann.token, { comment: 'yes' })
  assert.equal(answered.status, 202)
  await until(hub, hub.ann.token, id, becomes('done'))
  const late = await hub.call('POST', `/api/tasks/${id}/approve`, hub.ann.token, {})
  assert.deepEqual([late.status, late.json.error.code], [409, 'approval_not_pending'])
  const prompt = await hub.call('POST', `/api/tasks/${id}/prompt`, hub.ann.token, { prompt: 'more' })
  assert.deepEqual([prompt.status, prompt.json.error.code], [409, 'no_input'])
})

test('only the people that the step names can answer the question of a task', async (t) => {
  const asking = (approvers: object) => [
    { name: 'ask', action: 'approval.wait', args: { message: 'Ship?', approvers } },
  ]
  const named: Record<string, object> = {
    'by name': { users: ['bob'] },
    'by role': { roles: ['user'], requester: false },
    'not ann': { requester: false },
  }
  const hub = await hubOf(t, {
    run: async ({ title }) => ({
      workflow: { version: 'v0.1', name: 'asks', steps: asking(named[title]!) },
    }),
  })
  const tokens = {
    ann: hub.ann.token,
    bob: (await hub.user('bob')).token,
    cid: (await hub.user('cid')).token,
    root: (await hub.user('root', 'admin')).token,
    far: (await hub.user('far', 'admin', 'other')).token,
  }
  const answer = (who: keyof typeof tokens, ref: string, decision = 'approve') =>
    hub.call('POST', `/api/tasks/${ref}/approve`, tokens[who], { decision })
  const refused = async (who: keyof typeof tokens, id: string) => {
    const run = (await hub.get(id)).run_id!
    const [here, there] = [
      await answer(who, id),
      await hub.call('POST', `/api/runs/${run}/approve`, tokens[who], { step: 'ask' }),
    ]
    assert.deepEqual([here.status, here.json], [403, there.json])
    assert.equal((await answer(who, id, 'reject')).status, 403)
    assert.equal((await hub.get(id)).state, 'waiting')
    return here.json.error
  }
  const cases = [
    { title: 'by name', not: ['ann', 'root'], unseen: ['cid', 'far'], may: 'bob', hint: /Allowed: bob\./ },
    {
      title: 'by role',
      not: ['ann', 'root'],
      unseen: ['far'],
      may: 'cid',
      hint: /any user, not ann \(the owner/,
    },
    { title: 'not ann', not: ['ann'], unseen: ['bob', 'far'], may: 'root', hint: /any admin, not ann/ },
  ] as const
  for (const [index, { title, not, unseen, may, hint }] of cases.entries()) {
    const id = await hub.made(title, { spec_name: 'ship', task_id: `S-${index}` })
    await until(hub, hub.ann.token, id, becomes('waiting'))
    for (const who of not) assert.match((await refused(who, id)).hint, hint, `${title}: ${who}`)
    for (const who of unseen) assert.equal((await answer(who, id)).status, 404, `${title}: ${who}`)
    // They may not see the task, but they answer its question.
    const seen = await hub.call('GET', `/api/tasks/${id}`, tokens[may])
    assert.equal(seen.status, may === 'root' ? 200 : 404)
    const answered = await answer(may, `ship%2FS-${index}`)
    assert.equal(answered.status, 202, answered.text)
    await until(hub, hub.ann.token, id, becomes('done'))
  }
})

test("a list shows a user their own tasks, filtered by any system's status names; an admin sees all of the tenant", async (t) => {
  const hub = await hubOf(t)
  const [bob, boss, eve] = [
    await hub.user('bob'),
    await hub.user('boss', 'admin'),
    await hub.user('eve', 'admin', 'far'),
  ]
  const id = await hub.made('hold', { spec_name: 'login' })
  await hub.call('POST', '/api/tasks', bob.token, { task: titled('hold') })
  await until(hub, hub.ann.token, id, ({ type }) => type === 'task.try_started')
  const owners = async (token: string, query = '') =>
    TaskList.parse((await hub.call('GET', `/api/tasks${query}`, token)).json).tasks.map(({ owner }) => owner)
  assert.deepEqual(await owners(hub.ann.token, '?state=IN_PROGRESS,done'), ['ann'])
  assert.deepEqual(await owners(hub.ann.token, `?repo=${encodeURIComponent(`${repo_url}.git`)}&spec=login`), [
    'ann',
  ])
  assert.deepEqual(await owners(hub.ann.token, '?state=completed'), [])
  assert.deepEqual(await owners(hub.ann.token, '?owner=bob'), [])
  assert.deepEqual((await owners(boss.token)).sort(), ['ann', 'bob'])
  assert.deepEqual(await owners(eve.token), [])
  const wrong = await hub.call('GET', '/api/tasks?state=finished', hub.ann.token)
  assert.deepEqual([wrong.status, /in_progress/.test(wrong.json.error.hint)], [400, true])
  for (const token of [bob.token, eve.token])
    assert.equal((await hub.call('GET', `/api/tasks/${id}`, token)).status, 404)
})

test('only a task that has ended can be deleted, and the runs of its tries are deleted with it', async (t) => {
  const hub = await hubOf(t)
  const remove = async (ref: string, token = hub.ann.token) =>
    await hub.call('DELETE', `/api/tasks/${ref}`, token)
  const first = await hub.made('say hi', { task_id: 'T-1' })
  await until(hub, hub.ann.token, first, never)
  const waitingTask = await hub.made('hold', { task_id: 'T-2', dependencies: ['T-1'] })
  await until(hub, hub.ann.token, waitingTask, ({ type }) => type === 'task.try_started')
  const open = await remove('T-2')
  assert.deepEqual([open.status, open.json.error.code], [409, 'task_running'])
  const needed = await remove('T-1')
  assert.deepEqual([needed.status, needed.json.error.code], [409, 'conflict'])
  const bob = await hub.user('bob')
  assert.equal((await remove(first, bob.token)).status, 404)
  await hub.call('POST', `/api/tasks/${waitingTask}/cancel`, hub.ann.token)
  await until(hub, hub.ann.token, waitingTask, never)

  const { runs } = (await hub.call('GET', `/api/tasks/${first}/runs`, hub.ann.token)).json
  const gone = await remove('T-1')
  assert.deepEqual(gone.json, { deleted: first, runs: [runs[0].run_id] })
  for (const path of [`tasks/${first}`, `tasks/${first}/events`, `runs/${runs[0].run_id}`])
    assert.equal((await hub.call('GET', `/api/${path}`, hub.ann.token)).status, 404, path)
  assert.equal((await remove(first)).status, 404)
  // The name is free again.
  assert.notEqual(await hub.made('say hi', { task_id: 'T-1' }), first)
})

test('a restarted hub continues its tasks and their open tries', async (t) => {
  const data = mkdtempSync(join(tmpdir(), 'errand-tasks-'))
  t.after(() => rmSync(data, { recursive: true, force: true }))
  const steps = [{ name: 'plan_approval', action: 'approval.wait', args: { message: 'like this?' } }]
  const run = async () => ({ workflow: { version: 'v0.1', name: 'asks', steps } })
  const options = { data, database: join(data, 'errand.db'), tasks: { run } }
  const first = await testingHub(t, options)
  const { token } = await first.user('ann')
  const created = await first.call('POST', '/api/tasks', token, { task: titled('ask') })
  const { id } = created.json.tasks[0]
  await until(first, token, id, becomes('waiting'))
  await first.close()

  const second = await testingHub(t, options)
  assert.equal((await second.call('POST', `/api/tasks/${id}/approve`, token, {})).status, 202)
  const log = await until(second, token, id, never)
  assert.deepEqual(
    log.map((event) => ('state' in event ? event.state : event.type)),
    [...['task.created', 'task.try_started', 'waiting', 'running', 'task.try_ended', 'done']],
  )
})

test('a user can turn following of a pull request on and off any number of times until the task ends', async (t) => {
  const hub = await hubOf(t, { limits: { perOwner: 1 } })
  const first = await hub.made('hold')
  await until(hub, hub.ann.token, first, ({ type }) => type === 'task.try_started')
  const id = await hub.made('later')
  await until(hub, hub.ann.token, id, ({ type }) => type === 'task.waiting')
  const say = async (of: string, body?: object, token = hub.ann.token) =>
    (await hub.call('POST', `/api/tasks/${of}/follow`, token, body)).status
  assert.equal((await hub.get(id)).follow, undefined)
  assert.deepEqual([await say(id), await say(id, { follow: true })], [202, 202])
  assert.equal((await hub.get(id)).follow?.state, 'on')
  assert.deepEqual([await say(id, { follow: false }), await say(id, { follow: false })], [202, 202])
  const { follow, last_seq } = await hub.get(id)
  assert.deepEqual([follow?.state, follow?.why], ['off', 'off'])
  const ben = await hub.user('ben')
  assert.equal(await say(id, {}, ben.token), 404)
  const none = await hub.made('later', { pull_request: false })
  assert.equal(await say(none), 409)
  await hub.call('POST', `/api/tasks/${id}/cancel`, hub.ann.token)
  assert.equal(await say(id), 409)
  assert.equal((await hub.get(id)).last_seq, last_seq + 1)
})
