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
  const messages: string[] = []
  const requests: unknown[] = []
  const secrets = {
    async valueSeen(of: unknown, names: readonly string[], address?: string) {
      requests.push([of, names, address])
      return token
    },
    refusal: async () => undefined,
  }

  /** Starts the hub's part of the watch. */
  async function start(pollMs = { first: 1, most: 5 }) {
    let changed = () => {}
    const logs = new TaskLogs(store, { changed: () => changed() })
    await logs.restore()
    const watch = new ReviewWatch({
      logs,
      forgeOf: openForges({ secrets }),
      changed: () => {},
      pollMs,
      log: (message) => void messages.push(message),
    })
    changed = () => watch.look()
    watch.look()
    return { logs, watch }
  }

  /** Returns a task in review whose branch was made from another branch. */
  async function reviewed(
    logs: TaskLogs,
    name: string,
    { base = 'main', on = [] as string[], follow = false } = {},
  ) {
    const repo_url = repository.cloneUrl
    const spec = testTaskSpec(name, {
      repo: repositoryKey(repo_url),
      ask: { repo_url, follow },
      depends_on: on,
    })
    await logs.create([spec], 'ada')
    const tree = state.git(repository.path, ['rev-parse', `${base}^{tree}`])
    const sha = state.git(repository.path, ['commit-tree', tree, '-p', base, '-m', name])
    state.git(repository.path, ['update-ref', `refs/heads/errand/${name}`, sha])
    const fields = { title: name, body: '', by: 'errand', head: `errand/${name}`, base, isDraft: false }
    const ticket = state.addPull(repository, fields)
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
  /** Plays a try that the hub would make for the feedback: it pushes another commit, or nothing. */
  async function tried(logs: TaskLogs, id: string, branch: string, pushes = true) {
    const { fold } = await logs.get(id)
    const number = fold.tries.length + 1
    const run_id = `run_${number}`
    if (pushes) state.commit(repository.path, branch, { [`${number}`]: 'more' }, `try ${number}`)
    const sha = state.shaOf(repository.path, `refs/heads/${branch}`)!
    await logs.change(id, () => [
      { type: 'task.try_started', run_id, number, stage: 'implement' },
      { type: 'task.pushed', from: { run_id, seq: 1 }, sha, branch, forced: false },
      { type: 'task.try_ended', run_id, status: 'success', from: { run_id, seq: 2 } },
      { type: 'task.state', state: 'in_review', from: { run_id, seq: 2 } },
    ])
    return sha
  }
  /** Waits until the log has `count` of these events, and returns the last. */
  async function followed(logs: TaskLogs, id: string, count = 1) {
    let seen = 0
    for await (const event of logs.watch(id, 0))
      if (event.type === 'task.follow' && ++seen === count) return event
    throw new Error('the log has ended')
  }
  return {
    standIn,
    state,
    repository,
    store,
    start,
    reviewed,
    tried,
    followed,
    said: messages,
    asked: requests,
  }
}

/** Follows the log of a task until it is over. */
async function stateAtEnd(logs: TaskLogs, id: string) {
  for await (const _ of logs.watch(id, 0));
  const { fold } = await logs.get(id)
  return [fold.state, fold.pull_request?.state, fold.message]
}

for (const flavour of ['github', 'gitea', 'gitlab'] as const)
  test(`${flavour}: a merge ends a task as done, a close as canceled, even after a restart`, async (t) => {
    const { standIn, state, repository, start, reviewed, asked, said } = await world(t, flavour)
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
      `https://${standIn.host}/acme/app`,
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

test('a pull request based on the branch of another task moves to its base when that is merged', async (t) => {
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

test('an unavailable forge ends no task, and is reported once', async (t) => {
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
  assert.match(said[0]!, /cannot be checked/)
})

const failing = { github: 'failure', gitea: 'failure', gitlab: 'failed' } as const

for (const flavour of ['github', 'gitea', 'gitlab'] as const)
  test(`${flavour}: another try gets what checks and reviewers say, once per head, even after a restart`, async (t) => {
    const { state, repository, start, reviewed, tried, followed, said } = await world(t, flavour)
    state.user('cleo')
    // Gitea reveals the rights of others only to admins.
    Object.assign(repository.rights, { cleo: 'write', errand: 'admin' })
    const first = await start()
    const { id, ticket } = await reviewed(first.logs, 'a', { follow: true })
    const head = state.headOf(repository, ticket)!
    const log = `${'x\n'.repeat(300)}Error: no shop at all\n`
    const url = `${repository.url}/actions/runs/1/jobs/0`
    const check = { sha: head, name: 'unit', state: failing[flavour], isRun: flavour === 'github', log, url }
    state.setCheck(repository, check)
    const event = await followed(first.logs, id)
    assert.deepEqual([event.action, event.try?.sha], ['try', head])
    assert.match(event.message, /Try 1 of 3 for .*checks failed \(unit\)/)
    if (flavour !== 'gitea') assert.match(event.prompt!, /no shop at all/)
    const { fold } = await first.logs.get(id)
    assert.deepEqual([fold.state, fold.from, fold.follow.prompt], ['pending', 'implement', event.prompt])
    await first.watch.close()
    await first.logs.close()

    // The next process knows that this head had its try, and passes a person's comment to the second one.
    const second = await start()
    t.after(() => second.watch.close())
    await tried(second.logs, id, 'errand/a')
    state.review(repository, ticket, { by: 'cleo', state: 'changes', body: 'Name it shop' })
    const next = await followed(second.logs, id, 2)
    assert.match(next.prompt!, /cleo:\n> Name it shop/)
    await tried(second.logs, id, 'errand/a')
    state.merge(repository, ticket)
    assert.equal((await stateAtEnd(second.logs, id))[0], 'done')
    let follows = 0
    for await (const { type } of second.logs.watch(id, 0)) if (type === 'task.follow') follows++
    assert.equal(follows, 2)
    assert.deepEqual(said, [])
  })

test('a push by a person, the same failure and a try without a push end following, and the task waits for a merge', async (t) => {
  const { state, repository, start, reviewed, tried, followed } = await world(t, 'github')
  const { logs, watch } = await start()
  t.after(() => watch.close())
  const fail = (sha: string, error: string) =>
    state.setCheck(repository, { sha, name: 'unit', state: 'failure', description: error })
  const one = async (name: string, outcome: { pushes: boolean; error: string }) => {
    const { id, ticket } = await reviewed(logs, name, { follow: true })
    fail(state.headOf(repository, ticket)!, 'error: x')
    await followed(logs, id)
    fail(await tried(logs, id, `errand/${name}`, outcome.pushes), outcome.error)
    return { id, ticket, end: await followed(logs, id, 2) }
  }
  const same = await one('a', { pushes: true, error: 'error: x' })
  assert.deepEqual([same.end.action, same.end.why], ['stop', 'same_failure'])
  const unchanged = await one('b', { pushes: false, error: 'error: x' })
  assert.equal(unchanged.end.why, 'unchanged')
  const { id, ticket } = await reviewed(logs, 'c', { follow: true })
  state.commit(repository.path, 'errand/c', { a: 'theirs' }, 'mine now', 'cleo')
  assert.equal((await followed(logs, id)).why, 'pushed')
  assert.equal((await logs.get(id)).fold.state, 'in_review')
  state.merge(repository, ticket)
  assert.equal((await stateAtEnd(logs, id))[0], 'done')
})

test('a pull request merged during another try is done', async (t) => {
  const { state, repository, start, reviewed, followed } = await world(t, 'github')
  const { logs, watch } = await start()
  t.after(() => watch.close())
  const { id, ticket } = await reviewed(logs, 'a', { follow: true })
  state.setCheck(repository, { sha: state.headOf(repository, ticket)!, name: 'unit', state: 'failure' })
  await followed(logs, id)
  await logs.change(id, () => [{ type: 'task.try_started', run_id: 'run_2', number: 2, stage: 'implement' }])
  state.merge(repository, ticket)
  await until(() => logs.openTask(id)?.fold.state === 'done')
})

test('a webhook of the forge ends the wait between two looks, for its repository and pull request', async (t) => {
  const { state, repository, standIn, start, reviewed } = await world(t, 'github')
  const { logs, watch } = await start({ first: 3_600_000, most: 3_600_000 })
  t.after(() => watch.close())
  const { id, ticket } = await reviewed(logs, 'a')
  const checks = () => standIn.seen.filter(({ path }) => path.endsWith(`/pulls/${ticket.number}`)).length
  await until(() => checks() === 1)
  const where = { host: standIn.host, path: 'ACME/app' }
  assert.equal(watch.wake({ ...where, path: 'acme/other' }), 0)
  assert.equal(watch.wake({ ...where, number: ticket.number + 1 }), 0)
  state.merge(repository, ticket)
  assert.equal(watch.wake({ ...where, number: ticket.number }), 1)
  assert.equal((await stateAtEnd(logs, id))[0], 'done')
})
