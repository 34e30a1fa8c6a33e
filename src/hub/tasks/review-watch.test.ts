import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { type Flavour, startForge } from '../../../test/support/forge/forge-stand-in.ts'
import { until } from '../../../test/support/scripted-engine.ts'
import { testTaskSpec } from '../../../test/support/tasks/tasks-fixture.ts'
import type { NewTaskEvent } from '../../contract/tasks/task-log.ts'
import { repositoryKey } from '../../engine/tasks/task-graph.ts'
import { MemoryTaskStore } from '../../stores/tasks/memory.ts'
import { openForges } from '../forges/open-forges.ts'
import { ReviewWatch } from './review-watch.ts'
import { TaskLogs } from './task-logs.ts'

async function world(t: TestContext, flavour: Flavour) {
  const standIn = await startForge({ flavour })
  t.after(() => standIn.stop())
  const { state } = standIn
  const repository = standIn.makeRepository('acme/app', {
    files: { a: 'one' },
    isPrivate: true,
    rights: { errand: 'write' },
  })
  const token = standIn.makeToken('errand')
  const store = new MemoryTaskStore()
  const said: string[] = []
  const asked: unknown[] = []
  const secrets = {
    async valueSeen(of: unknown, names: readonly string[]) {
      asked.push([of, names])
      return token
    },
  }

  /** A hub's part of it. */
  async function start() {
    let changed = () => {}
    const logs = new TaskLogs(store, { changed: () => changed() })
    await logs.recall()
    const watch = new ReviewWatch({
      logs,
      forgeOf: openForges({ secrets }),
      ended: () => {},
      pollMs: { first: 1, most: 5 },
      log: (message) => void said.push(message),
    })
    changed = () => watch.look()
    watch.look()
    return { logs, watch }
  }

  /** A task in review, whose branch was made off another. */
  async function reviewed(logs: TaskLogs, name: string, { base = 'main', on = [] as string[] } = {}) {
    const repo_url = repository.cloneUrl
    const spec = testTaskSpec(name, { repo: repositoryKey(repo_url), ask: { repo_url }, depends_on: on })
    await logs.create([spec], 'ada')
    const tree = state.git(repository.path, ['rev-parse', `${base}^{tree}`])
    const sha = state.git(repository.path, ['commit-tree', tree, '-p', base, '-m', name])
    state.git(repository.path, ['update-ref', `refs/heads/errand/${name}`, sha])
    const given = { title: name, body: '', by: 'errand', head: `errand/${name}`, base, isDraft: false }
    const ticket = state.addPull(repository, given)
    const from = (seq: number) => ({ run_id: `run_${name}`, seq })
    const url = `${repository.url}/pull/${ticket.number}`
    const events: NewTaskEvent[] = [
      { type: 'task.try_started', run_id: `run_${name}`, number: 1, stage: 'check' },
      { type: 'task.pushed', from: from(1), sha, branch: `errand/${name}`, forced: false },
      {
        type: 'task.pull_request',
        from: from(2),
        pull_request: { url, number: ticket.number, state: 'open' },
      },
      { type: 'task.try_ended', run_id: `run_${name}`, status: 'success', from: from(3) },
      { type: 'task.state', state: 'in_review', from: from(3) },
    ]
    await logs.change(spec.id, () => events)
    return { id: spec.id, ticket }
  }
  return { standIn, state, repository, store, start, reviewed, said, asked }
}

/** Follows the log of a task until it is over. */
async function stateAtEnd(logs: TaskLogs, id: string) {
  for await (const _ of logs.watch(id, 0));
  const { fold } = await logs.get(id)
  return [fold.state, fold.pull_request?.state, fold.message]
}

for (const flavour of ['github', 'gitea', 'gitlab'] as const)
  test(`${flavour}: a merge ends a task as done, a close as canceled, also after a restart`, async (t) => {
    const { state, repository, start, reviewed, asked, said } = await world(t, flavour)
    const first = await start()
    const one = await reviewed(first.logs, 'a')
    const other = await reviewed(first.logs, 'b')
    state.merge(repository, one.ticket)
    assert.deepEqual(await stateAtEnd(first.logs, one.id), [
      ...['done', 'merged', 'Its pull request was merged.'],
    ])
    assert.deepEqual(asked[0], [
      { tenant: 'default', owner: 'ada', repository: 'acme/app' },
      ['GIT_TOKEN', 'GITHUB_TOKEN'],
    ])
    await first.watch.close()
    await first.logs.close()

    state.close(repository, other.ticket)
    const second = await start()
    t.after(() => second.watch.close())
    assert.deepEqual(await stateAtEnd(second.logs, other.id), [
      ...['canceled', 'closed', 'Its pull request was closed without being merged.'],
    ])
    assert.deepEqual(said, [])
  })

test('a pull request on the branch of another task goes over to its base when that is merged', async (t) => {
  const { state, repository, start, reviewed } = await world(t, 'github')
  const { logs, watch } = await start()
  t.after(() => watch.close())
  const below = await reviewed(logs, 'a')
  const above = await reviewed(logs, 'b', { base: 'errand/a', on: [below.id] })
  state.merge(repository, below.ticket)
  await stateAtEnd(logs, below.id)
  await until(() => above.ticket.pull!.base === 'main')
  state.merge(repository, above.ticket)
  assert.equal((await stateAtEnd(logs, above.id))[0], 'done')
})

test('a forge that is away ends no task, and is told of once', async (t) => {
  const { standIn, state, repository, start, reviewed, said } = await world(t, 'github')
  const { logs, watch } = await start()
  t.after(() => watch.close())
  standIn.fault({
    match: /GET .*\/pulls\/1$/,
    times: 5,
    how: { status: 404, body: { message: 'Not Found' } },
  })
  const one = await reviewed(logs, 'a')
  state.merge(repository, one.ticket)
  assert.equal((await stateAtEnd(logs, one.id))[0], 'done')
  assert.equal(said.length, 1, said.join('\n'))
  assert.match(said[0]!, /cannot be looked at/)
})
