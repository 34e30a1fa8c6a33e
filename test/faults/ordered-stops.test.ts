import assert from 'node:assert/strict'
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import test, { type TestContext } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { eventually } from '../support/errand-command.ts'
import { lastRelease } from '../support/last-release.ts'
import { type Programs, type ProgramsOptions, startPrograms, workflowText } from '../support/programs.ts'
import { outputHash, readIfThere, sha256, wholeLog } from '../support/programs-output.ts'
import { seeded } from '../support/seeded.ts'
import { sized } from '../support/size.ts'
import { Storm, untilAnswered } from './storm.ts'
import { stormRuns } from './storm-runs.ts'

const ROUNDS = sized('orderly stops of each kind under traffic', 10, 250)
const UPGRADES = sized('upgrades from the last release under traffic', 3, 30)

/** The number of short runs in a burst. */
const RUNS = 6
const STEPS = 3

/** The last release runs from its sources, so placing a burst takes longer. */
const UPGRADED_WITHIN_MS = 120

type Which = 'hub' | 'runner'

/** Ends programs as a service manager does: each in order, with exit code 0. */
async function stop(programs: Programs, which: readonly Which[]): Promise<void> {
  const stopped = which.map((name) => programs[name]!)
  for (const { child } of stopped) child.kill('SIGTERM')
  for (const { finished } of stopped) {
    const { code, stderr } = await finished
    assert.equal(code, 0, stderr)
  }
}

async function start(programs: Programs, which: readonly Which[]): Promise<void> {
  await Promise.all(which.map((name) => (name === 'hub' ? programs.startHub() : programs.startRunner())))
}

/** Starts runs of short steps, so that some attempt is being placed whenever a program is told to stop. */
class Burst {
  readonly #programs: Programs
  readonly #notes: string
  readonly #ids: string[] = []

  constructor(programs: Programs) {
    this.#programs = programs
    this.#notes = join(programs.home, 'burst')
    mkdirSync(this.#notes)
  }

  async submit(): Promise<void> {
    const ids = Array.from({ length: RUNS }, (_, n) => `burst-${this.#ids.length + n}`)
    this.#ids.push(...ids)
    const { client } = this.#programs
    await Promise.all(
      ids.map((run_id) => {
        const cmd = `echo "$ERRAND_ATTEMPT_ID" >>"${join(this.#notes, run_id)}"; echo "I am $ERRAND_ATTEMPT_ID"`
        const steps = Array.from({ length: STEPS }, (_, n) => ({ name: `step-${n}`, cmd }))
        const yaml = workflowText(steps)
        // The run already exists if it was accepted just before the stop.
        return untilAnswered(() => client.runs.create({ run_id, yaml }), 'run_exists')
      }),
    )
  }

  /** Checks that each run succeeds, and that each of its commands began once. */
  async check(): Promise<void> {
    const { client, ended } = this.#programs
    for (const id of this.#ids) {
      const run = await ended(id)
      assert.equal(run.status, 'success', JSON.stringify(run))
      const attempts = Array.from({ length: STEPS }, (_, n) => `${id}.${n + 1}`)
      const begun = readIfThere(join(this.#notes, id))
      assert.equal(
        begun,
        attempts.map((attempt) => `${attempt}\n`).join(''),
        `the attempts of ${id} that started`,
      )
      const log = await wholeLog(client, id)
      assert.equal(log.filter(({ type }) => type === 'attempt.created').length, STEPS, id)
      for (const [n, attempt] of attempts.entries())
        assert.equal((await outputHash(client, id, n + 1)).sha256, sha256(`I am ${attempt}\n`), attempt)
    }
  }
}

/**
 * Stops and starts programs again and again under traffic, each time a moment after submissions. No run may show it.
 */
async function stopInTraffic(
  t: TestContext,
  options: ProgramsOptions,
  { rounds, lanes, withinMs }: { rounds: readonly (readonly Which[])[]; lanes: number; withinMs: number },
): Promise<void> {
  const random = seeded()
  const programs = await startPrograms(t, options)
  const burst = new Burst(programs)
  const storm = new Storm(programs, lanes)
  for (let round = 0; round < ROUNDS; round++) {
    console.log(`Stop ${round + 1} of ${ROUNDS}.`)
    await connected(programs)
    assert.deepEqual((await programs.client.facts()).set_aside, [], 'runs that are set aside')
    const submitted = burst.submit()
    submitted.catch(() => {})
    // Sleeps: the moment of a stop is random.
    await sleep(random.between(0, round % 2 === 0 ? withinMs : withinMs / 4))
    const which = rounds[round % rounds.length]!
    await stop(programs, which)
    await start(programs, which)
    await submitted
  }
  t.diagnostic(`${await storm.end()} runs beside the short ones`)
  await burst.check()
}

/** Waits for the runner. Without it, no attempt is placed and a stop has nothing to disturb. */
async function connected({ client }: Programs): Promise<void> {
  await eventually('a connected runner', async () =>
    (await client.runners.list().catch(() => [])).some(({ status }) => status === 'connected'),
  )
}

// On a quiet machine, an attempt is placed within the same few milliseconds as its runner is told to stop; on a busy
// one, within some tens.
test('orderly stops of `errand up` and its own runner right after submissions affect no run', (t) =>
  stopInTraffic(t, { runner: 'own' }, { rounds: [['hub']], lanes: 0, withinMs: 60 }))

test('orderly stops of a hub, a runner and both under traffic affect no run', (t) =>
  stopInTraffic(
    t,
    {},
    { rounds: [['hub'], ['runner'], ['hub', 'runner']], lanes: stormRuns.length, withinMs: 60 },
  ))

const { skip, within } = lastRelease()

// A hub's tables can only be upgraded, so each upgrade has its own data folder.
test('upgrades of a hub and a runner from the last release under traffic, together or in turn, affect no run', {
  skip,
}, async (t) => {
  const random = seeded()
  const orders: readonly (readonly (readonly Which[])[])[] = [
    [['hub', 'runner']],
    [['hub'], ['runner']],
    [['runner'], ['hub']],
  ]
  for (let round = 0; round < UPGRADES; round++) {
    const order = orders[round % orders.length]!
    await t.test(`upgrade ${round + 1} of ${UPGRADES}`, async (t) => {
      const release: ProgramsOptions = { hubWithin: within, runnerWithin: within }
      const programs = await startPrograms(t, release)
      const burst = new Burst(programs)
      const storm = new Storm(programs, stormRuns.length)
      for (const which of order) {
        await connected(programs)
        const submitted = burst.submit()
        submitted.catch(() => {})
        // Sleeps: the moment of a stop is random.
        await sleep(random.between(0, UPGRADED_WITHIN_MS))
        await stop(programs, which)
        if (which.includes('hub')) release.hubWithin = undefined
        if (which.includes('runner')) release.runnerWithin = undefined
        await start(programs, which)
        await submitted
      }
      t.diagnostic(`${await storm.end()} runs beside the short ones`)
      await burst.check()
      assert.deepEqual((await programs.client.facts()).set_aside, [], 'runs that are set aside')
    })
  }
})
