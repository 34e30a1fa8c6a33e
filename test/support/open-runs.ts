import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { Engine } from '../../src/engine/engine.ts'
import { openSqliteStores } from '../../src/stores/sqlite/open.ts'
import { ScriptedHost } from './scripted-host.ts'
import { SimulatedOutputs } from './simulated-world.ts'

/** The number of runs that are stored at once. */
const BATCH = 1_000

/** Creates the database of a hub that ended with this many open runs, each of which waits for a runner. */
export async function seedOpenRuns(data: string, count: number): Promise<void> {
  mkdirSync(data, { recursive: true })
  const { runs, close } = await openSqliteStores({ file: join(data, 'errand.db') })
  const host = new ScriptedHost()
  host.place = () => ({ waiting: 'no runner is connected' })
  host.start = () => {}
  const engine = new Engine({ store: runs, host, outputs: new SimulatedOutputs() })
  const steps = ['build', 'test'].map((name) => ({ name, action: 'cmd.run', args: { cmd: `make ${name}` } }))
  const { run_id } = await engine.submit({ workflow: { version: 'v0.1', name: 'seed', steps } })
  const { status, last_seq: _, started_at, waiting, ...spec } = (await runs.get(run_id))!
  const events = await runs.events(run_id, 0, BATCH)
  await engine.close()
  const create = (n: number) =>
    runs.create({ ...spec, run_id: `run_seed${n}` }, events, { status, started_at, waiting })
  for (let made = 1; made < count; made += BATCH)
    await Promise.all(Array.from({ length: Math.min(BATCH, count - made) }, (_, n) => create(made + n)))
  close()
}
