import assert from 'node:assert/strict'
import test from 'node:test'
import { asLog, created, foldOf, testTaskSpec } from '../../../test/support/tasks/tasks-fixture.ts'
import { ErrandError } from '../../contract/errors.ts'
import type { NewTaskEvent } from '../../contract/tasks/task-log.ts'
import { standOf } from '../../engine/tasks/evolve-task.ts'
import { MemoryTaskStore } from '../../stores/tasks/memory.ts'
import { RegistryOutbox } from './registry-outbox.ts'

const log: NewTaskEvent[] = [
  { type: 'task.try_started', run_id: 'run_1', number: 1, stage: 'check' },
  {
    ...{ type: 'task.artifact', from: { run_id: 'run_1', seq: 4 } },
    artifact: {
      ...{ artifact_id: '2.1', kind: 'diff', name: 'a.diff', bytes: 9, sha256: '0'.repeat(64) },
      media_type: 'text/x-diff',
    },
  },
  { type: 'task.try_ended', run_id: 'run_1', status: 'success', from: { run_id: 'run_1', seq: 9 } },
  { type: 'task.state', state: 'done' },
]

async function storeOf(...names: string[]): Promise<MemoryTaskStore> {
  const store = new MemoryTaskStore()
  for (const name of names) {
    const spec = testTaskSpec(name)
    await store.create([{ spec, stand: standOf(foldOf()), events: asLog([created]) }])
    await store.append(spec.id, asLog(log, 2), standOf(foldOf(...log)))
  }
  return store
}

/** A registry that fails as `fails` says and records what it took, in order. */
function registryOf(fails: (what: string) => ErrandError | undefined = () => undefined) {
  const took: string[] = []
  const take = async (what: string) => {
    const failure = fails(what)
    if (failure !== undefined) throw failure
    took.push(what)
  }
  return {
    took,
    registry: {
      url: 'https://registry.example',
      setStatus: (id: string, { status }: { status: string }) => take(`${id} ${status}`),
      addEvent: (id: string, { event_type, event_id }: { event_type: string; event_id?: string }) =>
        take(`${id} ${event_type} ${event_id}`),
      addArtifact: (id: string, { uri }: { uri: string }) => take(`${id} ${uri}`),
    },
  }
}

const whole = (name: string) => [
  `${name} pending`,
  `${name} running`,
  `${name} task.try_started ${testTaskSpec(name).id}.2`,
  `${name} errand://artifact/run_1/2.1`,
  `${name} task.try_ended ${testTaskSpec(name).id}.4`,
  `${name} done`,
]

const until = async (condition: () => boolean | Promise<boolean>) => {
  while (!(await condition())) await new Promise((resolve) => setImmediate(resolve))
}

test('a registry gets everything in order, and later news as it happens', async () => {
  const store = await storeOf('a')
  const { took, registry } = registryOf()
  const outbox = new RegistryOutbox({ store, registry, log: () => {} })
  await until(() => took.length === 6)
  assert.deepEqual(took, whole('a'))
  const { id } = testTaskSpec('a')
  await store.append(id, asLog([{ type: 'task.state', state: 'pending' }], 6), standOf(foldOf()))
  outbox.look()
  await until(() => took.length === 7)
  assert.equal(took.at(-1), 'a pending')
  await outbox.close()
  await outbox.close()
})

test('a registry that was unavailable gets the rest later, even from another process', async () => {
  const store = await storeOf('a')
  let isAway = false
  const away = registryOf((what) => {
    isAway ||= what === 'a running'
    return isAway ? new ErrandError('unavailable', 'away') : undefined
  })
  const lines: string[] = []
  const first = new RegistryOutbox({
    store,
    registry: away.registry,
    retryMs: 1,
    log: (line) => lines.push(line),
  })
  await until(() => lines.length > 1)
  await first.close()
  assert.deepEqual(away.took, ['a pending'])
  assert.match(lines[0]!, /could not be updated; trying again: away/)
  const back = registryOf()
  const second = new RegistryOutbox({ store, registry: back.registry, log: () => {} })
  await until(async () => (await store.unreported(1)).length === 0)
  assert.deepEqual(back.took, whole('a').slice(1))
  await second.close()
})

test('leaves out what the registry refuses and logs it; a failing entry delays no other task', async () => {
  const store = await storeOf('a', 'b')
  const answer = (status: number) =>
    new ErrandError('service_answer', `HTTP ${status}`, { details: { status } })
  let isBroken = true
  const { took, registry } = registryOf((what) =>
    what === 'a running' && isBroken ? answer(500) : what === 'b running' ? answer(404) : undefined,
  )
  const lines: string[] = []
  const outbox = new RegistryOutbox({ store, registry, retryMs: 1, log: (line) => lines.push(line) })
  await until(() => took.includes('b done'))
  assert.ok(!took.includes('a done'))
  isBroken = false
  await until(async () => (await store.unreported(1)).length === 0)
  assert.deepEqual(
    took.filter((what) => what.startsWith('a')),
    whole('a'),
  )
  assert.deepEqual(
    took.filter((what) => what.startsWith('b')),
    [...['b pending', ...whole('b').slice(3)]],
  )
  assert.ok(lines.some((line) => /did not accept event 2 of task .*: HTTP 404/.test(line)))
  await outbox.close()
})
