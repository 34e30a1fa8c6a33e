import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import test from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import type { RunEvent } from '../../src/contract/events.ts'
import { eventually } from '../support/errand-command.ts'
import { type Programs, startPrograms, workflowText } from '../support/programs.ts'
import {
  assertWhole,
  numbered,
  numberedLines,
  outputHash,
  readIfThere,
  sha256,
  textOf,
  wholeLog,
} from '../support/programs-output.ts'
import { seeded } from '../support/seeded.ts'

const COUNT = 400
const expected = { length: numbered(COUNT).length, sha256: sha256(numbered(COUNT)) }

type Moment = 'begin' | 'middle' | 'end'
const moments: Moment[] = ['begin', 'middle', 'end', 'begin', 'middle', 'end', 'begin', 'end']

/** Runs once while `kill` strikes. The run must not show it. */
async function round(
  programs: Programs,
  moment: Moment,
  waitMs: number,
  strike: () => Promise<void>,
): Promise<void> {
  const { client, home } = programs
  const runId = `${moment}-${Math.round(performance.now() * 1000)}`
  const mark = join(home, runId)
  await client.runs.create({
    run_id: runId,
    yaml: workflowText([{ name: 'count', cmd: numberedLines(mark, COUNT) }]),
  })
  const seen: RunEvent[] = []
  const followed = (async () => {
    for await (const event of client.events(runId, { reached: true })) seen.push(event)
  })()
  // It is awaited at the end. Until then, its failure must not abort the test.
  followed.catch(() => {})
  if (moment !== 'begin') {
    await eventually('the middle of the output', () => textOf(seen, 1).includes('line 150\n'))
    if (moment === 'end') writeFileSync(`${mark}.go`, '')
  }
  // Sleeps: a random time, because the kill or the fault must be able to hit any point.
  await sleep(waitMs)
  await strike()
  writeFileSync(`${mark}.go`, '')

  const run = await programs.ended(runId)
  assert.equal(run.status, 'success', JSON.stringify(run))
  assert.equal(readIfThere(mark), 'x\n', 'the command started once')
  const events = await wholeLog(client, runId)
  assert.equal(events.filter((event) => event.type === 'attempt.created').length, 1)
  assert.equal(textOf(events, 1), numbered(COUNT))
  assert.deepEqual(await outputHash(client, runId, 1), expected)
  const half = { start: 1000, end: 2000 }
  assert.equal(
    (await outputHash(client, runId, 1, 'stdout', half)).sha256,
    sha256(numbered(COUNT).slice(1000, 2000)),
  )
  await followed
  assertWhole(seen)
  assert.deepEqual(seen, events, 'the follower received each event once')
}

for (const which of [['hub'], ['runner'], ['hub', 'runner']] as const) {
  test(`a ${which.join(' and a ')} killed at any moment does not affect the run`, async (t) => {
    const random = seeded()
    const programs = await startPrograms(t)
    for (const moment of moments) {
      await round(programs, moment, random.between(0, 80), async () => {
        await programs.kill(...which)
        // Sleeps: a random time, because the kill or the fault must be able to hit any point.
        await sleep(random.between(0, 100))
        for (const name of which) await (name === 'hub' ? programs.startHub() : programs.startRunner())
      })
    }
  })
}

test('errand up killed at any moment, with its own runner, does not affect the run', async (t) => {
  const random = seeded()
  const programs = await startPrograms(t, { runner: 'own' })
  for (const moment of moments) {
    await round(programs, moment, random.between(0, 80), async () => {
      await programs.kill('hub')
      await programs.startHub()
    })
  }
})
