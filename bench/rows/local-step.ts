import { tmpdir } from 'node:os'
import { builtinActionRegistry } from '../../src/actions/registry.ts'
import { Engine } from '../../src/engine/engine.ts'
import { LocalHost } from '../../src/runner/local/local-host.ts'
import { BoundedOutputStore } from '../../src/stores/outputs/bounded.ts'
import { MemoryRunStore } from '../../src/stores/runs/memory.ts'
import { alternate, bareSpawn, type Row, shellCommand, timed } from '../measure.ts'

async function stepsMs(count: number): Promise<number> {
  const outputs = new BoundedOutputStore({ spillDir: `${tmpdir()}/errand-bench-spill` })
  const host = new LocalHost({ registry: builtinActionRegistry })
  const engine = new Engine({ store: new MemoryRunStore(), host, outputs })
  const steps = Array.from({ length: count }, (_, index) => ({
    name: `step ${index}`,
    action: 'cmd.run',
    args: { cmd: shellCommand },
  }))
  const ms = await timed(async () => {
    const { run_id } = await engine.submit({ workflow: { version: 'v0.1', name: 'bench', steps } })
    const { status, message } = await engine.done(run_id)
    if (status !== 'success') throw new Error(`The run is ${status}: ${message}`)
  })
  await engine.close()
  await host.close()
  return ms / count
}

async function spawnsMs(count: number): Promise<number> {
  const ms = await timed(async () => {
    for (let index = 0; index < count; index++) await bareSpawn()
  })
  return ms / count
}

/** Times a sequential step of a local run beside the same command spawned from Node, also with many steps. */
export async function localStep(): Promise<Row[]> {
  await stepsMs(20)
  await spawnsMs(20)
  const { value, baseline } = await alternate(
    5,
    () => stepsMs(100),
    () => spawnsMs(100),
  )
  const few = await alternate(
    1,
    () => stepsMs(100),
    () => spawnsMs(100),
  )
  const many = await alternate(
    1,
    () => stepsMs(2000),
    () => spawnsMs(500),
  )
  const growth = many.value / many.baseline / (few.value / few.baseline)
  return [
    {
      name: 'sequential step, local run',
      unit: 'ms',
      value,
      baseline: { what: 'the same command spawned from Node', value: baseline },
      budget: { what: '<= 1.5 x', holds: value / baseline <= 1.5 },
    },
    {
      name: 'sequential step, 2,000 steps against 100',
      unit: 'x spawn',
      value: many.value / many.baseline,
      baseline: { what: 'the same with 100 steps', value: few.value / few.baseline },
      budget: { what: 'flat (<= 1.2 x)', holds: growth <= 1.2 },
    },
  ]
}
