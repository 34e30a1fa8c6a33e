import assert from 'node:assert/strict'
import { join } from 'node:path'
import test from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { ErrandError } from '../../src/contract/errors.ts'
import { eventually } from '../support/errand-command.ts'
import { startPrograms, workflowText } from '../support/programs.ts'
import { outputHash, readIfThere, sha256, wholeLog } from '../support/programs-output.ts'
import { seeded } from '../support/seeded.ts'
import { assertNothingLeft, atRest } from './at-rest.ts'
import { noSmallDisk, SmallDisk } from './small-disk.ts'
import { Storm } from './storm.ts'

const options = { skip: noSmallDisk }

test(
  'a hub whose disk is full again and again: no run is affected once there is room',
  options,
  async (t) => {
    const random = seeded()
    const disk = new SmallDisk(t)
    const programs = await startPrograms(t, { prepare: ({ data }) => disk.mount(data) })
    const { client } = programs
    const yaml = workflowText([{ name: 'one', cmd: 'echo hi' }])
    await client.runs.create({ run_id: 'warm-1', yaml })
    await programs.ended('warm-1')
    const before = await atRest(programs)
    const storm = new Storm(programs)
    let requests = 1
    for (let round = 0; round < 6; round++) {
      const ended = storm.ended
      await eventually('some more runs', () => storm.ended > ended + 3)
      // Sleeps: a random time, because the kill or the fault must be able to hit any point.
      await sleep(random.between(0, 100))
      disk.fill()
      await eventually('a refusal', async () => {
        try {
          await client.runs.create({ run_id: `warm-${++requests}`, yaml })
          return false
        } catch (error) {
          return error instanceof ErrandError && error.code === 'disk_full'
        }
      })
      assert.equal((await client.health()).status, 'ok')
      // Sleeps: a random time, because the kill or the fault must be able to hit any point.
      await sleep(random.between(0, 300))
      disk.free()
    }
    t.diagnostic(`${await storm.end()} runs`)
    await assertNothingLeft(programs, before)
  },
)

test(
  'with a full disk of the runner, steps fail and say so, and retries succeed once there is room',
  options,
  async (t) => {
    const disk = new SmallDisk(t)
    const programs = await startPrograms(t, { prepare: ({ runnerFolder }) => disk.mount(runnerFolder) })
    const { client, home } = programs
    const note = join(home, 'note')
    const text = 'seventeen letters'.repeat(1000)
    const retry = { max_attempts: 100, backoff: { delay_seconds: 0.2, factor: 1 } }
    const print = `yes ${'seventeen letters'.repeat(20)} | tr -d '\\n' | head -c ${text.length}`
    const yaml = (name: string) =>
      workflowText([{ name: 'one', cmd: `echo "$ERRAND_ATTEMPT_ID" >>"${note}-${name}"; ${print}`, retry }])
    const before = await client.runs.create({ run_id: 'before', yaml: yaml('before') })
    assert.equal((await programs.ended(before.run_id)).status, 'success')

    disk.fill()
    const plain = await client.runs.create({
      run_id: 'plain',
      yaml: workflowText([{ name: 'one', cmd: print }]),
    })
    const failed = await programs.ended(plain.run_id)
    assert.equal(failed.status, 'failed', JSON.stringify(failed))
    assert.match(JSON.stringify(failed.steps), /no space|ENOSPC|disk|written/i)
    const during = await client.runs.create({ run_id: 'during', yaml: yaml('during') })
    const tries = async () => (await client.runs.get(during.run_id)).steps[0]!.instances[0]!.attempts.length
    await eventually('some tries', async () => (await tries()) > 2)
    disk.free()

    const run = await programs.ended(during.run_id)
    assert.equal(run.status, 'success', JSON.stringify(run))
    assert.equal((await outputHash(client, during.run_id, await tries())).sha256, sha256(text))
    const begun = readIfThere(`${note}-during`).trim().split('\n')
    assert.equal(new Set(begun).size, begun.length, 'no attempt started twice')
    assert.ok(begun.includes(`during.${await tries()}`))
    for (const id of ['before', 'plain', 'during']) await wholeLog(client, id)
    assert.equal((await outputHash(client, before.run_id, 1)).sha256, sha256(text))
  },
)
