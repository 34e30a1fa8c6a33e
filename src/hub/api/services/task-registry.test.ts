import assert from 'node:assert/strict'
import test, { type TestContext } from 'node:test'
import { testingHub } from '../../../../test/support/hub/hub-fixture.ts'
import type { TaskEvent } from '../../../contract/tasks/task-log.ts'

async function hubOf(t: TestContext, createUnknown = false) {
  const hub = await testingHub(t, { tasks: { createUnknown } })
  const { token } = await hub.user('ann')
  const call = (method: string, path: string, body?: object) =>
    hub.call(method, `/api/registry/tasks/${path}`, token, body)
  const events = async (id: string): Promise<TaskEvent[]> =>
    (await hub.call('GET', `/api/tasks/${id}/events`, token, undefined, { accept: 'application/json' })).json
  const made = async (title: string): Promise<string> => {
    const task = { title, task_id: '7', repo_url: 'https://git.example/shop/web' }
    return (await hub.call('POST', '/api/tasks', token, { task })).json.tasks[0].id
  }
  const state = async (id: string) => (await hub.call('GET', `/api/tasks/${id}`, token)).json.state
  return { ...hub, token, asAnn: call, events, made, state }
}

test('stores the tasks of another system under its own status names if the operator allows it', async (t) => {
  const hub = await hubOf(t, true)
  const status = async (word: string, metadata?: object) =>
    await hub.asAnn('PUT', '42/status', { status: word, metadata })
  assert.deepEqual((await status('IN_PROGRESS', { branch: 'b' })).json, { task_id: '42', status: 'running' })
  assert.deepEqual((await status('Review')).json, { task_id: '42', status: 'in_review' })
  assert.deepEqual((await status('Completed', { pr: 1 })).json, { task_id: '42', status: 'done' })
  const task = (await hub.call('GET', '/api/tasks/42', hub.token)).json
  assert.deepEqual([task.state, task.metadata, task.tries], ['done', { branch: 'b', pr: 1 }, []])
  const wrong = await status('finished')
  assert.deepEqual([wrong.status, /completed/.test(wrong.json.error.hint)], [400, true])
  const back = await status('error')
  assert.deepEqual([back.status, back.json.error.code], [409, 'conflict'])
  const bob = await hub.user('bob')
  const others = await hub.call('PUT', '/api/registry/tasks/42/status', bob.token, { status: 'done' })
  assert.equal(others.status, 404)
})

test('refuses an unknown task if creating tasks is not allowed', async (t) => {
  const hub = await hubOf(t)
  for (const [method, path, body] of [
    ['PUT', '42/status', { status: 'done' }],
    ['POST', '42/events', { event_type: 'x' }],
    ['POST', '42/artifacts', { type: 'diff', uri: 'file:///x' }],
  ] as const) {
    const answer = await hub.asAnn(method, path, body)
    assert.deepEqual([answer.status, answer.json.error.code], [404, 'task_not_found'])
  }
})

test('while a try of Errand is open, only its end can be reported from outside', async (t) => {
  const hub = await hubOf(t)
  const id = await hub.made('hold')
  while ((await hub.state(id)) !== 'running') await new Promise((resolve) => setImmediate(resolve))
  const status = async (word: string) => (await hub.asAnn('PUT', '7/status', { status: word })).status
  assert.deepEqual([await status('running'), await status('review'), await status('ready')], [200, 409, 409])
  const before = (await hub.events(id)).length
  assert.equal(await status('done'), 200)
  while ((await hub.events(id)).length < before + 2) await new Promise((resolve) => setImmediate(resolve))
  const end = (await hub.events(id)).at(-1)
  assert.deepEqual([end?.type === 'task.try_ended' && end.status, await hub.state(id)], ['canceled', 'done'])
})

test('stores an event or artifact that is reported twice only once', async (t) => {
  const hub = await hubOf(t, true)
  const answerOf = async (body: object) => {
    const { status, json } = await hub.asAnn('POST', '42/events', body)
    assert.equal(status, 201)
    return json.event_id
  }
  const first = await answerOf({ event_type: 'started', data: { a: 1 } })
  assert.equal(await answerOf({ event_type: 'started', data: { a: 1 } }), first)
  assert.notEqual(await answerOf({ event_type: 'started', data: { a: 2 } }), first)
  assert.equal(await answerOf({ event_type: 'x', event_id: 'mine' }), 'mine')
  assert.equal(await answerOf({ event_type: 'y', event_id: 'mine' }), 'mine')
  const { id } = (await hub.call('GET', '/api/tasks/42', hub.token)).json
  assert.equal((await hub.events(id)).filter(({ type }) => type === 'task.external_event').length, 3)

  const diff = { type: 'diff', uri: 'file:///tmp/a.diff', size_bytes: 12 }
  const statuses = [
    await hub.asAnn('POST', '42/artifacts', diff),
    await hub.asAnn('POST', '42/artifacts', diff),
  ]
  assert.deepEqual(
    statuses.map(({ status }) => status),
    [201, 200],
  )
  const { external } = (await hub.call('GET', '/api/tasks/42/artifacts', hub.token)).json
  assert.deepEqual(external, [{ kind: 'diff', uri: 'file:///tmp/a.diff', size_bytes: 12 }])

  const big = await hub.asAnn('POST', '42/events', { event_type: 'x', data: 'a'.repeat(70_000) })
  assert.deepEqual([big.status, big.json.error.code], [413, 'body_too_large'])
})
