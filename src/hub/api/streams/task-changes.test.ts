import assert from 'node:assert/strict'
import test from 'node:test'
import { testingHub } from '../../../../test/support/hub/hub-fixture.ts'
import { TaskSummary } from '../../../contract/tasks/task-api.ts'

/** The tasks of a stream, up to the first that is as wanted. */
async function until(url: string, token: string, started: () => void, is: (task: TaskSummary) => boolean) {
  const stop = new AbortController()
  const response = await fetch(`${url}/api/task-changes`, {
    headers: { authorization: `Bearer ${token}` },
    signal: stop.signal,
  })
  assert.equal(response.status, 200)
  const tasks: TaskSummary[] = []
  let rest = ''
  for await (const text of response.body!.pipeThrough(new TextDecoderStream())) {
    const parts = (rest + text).split('\n\n')
    rest = parts.pop()!
    for (const part of parts) {
      if (part.startsWith('event: start')) started()
      const [, data] = /^event: task\ndata: (.*)$/.exec(part) ?? []
      if (data === undefined) continue
      tasks.push(TaskSummary.parse(JSON.parse(data)))
      if (!is(tasks.at(-1)!)) continue
      stop.abort()
      return tasks
    }
  }
  return tasks
}

test('a stream tells of each task of its user as lists show it, and of nobody else', async (t) => {
  const hub = await testingHub(t, { tasks: { retryMs: 1 } })
  const [ann, bob, boss] = [await hub.user('ann'), await hub.user('bob'), await hub.user('boss', 'admin')]
  const eve = await hub.user('eve', 'admin', 'elsewhere')
  const starts = [ann, bob, boss, eve].map(() => Promise.withResolvers<void>())
  const isDone = (owner: string) => (task: TaskSummary) => task.owner === owner && task.state === 'done'
  const watched = [isDone('ann'), isDone('bob'), isDone('bob'), isDone('eve')]
  const read = [ann, bob, boss, eve].map(({ token }, index) =>
    until(hub.url, token, starts[index]!.resolve, watched[index]!),
  )
  await Promise.all(starts.map(({ promise }) => promise))
  const repo_url = 'https://git.example/shop/web'
  // One after the other, so that whoever saw too much has seen it by then.
  for (const { token } of [ann, bob, eve]) {
    const task = { title: 'say hi', repo_url, agent: 'codex' }
    const { status, json } = await hub.call('POST', '/api/tasks', token, { task })
    assert.equal(status, 201)
    const { id } = (json as { tasks: [{ id: string }] }).tasks[0]
    const headers = { authorization: `Bearer ${token}`, accept: 'text/event-stream' }
    await (await fetch(`${hub.url}/api/tasks/${id}/events`, { headers })).text()
  }
  const [ofAnn, ofBob, ofBoss, ofEve] = await Promise.all(read)
  const owners = (tasks?: TaskSummary[]) => [...new Set(tasks?.map(({ owner }) => owner))].sort()
  assert.deepEqual([owners(ofAnn), owners(ofBob), owners(ofEve)], [['ann'], ['bob'], ['eve']])
  assert.deepEqual(owners(ofBoss), ['ann', 'bob'])
  const last = ofAnn!.at(-1)!
  assert.deepEqual([last.agent, last.try_count, last.title], ['codex', 1, 'say hi'])

  const found = async (query: string) => {
    const { json } = await hub.call('GET', `/api/tasks?${query}`, boss.token)
    return (json as { tasks: TaskSummary[] }).tasks.map(({ owner }) => owner)
  }
  assert.deepEqual(await found('agent=codex&text=SAY'), ['bob', 'ann'])
  assert.deepEqual([await found('agent=builtin'), await found('text=bye')], [[], []])
})
