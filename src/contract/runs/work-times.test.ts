import assert from 'node:assert/strict'
import { test } from 'node:test'
import { workOf } from './work-times.ts'

const at = (second: number) => new Date(Date.UTC(2026, 0, 1) + second * 1000).toISOString()

test('work and waits of runs and steps are separate, even while they last', () => {
  const now = Date.parse(at(1000))
  const table = [
    ['one that has not begun', {}, undefined],
    [
      'a run that waited ten minutes',
      { created_at: at(0), started_at: at(1), finished_at: at(605), waited_ms: 600_000 },
      [5000, 600_000],
    ],
    [
      'a run from before waits were kept',
      { created_at: at(0), started_at: at(100), finished_at: at(130) },
      [30_000, 0],
    ],
    ['a run in its queue', { created_at: at(940), waited_ms: 0, waiting_since: at(940) }, [0, 60_000]],
    [
      'a run that is worked on',
      { created_at: at(900), started_at: at(910), waited_ms: 10_000 },
      [90_000, 10_000],
    ],
    [
      'a step that waits again',
      { started_at: at(900), waited_ms: 20_000, waiting_since: at(990) },
      [70_000, 30_000],
    ],
    [
      'a step that ended while it waited',
      { started_at: at(0), finished_at: at(9), waited_ms: 9000, waiting_since: at(5) },
      [0, 9000],
    ],
  ] as const
  for (const [what, of, expected] of table) {
    const work = workOf(of, now)
    assert.deepEqual(work && [work.workedMs, work.waitedMs], expected, what)
  }
})
