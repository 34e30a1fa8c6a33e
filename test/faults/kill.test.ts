import assert from 'node:assert/strict'
import test from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { startPrograms, workflowText } from '../support/programs.ts'
import { seeded } from '../support/programs-output.ts'
import { assertNothingLeft, atRest } from './at-rest.ts'
import { Storm } from './storm.ts'

const KILLS = 50

for (const which of [['hub'], ['runner'], ['hub', 'runner']] as const) {
  test(`${KILLS} kills of ${which.join(' and ')} show in no run, and leave nothing behind`, async (t) => {
    const random = seeded()
    const programs = await startPrograms(t)
    await programs.client.runs.create({
      run_id: 'warm-1',
      yaml: workflowText([{ name: 'one', cmd: 'echo hi' }]),
    })
    await programs.ended('warm-1')
    const before = await atRest(programs)
    const storm = new Storm(programs)
    for (let kill = 0; kill < KILLS; kill++) {
      await sleep(random.between(0, 500))
      await programs.kill(...which)
      await sleep(random.between(0, 50))
      await Promise.all(which.map((name) => (name === 'hub' ? programs.startHub() : programs.startRunner())))
    }
    const count = await storm.end()
    assert.ok(count > 10, `${count} runs`)
    t.diagnostic(`${count} runs`)
    await assertNothingLeft(programs, before)
  })
}
