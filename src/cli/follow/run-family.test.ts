import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ErrandError, type ErrorCode } from '../../contract/errors.ts'
import type { RunEvent } from '../../contract/events.ts'
import { eachEvent } from './run-family.ts'

const at = { step: 's', phase: 'main' } as const
const event = (seq: number, more: object) => ({ seq, time: '2026-01-01T00:00:00.000Z', ...more }) as RunEvent
const started = (seq: number, run_id: string, instance = 0) =>
  event(seq, { type: 'child.started', ...at, instance, run_id })
const ended = (seq: number, run_id: string) =>
  event(seq, { type: 'child.finished', ...at, instance: 0, run_id, status: 'success' })
const finished = (seq: number) => event(seq, { type: 'run.finished', status: 'success' })
const logOf = (...events: RunEvent[]) => events
const failing = (code: ErrorCode) => new ErrandError(code, 'no')

/**
 * Follows a family and returns its reported events in order, each as `run seq`. `open` is called for each log that is
 * opened; the log throws what `open` throws.
 */
async function reportedBy(
  logs: Record<string, RunEvent[]>,
  open: (runId: string) => void,
  childrenAtOnce?: number,
) {
  const reported: string[] = []
  const paths = new Map<string, string>()
  let reading = 0
  let most = 0
  async function* events(runId: string) {
    open(runId)
    most = Math.max(most, ++reading)
    try {
      for (const one of logs[runId]!) {
        await new Promise(setImmediate)
        yield one
      }
    } finally {
      reading--
    }
  }
  await eachEvent('top', {
    events,
    childrenAtOnce,
    report: async ({ seq }, { runId, path }) => {
      reported.push(`${runId} ${seq}`)
      paths.set(runId, path.join(' > '))
    },
  })
  return { told: reported, most, paths }
}

test("at any depth, a child's events come between its start and its end, with the steps that lead to it", async () => {
  const instances = [{ host: 'local', vars: { ITEM: 'i' } }]
  const { told, paths } = await reportedBy(
    {
      top: [
        event(1, { type: 'step.started', ...at, instances }),
        started(2, 'a'),
        ended(3, 'a'),
        finished(4),
      ],
      a: [event(1, { type: 'run.started' }), started(2, 'b'), ended(3, 'b'), finished(4)],
      b: logOf(event(1, { type: 'run.started' }), finished(2)),
    },
    () => {},
  )
  assert.deepEqual(told, ['top 1', 'top 2', 'a 1', 'a 2', 'b 1', 'b 2', 'a 3', 'a 4', 'top 3', 'top 4'])
  assert.deepEqual(Object.fromEntries(paths), { top: '', a: 's [ITEM=i]', b: 's [ITEM=i] > s' })
})

test('a late or briefly unreadable child is shown whole and once; one that never appears delays nothing', async () => {
  let opened = 0
  const gone = failing('run_not_found')
  const { told } = await reportedBy(
    {
      top: [started(1, 'late'), started(2, 'never'), ended(3, 'late'), ended(4, 'never'), finished(5)],
      late: logOf(event(1, { type: 'run.started' }), finished(2)),
    },
    (runId) => {
      if (runId === 'never') throw gone
      if (runId === 'late' && ++opened < 3) throw opened === 1 ? gone : failing('rate_limited')
    },
  )
  assert.deepEqual(
    told.filter((one) => one.startsWith('late')),
    ['late 1', 'late 2'],
  )
  assert.deepEqual(told.slice(-3), ['top 3', 'top 4', 'top 5'])
  await assert.rejects(
    reportedBy({ top: [] }, () => {
      throw gone
    }),
    gone,
  )
})

test('a log that breaks off in the middle continues where it stopped', async () => {
  let opened = 0
  const half = event(1, { type: 'run.started' })
  const reported: string[] = []
  await eachEvent('top', {
    async *events(runId) {
      if (runId === 'top') return yield* [started(1, 'a'), ended(2, 'a'), finished(3)]
      yield half
      if (++opened === 1) throw failing('rate_limited')
      yield finished(2)
    },
    report: async ({ seq }, { runId }) => void reported.push(`${runId} ${seq}`),
  })
  assert.deepEqual(reported, ['top 1', 'a 1', 'a 2', 'top 2', 'top 3'])
})

test('only a limited number of children is read at once, and an ended one does not wait for others', async () => {
  const names = Array.from({ length: 30 }, (_, index) => `c${index}`)
  const starts = names.map((name, index) => started(index + 1, name))
  const ends = names.toReversed().map((name, index) => ended(31 + index, name))
  const children = Object.fromEntries(
    names.map((name) => [name, logOf(event(1, { type: 'run.started' }), finished(2))]),
  )
  const { told, most } = await reportedBy(
    { top: [...starts, ...ends, finished(61)], ...children },
    () => {},
    3,
  )
  assert.equal(told.length, 61 + 60)
  assert.equal(new Set(told).size, told.length)
  // The parent, three children, and the child whose end is reported next.
  assert.ok(most <= 5, `${most} at once`)
})
