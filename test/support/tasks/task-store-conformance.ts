import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { describe, it, type TestContext } from 'node:test'
import type { NewTaskEvent } from '../../../src/contract/tasks/task-log.ts'
import type { TaskSpec } from '../../../src/contract/tasks/task-record.ts'
import { foldTask, standOf } from '../../../src/engine/tasks/evolve-task.ts'
import type { NewTask, TaskStore } from '../../../src/stores/tasks/task-store.ts'
import { asLog, created, testTaskSpec } from './tasks-fixture.ts'

interface StoreUnderTest {
  name: string
  durable: boolean
  /** Opens the store in this folder. */
  open(dir: string): { store: TaskStore; close(): void }
}

const newTask = (spec: TaskSpec): NewTask => {
  const events = asLog([created])
  return { spec, events, stand: standOf(foldTask(events)) }
}

/** Checks every sentence of `TaskStore`'s doc comments, for any store. */
export function taskStoreConformance({ name, durable, open }: StoreUnderTest): void {
  const fresh = (t: TestContext) => {
    const dir = mkdtempSync(path.join(tmpdir(), 'errand-tasks-'))
    const opened = open(dir)
    t.after(() => {
      opened.close()
      rmSync(dir, { recursive: true, force: true })
    })
    return { store: opened.store, dir }
  }
  /** Appends to the existing events. */
  const append = async (store: TaskStore, id: string, ...more: NewTaskEvent[]) => {
    const before = await store.events(id, 0, 1000)
    const events = asLog(more, before.length + 1)
    await store.append(id, events, standOf(foldTask([...before, ...events])))
  }
  const begun = (run_id: string): NewTaskEvent => ({
    type: 'task.try_started',
    run_id,
    number: 1,
    stage: 'check',
  })

  describe(`task store: ${name}`, () => {
    it('returns tasks as given, by their id and by their name in a tenant', async (t) => {
      const { store } = fresh(t)
      const spec = testTaskSpec('a', { depends_on: ['task_x'], batch: { id: 'b', limit: 2 } })
      await store.create([newTask(spec), newTask(testTaskSpec('b'))])
      const record = await store.get(spec.id)
      assert.deepEqual(record, { ...spec, state: 'pending', updated_at: spec.created_at, last_seq: 1 })
      const key = { tenant: 'default', spec_name: 'tasks', own_id: 'a' }
      assert.deepEqual(await store.find(key), record)
      assert.equal(await store.find({ ...key, tenant: 'elsewhere' }), undefined)
      assert.deepEqual(await store.events(spec.id, 0, 10), asLog([created]))
    })

    it('stores all of several tasks or none, if a name is in use', async (t) => {
      const { store } = fresh(t)
      await store.create([newTask(testTaskSpec('a'))])
      const taken = { ...testTaskSpec('a'), id: testTaskSpec('z').id }
      await assert.rejects(store.create([newTask(testTaskSpec('b')), newTask(taken)]), {
        code: 'task_exists',
        details: [testTaskSpec('a').id],
      })
      await assert.rejects(
        store.create([
          newTask(testTaskSpec('c')),
          newTask({ ...testTaskSpec('c'), id: testTaskSpec('d').id }),
        ]),
        { code: 'task_exists' },
      )
      assert.equal((await store.list({ tenant: 'default', limit: 10 })).tasks.length, 1)
      await store.create([newTask({ ...taken, tenant: 'elsewhere' })])
    })

    it("appends events in order, with the task's state; of two that start a try one is refused", async (t) => {
      const { store } = fresh(t)
      const { id } = testTaskSpec('a')
      await store.create([newTask(testTaskSpec('a'))])
      const events = await store.events(id, 0, 10)
      const after = (run_id: string) => {
        const next = asLog([begun(run_id)], 2)
        return store.append(id, next, standOf(foldTask([...events, ...next])))
      }
      const results = await Promise.allSettled([after('run_1'), after('run_2')])
      assert.deepEqual(results.map(({ status }) => status).sort(), ['fulfilled', 'rejected'])
      const record = await store.get(id)
      assert.deepEqual([record?.state, record?.last_seq], ['running', 2])
      assert.match(record!.open_run!, /^run_[12]$/)
      await append(store, id, { type: 'task.state', state: 'canceled' }, { type: 'task.waiting', why: 'x' })
      assert.deepEqual([(await store.get(id))?.state, (await store.get(id))?.last_seq], ['canceled', 4])
      assert.equal((await store.events(id, 1, 2)).length, 2)
      await assert.rejects(append(store, 'task_unknown', begun('run_3')), { code: 'task_not_found' })
    })

    it('removes what the latest events no longer say', async (t) => {
      const { store } = fresh(t)
      const { id } = testTaskSpec('a')
      await store.create([newTask(testTaskSpec('a'))])
      await append(store, id, { type: 'task.waiting', why: 'full' })
      assert.equal((await store.get(id))?.why, 'full')
      await append(store, id, begun('run_1'))
      assert.equal('why' in (await store.get(id))!, false)
    })

    it('names open tasks, also a final one whose run continues, oldest first', async (t) => {
      const { store } = fresh(t)
      const later = { created_at: '2026-02-01T00:00:00.000Z' }
      const specs = [testTaskSpec('a', later), testTaskSpec('b'), testTaskSpec('c'), testTaskSpec('d')]
      await store.create(specs.map(newTask))
      await append(store, specs[1]!.id, { type: 'task.state', state: 'done' })
      await append(store, specs[2]!.id, begun('run_1'), { type: 'task.state', state: 'canceled' })
      assert.deepEqual(
        (await store.open()).map(({ own_id }) => own_id),
        ['c', 'd', 'a'],
      )
    })

    it('lists newest first, filtered, and paged without a gap', async (t) => {
      const { store } = fresh(t)
      const names = ['a', 'b', 'c', 'd', 'e']
      const made = names.map((own, n) =>
        testTaskSpec(own, { created_at: `2026-02-0${1 + (n >> 1)}T00:00:00.000Z` }),
      )
      await store.create([
        ...made.map(newTask),
        newTask(
          testTaskSpec('f', {
            owner: 'bob',
            repo: 'other',
            ask: { spec_name: 'more', agent: 'codex', title: 'Ä %_ title' },
          }),
        ),
        newTask(testTaskSpec('g', { tenant: 'elsewhere' })),
      ])
      const own = async (query: object) =>
        (await store.list({ tenant: 'default', limit: 50, ...query })).tasks.map(({ own_id }) => own_id)
      assert.deepEqual(await own({ owner: 'ada' }), ['e', 'd', 'c', 'b', 'a'])
      assert.deepEqual(await own({ repo: 'other' }), ['f'])
      assert.deepEqual(await own({ spec_name: 'more' }), ['f'])
      assert.deepEqual(await own({ own_id: 'c' }), ['c'])
      assert.deepEqual(await own({ agent: 'codex' }), ['f'])
      assert.deepEqual(
        [await own({ text: '%_ TIT' }), await own({ text: 'E' })],
        [['f'], ['e', 'd', 'c', 'b', 'a', 'f']],
      )
      await append(store, made[0]!.id, { type: 'task.state', state: 'done' })
      assert.deepEqual(await own({ states: ['done', 'failed'] }), ['a'])
      const paged: string[] = []
      for (let cursor: string | undefined; ; ) {
        const page = await store.list({ tenant: 'default', owner: 'ada', limit: 2, cursor })
        paged.push(...page.tasks.map(({ own_id }) => own_id))
        cursor = page.next_cursor
        if (cursor === undefined) break
      }
      assert.deepEqual(paged, ['e', 'd', 'c', 'b', 'a'])
      await assert.rejects(store.list({ tenant: 'default', limit: 2, cursor: 'x' }), { code: 'bad_request' })
    })

    it('lists tasks that wait for an answer first, then open ones, and omits none that ends meanwhile', async (t) => {
      const { store } = fresh(t)
      const made = ['a', 'b', 'c', 'd', 'e', 'f'].map((own, n) =>
        testTaskSpec(own, { created_at: `2026-02-0${1 + n}T00:00:00.000Z` }),
      )
      await store.create(made.map(newTask))
      await append(store, made[1]!.id, { type: 'task.state', state: 'waiting' })
      for (const n of [3, 5]) await append(store, made[n]!.id, { type: 'task.state', state: 'done' })
      const page = async (query: object = {}) => {
        const { tasks, next_cursor } = await store.list({
          ...{ tenant: 'default', sort: 'active', limit: 50 },
          ...query,
        })
        return { ids: tasks.map(({ own_id }) => own_id).join(''), next_cursor }
      }
      assert.equal((await page()).ids, 'becafd')
      assert.equal((await page({ owner: 'ada' })).ids, 'becafd')
      assert.equal((await page({ states: ['done', 'waiting'] })).ids, 'bfd')
      const first = await page({ limit: 3 })
      assert.equal(first.ids, 'bec')
      await append(store, made[0]!.id, { type: 'task.state', state: 'canceled' })
      const second = await page({ limit: 2, cursor: first.next_cursor })
      assert.equal(second.ids, 'fd')
      assert.equal((await page({ cursor: second.next_cursor })).ids, 'a')
      await assert.rejects(store.list({ tenant: 'default', limit: 2, cursor: first.next_cursor }), {
        code: 'bad_request',
      })
    })

    it('finds tasks that ended long ago, and removes them with their logs', async (t) => {
      const { store } = fresh(t)
      const made = ['a', 'b', 'c'].map((name) => testTaskSpec(name))
      await store.create(made.map(newTask))
      const [a, b, c] = made.map(({ id }) => id) as [string, string, string]
      for (const id of [a, b]) await append(store, id, { type: 'task.state', state: 'done' })
      await append(store, c, begun('run_1'))
      const { updated_at } = (await store.get(a))!
      assert.deepEqual(await store.over(updated_at, 10), [])
      const later = new Date(Date.parse(updated_at) + 60_000).toISOString()
      assert.deepEqual([await store.over(later, 10), await store.over(later, 1)], [[a, b], [a]])
      await store.remove(a)
      await store.remove(a)
      assert.deepEqual([await store.get(a), await store.events(a, 0, 10)], [undefined, []])
      assert.deepEqual([await store.find(made[0]!), await store.over(later, 10)], [undefined, [b]])
      await store.create([newTask(made[0]!)])
      assert.equal((await store.get(a))?.last_seq, 1)
    })

    it('knows how much of a task was reported elsewhere', async (t) => {
      const { store } = fresh(t)
      const [a, b] = [testTaskSpec('a').id, testTaskSpec('b').id]
      await store.create([newTask(testTaskSpec('a')), newTask(testTaskSpec('b'))])
      assert.deepEqual([await store.reportedTo(a), await store.unreported(10)], [0, [a, b]])
      await store.markReported(a, 1)
      assert.deepEqual([await store.reportedTo(a), await store.unreported(10)], [1, [b]])
      await append(store, a, begun('run_1'))
      assert.deepEqual(await store.unreported(10), [a, b])
    })

    if (durable)
      it('has all data after it was opened again', async (t) => {
        const { store, dir } = fresh(t)
        const { id } = testTaskSpec('a')
        await store.create([newTask(testTaskSpec('a'))])
        await append(store, id, begun('run_1'))
        const again = open(dir)
        assert.deepEqual(await again.store.get(id), await store.get(id))
        assert.deepEqual(await again.store.events(id, 0, 10), await store.events(id, 0, 10))
        again.close()
      })
  })
}
