import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { errand } from '../hub.ts'
import { alternate, type Row, runProgram } from '../measure.ts'

/** Times `errand run` of one step, from the shell to its end, beside a Node process that does nothing. */
export async function shellRun(): Promise<Row[]> {
  const folder = await mkdtemp(join(tmpdir(), 'errand-bench-'))
  const file = join(folder, 'one.yaml')
  await writeFile(
    file,
    'version: v0.1\nname: one\nsteps:\n  - name: hello\n    action: cmd.run\n    args: {cmd: echo hello}\n',
  )
  const run = () => runProgram(errand, ['run', file])
  const node = () => runProgram(process.execPath, ['-e', '0'])
  for (let round = 0; round < 3; round++) await run()
  const { value, baseline } = await alternate(25, run, node)
  await rm(folder, { recursive: true })
  return [
    {
      name: 'errand run of one step, from the shell',
      unit: 'ms',
      value,
      baseline: { what: 'node -e 0', value: baseline },
      budget: { what: '<= 2.5 x', holds: value / baseline <= 2.5 },
    },
  ]
}
