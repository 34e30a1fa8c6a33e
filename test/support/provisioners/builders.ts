import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { RunView } from '../../../src/contract/run.ts'
import { type Programs, workflowText } from '../programs.ts'

/** Configures how the hub with that folder provisions runners for its group `builders`. */
export function writeBuilders(data: string, group: Readonly<Record<string, unknown>>): void {
  mkdirSync(data, { recursive: true, mode: 0o700 })
  writeFileSync(join(data, 'errand.yaml'), JSON.stringify({ groups: { builders: group } }))
}

/** Returns a workflow on that group, with the steps `s0`, `s1` … in sequence. */
export const onBuilders = (...cmds: string[]): string =>
  workflowText(
    cmds.map((cmd, index) => ({
      name: `s${index}`,
      targets: ['build'],
      cmd,
      ...(index > 0 && { needs: [`s${index - 1}`] }),
    })),
    { inventory: { hosts: { build: { group: 'builders' } } } },
  )

/** Starts a run and returns its id. */
export const startRun = async ({ client }: Pick<Programs, 'client'>, yaml: string): Promise<string> =>
  (await client.runs.create({ yaml })).run_id

export const attemptOf = (run: RunView, step = 0) => run.steps[step]?.instances[0]?.attempts[0]
export const runnerOf = (run: RunView, step = 0) => attemptOf(run, step)?.runner
