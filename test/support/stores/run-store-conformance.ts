import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { describe, it, type TestContext } from 'node:test'
import type { RunPatch, RunSort } from '../../../src/contract/run.ts'
import type { RunQuery, RunStore } from '../../../src/engine/ports.ts'
import { testEvents, testSpec } from './runs-fixture.ts'

export interface StoreUnderTest {
  name: string
  durable: boolean
  /** Opens the store in this folder. Data from an earlier opening is found again. */
  open(dir: string): Promise<RunStore>
}

/** Checks every sentence of `RunStore`'s docstrings, for any store. */
export function runStoreConformance({ name, durable, open }: StoreUnderTest): void {
  const fresh = async (t: TestContext): Promise<{ store: RunStore; dir: string }> => {
    const dir = mkdtempSync(path.join(tmpdir(), 'errand-store-'))
    const store = await open(dir)
    t.after(async () => {
      await store.close()
      rmSync(dir, { recursive: true, force: true })
    })
    return { store, dir }
  }

  describe(`run store: ${name}`, () => {
    it('says whether it is durable', async (t) => {
      const { store } = await fresh(t)
      assert.equal(store.capabilities.durable, durable)
    })

    it('returns a new run as given, queued, with its events', async (t) => {
      const { store } = await fresh(t)
      const parent = { run_id: 'run_p', step: 'sub', phase: 'main', instance: 0, depth: 1 } as const
      const reused = { one: [{ host: 'local', exports: { A: 'b' } }] }
      const spec = testSpec('run_a', { parent, retry_of: 'run_o', carried: reused })
      await store.create(spec, testEvents(1, 3))
      assert.deepEqual(await store.get('run_a'), { ...spec, status: 'queued', last_seq: 3 })
      assert.deepEqual(await store.events('run_a', 0, 10), testEvents(1, 3))
    })

    it('accepts a run without events, and a patch with the first ones', async (t) => {
      const { store } = await fresh(t)
      await store.create(testSpec('run_a'), [], { status: 'running', waiting: 'for a runner' })
      const run = await store.get('run_a')
      assert.deepEqual([run?.status, run?.waiting, run?.last_seq], ['running', 'for a runner', 0])
    })

    it('lists and counts runs by the values of inputs, and those that wait for an answer', async (t) => {
      const { store } = await fresh(t)
      const long = 'x'.repeat(5000)
      const question = JSON.stringify({ now: { question: { kind: 'approval', step: 'one', text: 'Go?' } } })
      const at = (second: number) => `2026-01-01T00:00:0${second}.000Z`
      const put = (id: string, second: number, vars: Record<string, string>, patch: RunPatch) =>
        store.create(testSpec(id, { vars, created_at: at(second) }), [], patch)
      await put('run_a', 1, { region: 'eu', size: '1' }, { status: 'running', list_row: question })
      await put('run_b', 2, { region: 'eu', text: long }, { status: 'failed', list_row: question })
      await put('run_c', 3, { region: 'us' }, { status: 'failed' })
      await put('run_d', 4, { region: 'eu', size: '1' }, { status: 'success' })
      const ids = async (query: Partial<RunQuery>) =>
        (await store.list({ limit: 10, ...query })).runs.map(({ run_id }) => run_id)
      assert.deepEqual(await ids({ inputs: { region: 'eu' } }), ['run_d', 'run_b', 'run_a'])
      assert.deepEqual(await ids({ inputs: { size: '1', region: 'eu' } }), ['run_d', 'run_a'])
      assert.deepEqual(await ids({ inputs: { region: 'eu' }, statuses: ['failed', 'success'] }), [
        'run_d',
        'run_b',
      ])
      assert.deepEqual(await ids({ inputs: { text: long } }), ['run_b'])
      assert.deepEqual(await ids({ inputs: { Region: 'eu' } }), [])
      assert.deepEqual(await ids({ needs_answer: true }), ['run_a'])
      assert.deepEqual(await ids({ needs_answer: true, statuses: ['failed'] }), [])
      const first = await store.list({ inputs: { region: 'eu' }, limit: 2 })
      assert.deepEqual(await ids({ inputs: { region: 'eu' }, cursor: first.next_cursor! }), ['run_a'])
      assert.deepEqual(await store.counts({}), { by_status: { running: 1, failed: 2, success: 1 }, more: [] })
      const some = { inputs: { region: 'eu' }, created_after: at(1) }
      assert.deepEqual((await store.counts(some)).by_status, { failed: 1, success: 1 })
      assert.deepEqual((await store.counts({ needs_answer: true })).by_status, { running: 1 })
      await store.remove(['run_d'])
      assert.deepEqual(await ids({ inputs: { region: 'eu' } }), ['run_b', 'run_a'])
    })

    it('lists runs by their labels, and in other orders page by page', async (t) => {
      const { store } = await fresh(t)
      const at = (second: number) => `2026-01-01T00:00:0${second}.000Z`
      const put = (id: string, name: string, labels: Record<string, string> | undefined, times: number[]) =>
        store.create(
          testSpec(id, { workflow_name: name, created_at: at(times[0]!), ...(labels && { labels }) }),
          [],
          {
            status: times.length > 2 ? 'success' : 'running',
            ...(times[1] !== undefined && { started_at: at(times[1]) }),
            ...(times[2] !== undefined && { finished_at: at(times[2]) }),
          },
        )
      await put('run_a', 'Beta', { team: 'db', on: '' }, [0, 6, 9])
      await put('run_b', 'alpha', { team: 'db' }, [1, 2, 8])
      await put('run_c', 'gamma', { team: 'web' }, [2, 3, 4])
      await put('run_d', 'beta', undefined, [3, 5])
      await put('run_e', 'alpha', undefined, [4])
      const letters = async (query: Partial<RunQuery>) => {
        let found = ''
        for (let cursor: string | undefined; ; ) {
          const page = await store.list({ limit: 2, ...query, ...(cursor && { cursor }) })
          found += page.runs.map(({ run_id }) => run_id.slice(4)).join('')
          cursor = page.next_cursor
          if (cursor === undefined) return found
        }
      }
      const orders = { started: 'adecb', finished: 'edabc', duration: 'baced', name: 'ebdac' }
      assert.equal(await letters({}), 'edcba')
      for (const [sort, expected] of Object.entries(orders))
        assert.equal(await letters({ sort: sort as RunSort }), expected, sort)
      // Waiting does not count as part of the duration.
      await store.update('run_b', { events: [], patch: { waited_ms: Date.parse(at(8)) - Date.parse(at(1)) } })
      assert.equal(await letters({ sort: 'duration' }), 'acbed')
      assert.equal(await letters({ sort: '-started' }), 'bceda')
      assert.equal(await letters({ sort: '-name' }), 'cdaeb')
      assert.equal(await letters({ sort: '-finished', statuses: ['success'] }), 'cba')
      const { next_cursor: cursor } = await store.list({ limit: 2, sort: 'name' })
      await assert.rejects(store.list({ limit: 2, cursor: cursor! }), { code: 'bad_request' })
      await assert.rejects(store.list({ limit: 2, cursor: cursor!, sort: 'duration' }), {
        code: 'bad_request',
      })

      assert.equal(await letters({ labels: { team: 'db' } }), 'ba')
      assert.equal(await letters({ labels: { team: undefined } }), 'cba')
      assert.equal(await letters({ labels: { team: undefined, on: '' } }), 'a')
      assert.equal(await letters({ labels: { team: undefined }, sort: 'name' }), 'bac')
      assert.equal(await letters({ labels: { Team: 'db' } }), '')
      assert.deepEqual((await store.counts({ labels: { team: 'db' } })).by_status, { success: 2 })
      await store.remove(['run_b'])
      assert.equal(await letters({ labels: { team: 'db' } }), 'a')
    })

    it('lists open runs first, and omits none that ends between two pages', async (t) => {
      const { store } = await fresh(t)
      const statuses = [
        'running',
        'success',
        'failed',
        'queued',
        'success',
        'running',
        'canceled',
        'success',
      ] as const
      for (const [index, status] of statuses.entries()) {
        const spec = testSpec(`run_${index}`, {
          created_at: `2025-01-0${index + 1}T00:00:00.000Z`,
          labels: { team: 'db' },
        })
        await store.create(spec, testEvents(1), { status })
      }
      const page = async (query: Partial<RunQuery> = {}) => {
        const { runs, next_cursor } = await store.list({ sort: 'active', limit: 500, ...query })
        return { ids: runs.map(({ run_id }) => run_id.slice(4)).join(''), next_cursor }
      }
      assert.equal((await page()).ids, '53076421')
      assert.equal((await page({ statuses: ['running', 'success'] })).ids, '50741')
      assert.equal((await page({ statuses: ['success'] })).ids, '741')
      for (const narrowed of [{ owner: 'ada' }, { tenant: 'default' }, { workflow_name: 'demo' }])
        assert.equal((await page(narrowed)).ids, '53076421', JSON.stringify(narrowed))
      for (const narrowed of [
        { inputs: { COLOUR: 'grün' } },
        { labels: { team: undefined } },
        { text: 'demo' },
      ])
        assert.equal((await page(narrowed)).ids, '53076421', JSON.stringify(narrowed))

      // One run that was listed ends, and one that was not.
      const first = await page({ limit: 2 })
      assert.equal(first.ids, '53')
      for (const id of ['run_5', 'run_0'])
        await store.update(id, { events: [], patch: { status: 'success' } })
      const second = await page({ limit: 3, cursor: first.next_cursor! })
      assert.equal(second.ids, '765')
      const third = await page({ limit: 3, cursor: second.next_cursor! })
      await store.update('run_3', { events: [], patch: { status: 'failed' } })
      const last = await page({ cursor: third.next_cursor! })
      assert.equal(third.ids + last.ids, '4210')
      await assert.rejects(store.list({ limit: 2, sort: 'name', cursor: first.next_cursor! }), {
        code: 'bad_request',
      })
    })

    it('refuses an id in use and does not change that run', async (t) => {
      const { store } = await fresh(t)
      await store.create(testSpec('run_a'), testEvents(1))
      await assert.rejects(store.create(testSpec('run_a', { owner: 'bob' }), testEvents(1, 2)), {
        code: 'run_exists',
      })
      assert.equal((await store.get('run_a'))?.owner, 'ada')
      assert.equal((await store.events('run_a', 0, 10)).length, 1)
    })

    it('gives an id to one of two simultaneous requests', async (t) => {
      const { store } = await fresh(t)
      const both = ['ada', 'bob'].map((owner) => store.create(testSpec('run_a', { owner }), testEvents(1)))
      const results = await Promise.allSettled(both)
      assert.deepEqual(results.map((result) => result.status).sort(), ['fulfilled', 'rejected'])
      assert.equal((await store.events('run_a', 0, 10)).length, 1)
    })

    it('refuses first events whose numbers do not start at 1', async (t) => {
      const { store } = await fresh(t)
      await assert.rejects(store.create(testSpec('run_a'), testEvents(2)), { code: 'conflict' })
      assert.equal(await store.get('run_a'), undefined)
    })

    it('stores a commit of a hundred and fifty thousand events', async (t) => {
      const { store, dir } = await fresh(t)
      const count = 150_000
      await store.create(testSpec('run_a'), testEvents(1))
      await store.update('run_a', { events: testEvents(2, count) })
      const reader = durable ? await open(dir) : store
      assert.equal((await reader.get('run_a'))?.last_seq, count + 1)
      assert.deepEqual(await reader.events('run_a', count, 10), testEvents(count + 1))
      if (durable) await reader.close()
    })

    it('appends events and changes the record in one commit', async (t) => {
      const { store } = await fresh(t)
      await store.create(testSpec('run_a'), testEvents(1))
      await store.update('run_a', {
        events: testEvents(2, 2),
        patch: { status: 'running', started_at: 'now' },
      })
      const run = await store.get('run_a')
      assert.deepEqual([run?.status, run?.started_at, run?.last_seq], ['running', 'now', 3])
      assert.deepEqual(await store.events('run_a', 0, 10), testEvents(1, 3))
    })

    it('appends without a patch, and patches without events', async (t) => {
      const { store } = await fresh(t)
      await store.create(testSpec('run_a'), testEvents(1))
      await store.update('run_a', { events: testEvents(2) })
      await store.update('run_a', { events: [], patch: { last_notify_error: 'refused' } })
      const run = await store.get('run_a')
      assert.deepEqual([run?.last_seq, run?.last_notify_error], [2, 'refused'])
    })

    it('stores every field of a patch, and removes those that are undefined in a later one', async (t) => {
      const { store } = await fresh(t)
      await store.create(testSpec('run_a'), testEvents(1))
      const patch = {
        status: 'failed',
        reason: 'exit_code',
        message: 'a\u0000b "c" \ud83d\ude42',
        started_at: '2025-01-15T10:00:00.500Z',
        finished_at: '2025-01-15T10:00:02.000Z',
        outputs: { A: '1', 'B"': '' },
        waiting: 'x',
        last_notify_error: 'refused',
      } as const
      await store.update('run_a', { events: [], patch })
      assert.deepEqual(await store.get('run_a'), { ...testSpec('run_a'), ...patch, last_seq: 1 })
      await store.update('run_a', { events: [], patch: { waiting: undefined, outputs: undefined } })
      const { waiting: _, outputs: __, ...rest } = patch
      assert.deepEqual(await store.get('run_a'), { ...testSpec('run_a'), ...rest, last_seq: 1 })
    })

    it('refuses events that leave a gap or repeat one, and stores nothing of that call', async (t) => {
      const { store } = await fresh(t)
      await store.create(testSpec('run_a'), testEvents(1, 2))
      const holes = [testEvents(4), testEvents(2), [...testEvents(3), ...testEvents(5)]]
      for (const events of holes)
        await assert.rejects(store.update('run_a', { events, patch: { status: 'failed' } }), {
          code: 'conflict',
        })
      const run = await store.get('run_a')
      assert.deepEqual([run?.status, run?.last_seq], ['queued', 2])
      await store.update('run_a', { events: testEvents(3) })
      assert.deepEqual(await store.events('run_a', 0, 10), testEvents(1, 3))
    })

    it('does not know a run that was never created', async (t) => {
      const { store } = await fresh(t)
      for (const id of ['run_x', '../run_x', '', '.', 'a/b']) {
        await assert.rejects(store.update(id, { events: testEvents(1) }), { code: 'run_not_found' })
        await assert.rejects(store.update(id, { events: [], patch: {} }), { code: 'run_not_found' })
        assert.equal(await store.get(id), undefined)
        assert.deepEqual(await store.events(id, 0, 10), [])
      }
    })

    it('returns events after a number, oldest first, up to the limit', async (t) => {
      const { store } = await fresh(t)
      await store.create(testSpec('run_a'), testEvents(1, 5))
      await store.update('run_a', { events: testEvents(6, 5) })
      const seqs = async (after: number, limit: number) =>
        (await store.events('run_a', after, limit)).map((event) => event.seq)
      assert.deepEqual(await seqs(0, 3), [1, 2, 3])
      assert.deepEqual(await seqs(3, 4), [4, 5, 6, 7])
      assert.deepEqual(await seqs(8, 100), [9, 10])
      assert.deepEqual(await seqs(10, 100), [])
      assert.deepEqual(await seqs(1000, 100), [])
    })

    it('commits overlapping calls for different runs, and a refused one does not affect others', async (t) => {
      const { store } = await fresh(t)
      const ids = Array.from({ length: 50 }, (_, index) => `run_${index}`)
      await Promise.all(ids.map((id) => store.create(testSpec(id), testEvents(1))))
      const bad = [
        store.create(testSpec('run_0'), testEvents(1)),
        store.update('run_none', { events: testEvents(1) }),
        store.create(testSpec('run_hole'), testEvents(7)),
      ]
      const good = ids.map((id) => store.update(id, { events: testEvents(2, 3), patch: { message: id } }))
      const conflict = store.create(testSpec('run_1'), [])
      const results = await Promise.allSettled([...bad, conflict])
      assert.ok(results.every((result) => result.status === 'rejected'))
      await Promise.all(good)
      for (const id of ids) {
        assert.equal((await store.get(id))?.message, id)
        assert.deepEqual(await store.events(id, 0, 10), testEvents(1, 4))
      }
    })

    it('returns copies that later changes do not affect', async (t) => {
      const { store } = await fresh(t)
      await store.create(testSpec('run_a'), testEvents(1))
      const first = await store.get('run_a')
      first!.status = 'failed'
      await store.update('run_a', { events: testEvents(2) })
      assert.deepEqual([first?.last_seq, (await store.get('run_a'))?.status], [1, 'queued'])
    })

    it('lists the newest first and pages to the end, even if runs are added meanwhile', async (t) => {
      const { store } = await fresh(t)
      const time = (n: number) => new Date(Date.UTC(2025, 0, 1, 0, 0, n)).toISOString()
      // Two runs at each time, so that the id decides.
      const ids = Array.from({ length: 20 }, (_, n) => `run_${String(n).padStart(2, '0')}`)
      for (const [n, id] of ids.entries())
        await store.create(testSpec(id, { created_at: time(n >> 1) }), testEvents(1))
      const seen: string[] = []
      let cursor: string | undefined
      for (let page = 0; page < 100; page++) {
        const answer = await store.list({ limit: 3, cursor })
        seen.push(...answer.runs.map((run) => run.run_id))
        cursor = answer.next_cursor
        if (cursor === undefined) break
        await store.create(testSpec(`run_new${page}`, { created_at: time(100 + page) }), [])
      }
      assert.deepEqual(seen, ids.toReversed())
      const exact = await store.list({ limit: 26 })
      assert.deepEqual([exact.runs.length, exact.next_cursor], [26, undefined])
    })

    it('filters by each field, and by several at once', async (t) => {
      const { store } = await fresh(t)
      const make = (n: number, over: object, status?: 'success' | 'failed' | 'running') => {
        const created_at = `2025-01-15T10:00:0${n}.000Z`
        return store.create(
          testSpec(`run_${n}`, { created_at, ...over }),
          testEvents(1),
          status && { status },
        )
      }
      await make(0, { owner: 'bob' })
      await make(1, { workflow_name: 'other' }, 'success')
      await make(2, { tenant: 'acme', blueprint: 'agent' }, 'failed')
      await make(
        3,
        { parent: { run_id: 'run_0', step: 's', phase: 'main', instance: 0, depth: 1 } },
        'running',
      )
      const last = { owner: 'bob', workflow_name: 'other', tenant: 'acme', blueprint: 'agent' }
      await make(4, { ...last, continues: 'run_2', rolls_back: 'run_1' }, 'success')
      const ids = async (query: Omit<RunQuery, 'limit'>) =>
        (await store.list({ ...query, limit: 500 })).runs.map((run) => run.run_id.slice(4)).join('')
      assert.equal(await ids({}), '43210')
      assert.equal(await ids({ statuses: ['success'] }), '41')
      assert.equal(await ids({ statuses: ['queued', 'failed', 'queued'] }), '20')
      assert.equal(await ids({ statuses: [] }), '')
      assert.equal(await ids({ workflow_name: 'other' }), '41')
      assert.equal(await ids({ text: 'OTHE' }), '41')
      assert.equal(await ids({ text: 'Run_4' }), '4')
      assert.equal(await ids({ text: 'othe', owner: 'bob' }), '4')
      assert.equal(await ids({ text: '%' }), '')
      assert.equal(await ids({ owner: 'bob' }), '40')
      assert.equal(await ids({ tenant: 'acme' }), '42')
      assert.equal(await ids({ blueprint: 'agent' }), '42')
      assert.equal(await ids({ blueprint: 'workflow' }), '310')
      assert.equal(await ids({ blueprint: 'agent', tenant: 'acme', owner: 'bob' }), '4')
      assert.equal(await ids({ parent_run_id: 'run_0' }), '3')
      assert.equal(await ids({ parent_run_id: 'run_0', owner: 'bob' }), '')
      assert.equal(await ids({ continues: 'run_2' }), '4')
      assert.equal(await ids({ continues: 'run_2', owner: 'ada' }), '')
      assert.equal(await ids({ rolls_back: 'run_1' }), '4')
      assert.equal(await ids({ rolls_back: 'run_1', statuses: ['failed', 'running'] }), '')
      assert.equal(await ids({ rolls_back: 'run_2', tenant: 'acme' }), '')
      assert.equal(await ids({ owner: 'bob', statuses: ['success', 'failed'], tenant: 'acme' }), '4')
      // Both ends are exclusive, in any notation of the time.
      assert.equal(await ids({ created_after: '2025-01-15T10:00:02Z' }), '43')
      assert.equal(await ids({ created_before: '2025-01-15T11:00:02+01:00' }), '10')
      const first = await store.list({ owner: 'ada', limit: 1 })
      const second = await store.list({ owner: 'ada', limit: 1, cursor: first.next_cursor })
      assert.deepEqual(
        [first, second].map((page) => page.runs[0]?.run_id),
        ['run_3', 'run_2'],
      )
    })

    it('lists the tries of a chain, and only the newest of each', async (t) => {
      const { store } = await fresh(t)
      await store.create(testSpec('run_a'), [])
      await store.create(testSpec('run_b'), [])
      await store.create(testSpec('run_c', { retry_of: 'run_a', first_run: 'run_a', try: 2 }), [])
      await store.create(testSpec('run_d', { retry_of: 'run_a', first_run: 'run_a', try: 3 }), [])
      const ids = async (query: Omit<RunQuery, 'limit'>) =>
        (await store.list({ ...query, limit: 500 })).runs.map((run) => run.run_id.slice(4)).join('')
      assert.equal(await ids({ first_run: 'run_a' }), 'dc')
      assert.equal(await ids({ first_run: 'run_b' }), '')
      assert.equal(await ids({ latest: true }), 'db')
      assert.equal(await ids({ latest: true, tenant: 'default', statuses: ['queued'] }), 'db')
      await store.create(testSpec('run_e', { owner: 'bob', first_run: 'run_a', try: 4 }), [])
      assert.equal(await ids({ latest: true }), 'eb')
      assert.equal(await ids({ latest: true, owner: 'ada' }), 'db')
      assert.equal(await ids({ latest: true, owner: 'bob' }), 'e')
      await store.remove(['run_d', 'run_e'])
      assert.equal(await ids({ latest: true }), 'cb')
    })

    it('shows the last update of a run in a list', async (t) => {
      const { store } = await fresh(t)
      await store.create(testSpec('run_a'), testEvents(1))
      await store.list({ limit: 1 })
      await store.update('run_a', { events: testEvents(2), patch: { status: 'success' } })
      await store.update('run_a', { events: [], patch: { last_notify_error: 'refused' } })
      const { runs } = await store.list({ statuses: ['success'], limit: 1 })
      assert.deepEqual(runs, [await store.get('run_a')])
    })

    it('refuses an invalid limit, time or cursor', async (t) => {
      const { store } = await fresh(t)
      const bad: RunQuery[] = [
        { limit: 0 },
        { limit: 501 },
        { limit: 1.5 },
        { limit: 1, created_after: 'yesterday' },
        { limit: 1, cursor: 'nonsense' },
        { limit: 1, cursor: Buffer.from('{"a":1}').toString('base64url') },
      ]
      for (const query of bad) await assert.rejects(store.list(query), { code: 'bad_request' })
    })

    it('names the runs that are not final, oldest first', async (t) => {
      const { store } = await fresh(t)
      for (const [n, status] of (
        ['running', 'success', 'queued', 'failed', 'canceled', 'interrupted'] as const
      ).entries())
        await store.create(testSpec(`run_${n}`, { created_at: `2025-01-15T10:00:0${9 - n}.000Z` }), [], {
          status,
        })
      assert.deepEqual(await store.open(), ['run_2', 'run_0'])
    })

    it('ends open runs as interrupted, and only those', async (t) => {
      const { store } = await fresh(t)
      await store.create(testSpec('run_a'), testEvents(1), { status: 'running', waiting: 'for x' })
      await store.create(testSpec('run_b', { created_at: '2025-01-15T10:00:01.000Z' }), testEvents(1, 2))
      await store.create(testSpec('run_c'), testEvents(1), { status: 'success' })
      assert.deepEqual(await store.markInterrupted('The engine ended.', ['run_b', 'run_c', 'run_x']), [
        'run_b',
      ])
      assert.deepEqual(await store.markInterrupted('The engine ended.'), ['run_a'])
      assert.deepEqual(await store.markInterrupted('The engine ended.'), [])
      assert.equal((await store.get('run_c'))?.status, 'success')
      const run = await store.get('run_b')
      const [event] = await store.events('run_b', 2, 10)
      const end = { status: 'interrupted', reason: 'interrupted', message: 'The engine ended.' } as const
      assert.deepEqual(event, { seq: 3, time: run?.finished_at, type: 'run.finished', ...end })
      assert.deepEqual(run, {
        ...testSpec('run_b', { created_at: run!.created_at }),
        ...end,
        finished_at: event?.time,
        last_seq: 3,
      })
      assert.equal((await store.get('run_a'))?.waiting, undefined)
    })

    it('removes runs with their events, and does not change the others', async (t) => {
      const { store } = await fresh(t)
      for (const id of ['run_a', 'run_b', 'run_c'])
        await store.create(testSpec(id), testEvents(1, 5), { status: 'success' })
      await store.list({ limit: 10 })
      await store.remove(['run_a', 'run_c', 'run_x', '../run_b'])
      assert.deepEqual(
        (await store.list({ limit: 10 })).runs.map((run) => run.run_id),
        ['run_b'],
      )
      for (const id of ['run_a', 'run_c']) {
        assert.equal(await store.get(id), undefined)
        assert.deepEqual(await store.events(id, 0, 10), [])
        await assert.rejects(store.update(id, { events: testEvents(6) }), { code: 'run_not_found' })
      }
      assert.deepEqual(await store.events('run_b', 0, 10), testEvents(1, 5))
      await store.create(testSpec('run_a', { owner: 'bob' }), testEvents(1))
      assert.equal((await store.get('run_a'))?.owner, 'bob')
      assert.deepEqual(await store.events('run_a', 0, 10), testEvents(1))
      await store.remove([])
    })

    it('removes a run of many events', async (t) => {
      const { store } = await fresh(t)
      await store.create(testSpec('run_a'), testEvents(1, 5001), { status: 'success' })
      await store.remove(['run_a'])
      assert.deepEqual(await store.events('run_a', 0, 10), [])
      await store.create(testSpec('run_a'), testEvents(1))
    })

    it('may be closed twice', async (t) => {
      const { store } = await fresh(t)
      await store.create(testSpec('run_a'), testEvents(1))
      await store.close()
      await store.close()
    })

    if (durable) durableConformance(open, fresh)
  })
}

function durableConformance(
  open: StoreUnderTest['open'],
  fresh: (t: TestContext) => Promise<{ store: RunStore; dir: string }>,
): void {
  it('finds all data when it is opened again, and continues', async (t) => {
    const { store, dir } = await fresh(t)
    await store.create(testSpec('run_a'), testEvents(1, 2), { status: 'running' })
    await store.update('run_a', { events: testEvents(3, 2), patch: { message: 'x', waiting: 'y' } })
    await store.update('run_a', { events: [], patch: { waiting: undefined } })
    const before = await store.get('run_a')
    await store.close()
    const again = await open(dir)
    t.after(() => again.close())
    assert.deepEqual(await again.get('run_a'), before)
    assert.deepEqual((await again.list({ limit: 10 })).runs, [before])
    assert.deepEqual(await again.events('run_a', 0, 10), testEvents(1, 4))
    assert.deepEqual(await again.open(), ['run_a'])
    await again.update('run_a', { events: testEvents(5), patch: { status: 'success' } })
    assert.deepEqual(await again.open(), [])
  })

  it('does not find removed runs when it is opened again', async (t) => {
    const { store, dir } = await fresh(t)
    for (const id of ['run_a', 'run_b']) await store.create(testSpec(id), testEvents(1, 3))
    await store.remove(['run_a'])
    await store.close()
    const again = await open(dir)
    t.after(() => again.close())
    assert.deepEqual(await again.open(), ['run_b'])
    assert.deepEqual(await again.events('run_a', 0, 10), [])
  })

  it('commits accepted calls before it is closed', async (t) => {
    const { store, dir } = await fresh(t)
    const creating = Array.from({ length: 20 }, (_, n) => store.create(testSpec(`run_${n}`), testEvents(1)))
    await store.close()
    await Promise.all(creating)
    const again = await open(dir)
    t.after(() => again.close())
    assert.equal((await again.open()).length, 20)
  })
}
