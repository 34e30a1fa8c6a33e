import type { TestContext } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { eventually } from '../support/errand-command.ts'
import { type Programs, startPrograms, workflowText } from '../support/programs.ts'
import { seeded } from '../support/seeded.ts'
import { sized } from '../support/size.ts'
import { assertNothingLeft, atRest } from './at-rest.ts'
import { Storm } from './storm.ts'

const KILLS = sized('kills in a storm', 12, 50)

/** Kills these programs again and again under load. No run may show it, and nothing may be left behind. */
export async function killInStorm(t: TestContext, ...which: ('hub' | 'runner')[]): Promise<void> {
  const random = seeded()
  const programs = await startPrograms(t)
  const yaml = workflowText([{ name: 'one', cmd: 'echo hi' }])
  await programs.client.runs.create({ run_id: 'warm-1', yaml })
  await programs.ended('warm-1')
  const before = await atRest(programs)
  const storm = new Storm(programs)
  for (let kill = 0; kill < KILLS; kill++) {
    console.log(`Kill ${kill + 1} of ${KILLS}.`)
    // Other kills may come before the two are connected again.
    if (kill % 4 === 0) await connected(programs)
    // Sleeps: the moment of a kill is random.
    await sleep(random.between(0, 250))
    await programs.kill(...which)
    // Sleeps: the moment of a kill is random.
    await sleep(random.between(0, 50))
    await Promise.all(which.map((name) => (name === 'hub' ? programs.startHub() : programs.startRunner())))
  }
  t.diagnostic(`${await storm.end()} runs`)
  await assertNothingLeft(programs, before)
}

async function connected({ client, runner }: Programs): Promise<void> {
  await runner!.until('Connected to the hub')
  await eventually('a connected runner', async () => {
    const runners = await client.runners.list().catch(() => [])
    return runners.some(({ status }) => status === 'connected')
  })
}
