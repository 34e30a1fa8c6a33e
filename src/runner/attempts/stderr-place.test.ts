import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { command, endOf, place, until } from '../../../test/support/runner/attempt-fixture.ts'
import { boxPlace, sandboxMissing } from '../../../test/support/runner/box-fixture.ts'
import { containerPlace, containersMissing, IMAGE } from '../../../test/support/runner/container-fixture.ts'
import { fromHub } from '../../../test/support/runner/secret-fixture.ts'
import { seeded } from '../../../test/support/seeded.ts'
import type { HeldAttempt } from '../ports.ts'

const MOST_AWAY = 64 * 1024
const random = seeded()

/** Returns how many bytes of standard output come before standard error; undefined if it has not come. */
function placeOf(attempt: HeldAttempt): { after: number; unordered: boolean } | undefined {
  const known = { stdout: 0, stderr: 0 }
  for (let part = attempt.next(known); part; part = attempt.next(known)) {
    if (part.stream === 'stderr') return { after: known.stdout, unordered: part.unordered === true }
    known.stdout += part.length
  }
  return undefined
}

/** Returns how many bytes `seq 1 COUNT` prints. */
function seqBytes(count: number): number {
  let bytes = 0
  for (let n = 1; n <= count; n++) bytes += String(n).length + 1
  return bytes
}

interface Here {
  path: string
  open(more?: object): ReturnType<ReturnType<typeof place>['open']>
  more?: object
}

const ways: [string, string | false, (t: import('node:test').TestContext) => Here][] = [
  [
    'a process',
    false,
    (t) => {
      const here = place()
      t.after(() => here[Symbol.dispose]())
      return here
    },
  ],
  [
    'a process with a secret',
    false,
    (t) => {
      const here = place()
      t.after(() => here[Symbol.dispose]())
      return { path: here.path, open: () => here.open(), more: { secrets: { TOKEN: fromHub('TOKEN') } } }
    },
  ],
  [
    'a sandbox',
    sandboxMissing(),
    (t) => {
      const here = boxPlace()
      t.after(() => here[Symbol.dispose]())
      return {
        path: here.path,
        open: () => here.open(),
        more: { isolation: 'sandbox', network: 'none' },
      }
    },
  ],
  [
    'a container',
    containersMissing,
    (t) => {
      const here = containerPlace(t)
      return {
        path: here.path,
        open: () => here.open(),
        more: { isolation: 'container', network: 'none', image: IMAGE },
      }
    },
  ],
]

for (const [way, skip, make] of ways) {
  for (const count of [20_000, 1_000_000])
    test(`a line of stderr is in its place between ${count} lines of ${way}, or is marked`, {
      skip,
    }, async (t) => {
      const here = make(t)
      const attempts = here.open()
      const before = Math.round(random.between(1, count - 1))
      const spec = command(`seq 1 ${before}; echo HERE >&2; seq 1 ${count - before}`, here.more)
      const attempt = await attempts.start(spec, 1, { TOKEN: 'a-secret-of-this-test' })
      assert.equal((await endOf(attempt)).outcome, 'success')
      const { after, unordered } = placeOf(attempt)!
      const away = Math.abs(after - seqBytes(before))
      assert.ok(unordered || away <= MOST_AWAY, `${away} bytes from its place`)
      assert.equal(attempt.length('stdout'), seqBytes(before) + seqBytes(count - before))
      await attempts.close()
      const again = here.open()
      const [found] = await again.recover()
      assert.deepEqual(placeOf(found!), { after, unordered })
      await found!.release()
      await again.close()
    })

  test(`a single line of stderr of ${way} is in its place, live, after a restart and at the end`, {
    skip,
  }, async (t) => {
    const here = make(t)
    const before = Math.round(random.between(20_000, 200_000))
    const wait = (name: string) => `until [ -e ${name} ]; do sleep 0.02; done`
    const spec = command(
      `seq 1 ${before}; ${wait('one')}; echo HERE >&2; ${wait('two')}; seq 1 200000; ${wait('three')}`,
      here.more,
    )
    const go = (name: string) => writeFileSync(join(here.path, 'workspaces/run_test', name), '')
    const first = here.open()
    const attempt = await first.start(spec, 1, { TOKEN: 'a-secret-of-this-test' })
    const expected = { after: seqBytes(before), unordered: false }
    await until(() => attempt.length('stdout') === expected.after)
    go('one')
    await until(() => attempt.length('stderr') === 5)
    assert.deepEqual(placeOf(attempt), expected)
    go('two')
    await until(() => attempt.length('stdout') === expected.after + seqBytes(200_000))
    assert.deepEqual(placeOf(attempt), expected)
    await first.close()
    const second = here.open()
    const [found] = await second.recover()
    await until(() => found!.length('stdout') === expected.after + seqBytes(200_000))
    assert.deepEqual(placeOf(found!), expected)
    go('three')
    assert.equal((await endOf(found!)).outcome, 'success')
    assert.deepEqual(placeOf(found!), expected)
    await found!.release()
    await second.close()
  })
}
