import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type GuestRun, guestMissing, inGuest, runInGuest } from '../../../test/support/guest/guest.ts'
import { limitConformance, limitsMissing } from '../../../test/support/limits/limit-conformance.ts'
import { onlyLarge } from '../../../test/support/size.ts'

const missing = limitsMissing('cgroup_v2')
if (!missing || inGuest()) limitConformance('cgroup_v2')
// A test in test/support/guest checks that a guest starts at all.
else if (onlyLarge('cgroup v2 in a guest, on a machine that has v1')) conformanceInGuest()

/** Runs each test of the conformance with its result from a guest that has cgroup v2. */
function conformanceInGuest(): void {
  const skip = guestMissing()
  let run: Promise<GuestRun> | undefined
  const ended = () => (run ??= runInGuest(import.meta.filename))
  const names = new Set<string>()

  limitConformance('cgroup_v2', (name) => {
    names.add(name)
    test(`${name} (in a guest)`, { skip }, async () => {
      const { tests, lastLines } = await ended()
      const found = tests.find((each) => each.name === name)
      assert.ok(found, `the guest did not run it. Its console's last lines:\n${lastLines}`)
      assert.equal(found.skipped, undefined, 'the guest skipped it')
      assert.ok(found.passed, `in the guest: ${found.error}`)
    })
  })

  test('cgroup_v2: the guest ran exactly these tests, and its run succeeded', { skip }, async () => {
    const { tests, code, lastLines } = await ended()
    assert.deepEqual(new Set(tests.map(({ name }) => name)), names)
    assert.equal(tests.length, names.size)
    assert.equal(code, 0, lastLines)
  })
}
