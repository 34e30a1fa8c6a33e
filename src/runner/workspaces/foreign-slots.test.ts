import assert from 'node:assert/strict'
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test, { type TestContext } from 'node:test'
import { until } from '../../../test/support/runner/attempt-fixture.ts'
import { ErrandError } from '../../contract/errors.ts'
import type { RunCheckouts } from '../attempts/workspaces.ts'
import type { PlatformContext, PlatformStep } from '../platform-steps/platform-step.ts'
import { ForeignSlots } from './foreign-slots.ts'

const repo = 'https://git.example/shop/web'

/** Makes a machine with an external pool, whose slot is `path`; each `open` is a process of the runner. */
function machine(t: TestContext) {
  const root = mkdtempSync(join(tmpdir(), 'errand-foreign-'))
  t.after(() => rmSync(root, { recursive: true, force: true }))
  const [folder, elsewhere] = [join(root, 'workspace'), join(root, 'elsewhere')]
  for (const dir of ['slot', 'runs/run_2']) mkdirSync(join(folder, dir), { recursive: true })
  mkdirSync(elsewhere)
  const pool = {
    path: join(folder, 'slot'),
    fails: undefined as Error | undefined,
    asked: [] as object[],
    released: [] as unknown[],
  }
  const service = {
    url: 'https://pool.example',
    async allocate(ask: object) {
      pool.asked.push(ask)
      if (pool.fails) throw pool.fails
      return { slot_id: '7', slot_path: pool.path, fence: 'f' }
    },
    async release(...of: unknown[]) {
      if (pool.fails) throw pool.fails
      pool.released.push(of.slice(0, 2))
    },
  }
  const offered: unknown[] = []
  const inner: PlatformStep = {
    async run({ args, workspace }) {
      offered.push(args, workspace)
      return {}
    },
  }
  const open = () => {
    const slots = new ForeignSlots({
      ...{ service, dir: folder, allowed: [folder], own: [join(folder, 'runs')], retryMs: 1 },
      log: () => {},
    })
    const steps = slots.steps((action) => (action === 'none' ? undefined : Promise.resolve(inner)))
    const run = async (args: object = { repo }, action = 'git.workspace') => {
      const spec = { run_id: 'run_1' }
      const signal = new AbortController().signal
      const context = {
        spec,
        args,
        signal,
        get workspace() {
          return folder
        },
      } as unknown as PlatformContext
      return await (await steps(action))?.run(context)
    }
    return { slots, run }
  }
  return { root, folder, elsewhere, pool, given: offered, open }
}

test('a run works in a slot of the pool, and returns it when it is over', async (t) => {
  const { folder, pool, given, open } = machine(t)
  const { slots, run } = open()
  await run()
  const slot_path = join(folder, 'slot')
  assert.deepEqual(given, [{ repo, slot_path }, folder])
  assert.deepEqual(pool.asked, [{ repo_url: repo, required_by: 'run_1', timeout_seconds: 600 }])
  // If the step names a folder, and in other steps, the pool is not used.
  await run({ repo, slot_path: '/mine' })
  await run({ repo }, 'git.check')
  assert.deepEqual([pool.asked.length, given[2], given[4]], [1, { repo, slot_path: '/mine' }, { repo }])
  assert.equal(await run({ repo }, 'none'), undefined)

  const released: string[] = []
  const own: RunCheckouts = {
    of: () => undefined,
    runs: () => ['run_0'],
    keep: (runId) => void released.push(runId),
    release: async (runId) => void released.push(runId),
  }
  const both = slots.over(own)
  assert.deepEqual(both.runs(), ['run_0', 'run_1'])
  await both.release('run_1')
  await both.release('run_1')
  await until(() => pool.released.length > 0)
  assert.deepEqual([pool.released, both.runs()], [[['7', 'f']], ['run_0']])
  assert.deepEqual(released, ['run_1', 'run_1'])
  await slots.close()
})

test('a slot is returned once the pool is available again, even by a later process', async (t) => {
  const { pool, open } = machine(t)
  const first = open()
  await first.run()
  await first.slots.close()
  const second = open()
  assert.deepEqual(second.slots.runs(), ['run_1'])
  pool.fails = new ErrandError('unavailable', 'away')
  second.slots.release('run_1')
  await second.slots.close()
  const third = open()
  assert.deepEqual(third.slots.runs(), [])
  pool.fails = undefined
  await until(() => pool.released.length === 1)
  await third.slots.close()
  await open().slots.close()
  assert.equal(pool.released.length, 1)
})

test('an unavailable pool or an invalid or forbidden slot ends the step before anything works there', async (t) => {
  const { root, folder, elsewhere, pool, given, open } = machine(t)
  const { slots, run } = open()
  symlinkSync(elsewhere, join(folder, 'link'))
  writeFileSync(join(folder, 'file'), '')
  for (const [path, words] of [
    ['slot', /not a folder on this machine/],
    [join(folder, 'gone'), /not a folder on this machine/],
    [join(folder, 'file'), /not a folder on this machine/],
    [elsewhere, /outside the folders/],
    [join(folder, 'link'), /outside the folders/],
    [`${folder}/slot/../../elsewhere`, /outside the folders/],
    [folder, /outside the folders/],
    [root, /outside the folders/],
    [join(folder, 'runs/run_2'), /outside the folders/],
    [join(folder, 'runs'), /outside the folders/],
  ] as const) {
    pool.path = path
    await assert.rejects(run(), { reason: 'workspace', message: words }, path)
  }
  pool.fails = new ErrandError('unavailable', 'The pool cannot be reached', { hint: 'Look.' })
  await assert.rejects(run(), { reason: 'workspace', message: 'The pool cannot be reached. Look.' })
  const answered = (status?: number) => new ErrandError('service_answer', 'answered', { details: { status } })
  pool.fails = answered(503)
  await assert.rejects(run(), { reason: 'workspace' })
  for (const status of [500, undefined]) {
    pool.fails = answered(status)
    await assert.rejects(run(), { code: 'service_answer' })
  }
  assert.deepEqual(given, [])
  await slots.close()
})
