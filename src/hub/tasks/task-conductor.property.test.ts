import assert from 'node:assert/strict'
import test from 'node:test'
import { ScriptedRuns } from '../../../test/support/tasks/scripted-runs.ts'
import { testTask, testTaskSpec, time } from '../../../test/support/tasks/tasks-fixture.ts'
import type { NewEvent } from '../../contract/events.ts'
import type { NewTaskEvent, TaskEvent } from '../../contract/tasks/task-log.ts'
import type { TaskSpec } from '../../contract/tasks/task-record.ts'
import { foldTask, isOver, openTry } from '../../engine/tasks/evolve-task.ts'
import { MemoryTaskStore } from '../../stores/tasks/memory.ts'
import type { TaskStore } from '../../stores/tasks/task-store.ts'
import { TaskConductor } from './task-conductor.ts'
import { TaskLogs } from './task-logs.ts'

/** The ends of a task's tries, in order; the last one repeats. */
type Script = readonly ('lost' | 'success' | 'test' | 'no_change')[]

const artifact = (kind: 'pack' | 'diff', n: number) => ({
  ...{
    artifact_id: `2.${n}`,
    kind,
    name: `work.${kind}`,
    bytes: 1,
    sha256: '0'.repeat(64),
    media_type: 'text/plain',
  },
})

/** Returns the events of the run of a try: it does some work and then ends as its script says. */
function events(end: Script[number]): NewEvent[] {
  const tip = end === 'no_change' ? '' : 'b'.repeat(40)
  const finished: NewEvent =
    end === 'lost'
      ? { type: 'run.finished', status: 'interrupted', reason: 'lost' }
      : end === 'test'
        ? { type: 'run.finished', status: 'failed', reason: 'test' }
        : { type: 'run.finished', status: 'success' }
  return [
    { type: 'run.started' },
    {
      type: 'attempt.created',
      attempt: 2,
      step: 'carry',
      phase: 'main',
      instance: 0,
      host: 'local',
      try: 1,
      epoch: 1,
    },
    { type: 'artifact.kept', attempt: 2, artifact: artifact('pack', 1) },
    { type: 'artifact.kept', attempt: 2, artifact: artifact('diff', 2) },
    {
      ...{ type: 'attempt.finished', attempt: 2, step: 'carry', host: 'local', outcome: 'success' },
      exports: { START_SHA: 'a'.repeat(40), TIP_SHA: tip },
    },
    finished,
  ]
}

/** Wraps the store of a hub that is killed after this many commits; from then on it does nothing. */
function mortal(store: MemoryTaskStore, commits: number, killed: () => void): TaskStore {
  let left = commits
  const dead = () => new Promise<never>(() => {})
  return {
    get: (id) => (left === 0 ? dead() : store.get(id)),
    find: (key) => store.find(key),
    list: (query) => store.list(query),
    open: () => store.open(),
    over: (...of) => store.over(...of),
    remove: (id) => store.remove(id),
    events: (...of) => (left === 0 ? dead() : store.events(...of)),
    reportedTo: (id) => store.reportedTo(id),
    markReported: (...of) => store.markReported(...of),
    unreported: (limit) => store.unreported(limit),
    create: (tasks) => store.create(tasks),
    async append(...of) {
      if (left === 0) return await dead()
      await store.append(...of)
      if (--left > 0) return
      killed()
      return await dead()
    },
  }
}

/** A chain and a separate task, each with its script. */
const stories: Readonly<Record<string, { script: Script; after?: string; ends: string; tries: number }>> = {
  a: { script: ['lost', 'success'], ends: 'done', tries: 2 },
  b: { script: ['no_change'], after: 'a', ends: 'no_change', tries: 1 },
  c: { script: ['lost'], ends: 'failed', tries: 3 },
  d: { script: ['test'], ends: 'failed', tries: 1 },
  e: { script: ['success'], after: 'd', ends: 'blocked', tries: 0 },
}

/** Conducts all tasks until nothing changes, with a hub that is killed after each of these numbers of commits. */
async function conduct(kills: readonly number[], limit: number) {
  const store = new MemoryTaskStore()
  const tried = new Map<string, number>()
  const runs = new ScriptedRuns((workflow) => {
    const { name } = workflow as { name: string }
    const number = tried.get(name) ?? 0
    tried.set(name, number + 1)
    const { script } = stories[name]!
    return events(script[Math.min(number, script.length - 1)]!)
  })
  const specs = Object.entries(stories).map(([name, { after }]): TaskSpec => {
    const depends_on = after === undefined ? [] : [testTaskSpec(after).id]
    return testTaskSpec(name, { depends_on, ask: { run_retries: 2 } })
  })
  await new TaskLogs(store).create(specs, 'ada')
  const isSettled = async () => (await store.open()).every(({ state }) => state === 'blocked')

  for (const kill of [...kills, Number.POSITIVE_INFINITY]) {
    const { promise: killed, resolve } = Promise.withResolvers<void>()
    const settled = Promise.withResolvers<void>()
    const logs = new TaskLogs(mortal(store, kill, resolve), {
      changed: () => void isSettled().then((yes) => yes && settled.resolve()),
    })
    await logs.restore()
    const conductor = new TaskConductor({
      ...{ logs, engine: runs, limits: { perOwner: limit }, retryMs: 1, random: () => 0 },
      taskRun: async ({ task_id }) => ({ workflow: { name: task_id } }),
      log: () => {},
    })
    conductor.resume()
    if (await isSettled()) settled.resolve()
    await Promise.race([killed, settled.promise])
    // A killed hub never answers, so it is not waited for.
    const closing = conductor.close()
    if (kill === Number.POSITIVE_INFINITY) await closing
  }
  return { store, runs, specs }
}

async function check(
  { store, runs, specs }: Awaited<ReturnType<typeof conduct>>,
  what: string,
): Promise<number> {
  let commits = 0
  let tries = 0
  for (const { id, own_id } of specs) {
    const log = await store.events(id, 0, 1000)
    commits += log.length - 1
    const fold = foldTask(log)
    const story = stories[own_id]!
    assert.deepEqual([fold.state, fold.tries.length], [story.ends, story.tries], `${own_id}, ${what}`)
    assert.ok(isOver(fold) || fold.state === 'blocked')
    // There was never more than one open try, and nothing was logged twice.
    for (let end = 1; end <= log.length; end++) {
      const then = foldTask(log.slice(0, end))
      assert.ok(then.tries.filter(({ status }) => status === undefined).length <= 1)
      assert.ok(openTry(then) === undefined || then.tries.at(-1) === openTry(then))
    }
    const sources = log.map((event: TaskEvent) =>
      'from' in event && event.from ? JSON.stringify([event.type, event.from]) : event.seq,
    )
    assert.equal(new Set(sources).size, sources.length, `${own_id} reports something twice, ${what}`)
    assert.equal(fold.artifacts.length, 2 * story.tries)
    for (const { run_id } of fold.tries) assert.ok(runs.runs.has(run_id))
    tries += fold.tries.length
  }
  assert.equal(runs.runs.size, tries, `one run per try, ${what}`)
  return commits
}

test('tasks end the same, with one run per try, wherever the hub is killed', async () => {
  const commits = await check(await conduct([], 2), 'not killed')
  for (let kill = 1; kill <= commits; kill++) await check(await conduct([kill], 2), `killed after ${kill}`)
  for (let every = 1; every <= 4; every++)
    await check(await conduct(Array(60).fill(every), 1), `killed after every ${every}`)
})

test('a try for review comments is created once, with those comments, wherever the hub is killed', async () => {
  const before = { run_id: 'run_before', seq: 1 }
  const log: NewTaskEvent[] = [
    { type: 'task.try_started', run_id: before.run_id, number: 1, stage: 'check' },
    { type: 'task.pushed', from: before, sha: 'one', branch: 'b', forced: false },
    { type: 'task.pull_request', from: before, pull_request: { url: 'u', number: 1, state: 'open' } },
    { type: 'task.try_ended', from: before, run_id: before.run_id, status: 'success' },
    { type: 'task.state', from: before, state: 'in_review' },
    {
      ...{ type: 'task.follow', action: 'try', message: 'Try 1', prompt: 'mend it' },
      try: { sha: 'one', failure: 'unit', notes: [] },
    },
    { type: 'task.state', state: 'pending', stage: 'implement' },
  ]
  for (let kill = 1; kill <= 6; kill++) {
    const store = new MemoryTaskStore()
    const runs = new ScriptedRuns(() => events('success'))
    const spec = testTaskSpec('a', { ask: { follow: true } })
    const made = new TaskLogs(store)
    await made.create([spec], 'ada')
    await made.change(spec.id, () => log)
    const requested: (string | undefined)[] = []
    for (const commits of [kill, Number.POSITIVE_INFINITY]) {
      const { promise: killed, resolve } = Promise.withResolvers<void>()
      const reviewed = Promise.withResolvers<void>()
      const isReviewed = async () => (await store.open())[0]?.state === 'in_review'
      const logs = new TaskLogs(mortal(store, commits, resolve), {
        changed: () => void isReviewed().then((yes) => yes && reviewed.resolve()),
      })
      await logs.restore()
      const conductor = new TaskConductor({
        ...{ logs, engine: runs, retryMs: 1, log: () => {} },
        taskRun: async (_, { feedback, stage }) => {
          requested.push(`${stage}: ${feedback}`)
          return { workflow: {} }
        },
      })
      conductor.resume()
      if (await isReviewed()) reviewed.resolve()
      await Promise.race([killed, reviewed.promise])
      const closing = conductor.close()
      if (commits === Number.POSITIVE_INFINITY) await closing
    }
    assert.equal(runs.runs.size, 1, `killed after ${kill}`)
    assert.deepEqual([...new Set(requested)], ['implement: mend it'], `killed after ${kill}`)
    const fold = foldTask(await store.events(spec.id, 0, 1000))
    assert.deepEqual([fold.tries.length, fold.follow.prompt], [2, undefined])
  }
})

test('no more tasks run than allowed, and the most urgent ones first', async () => {
  const store = new MemoryTaskStore()
  const runs = new ScriptedRuns()
  const logs = new TaskLogs(store)
  const order: string[] = []
  const conductor = new TaskConductor({
    ...{ logs, engine: runs, limits: { perRepository: 2 }, log: () => {} },
    taskRun: async ({ task_id }) => {
      order.push(task_id!)
      return { workflow: { name: task_id } }
    },
  })
  const specs = ['a', 'b', 'c', 'd'].map((name, n) =>
    testTaskSpec(name, { task: testTask({ task_id: name }), priority: n, created_at: time }),
  )
  await logs.create(specs, 'ada')
  conductor.resume()
  const until = async (condition: () => boolean) => {
    while (!condition()) await new Promise((resolve) => setImmediate(resolve))
  }
  await until(() => runs.runs.size === 2)
  await until(() => [...logs.open()].filter(({ fold }) => fold.why !== undefined).length === 2)
  assert.deepEqual(order, ['d', 'c'])
  const [first] = runs.runs.keys()
  runs.emit(first!, { type: 'run.finished', status: 'success' })
  await until(() => runs.runs.size === 3)
  assert.deepEqual(order, ['d', 'c', 'b'])
  assert.equal(logs.openTask(testTaskSpec('a').id)?.fold.state, 'pending')
  await conductor.close()
})
