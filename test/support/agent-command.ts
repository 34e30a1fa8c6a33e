import { join } from 'node:path'

/** Options that make `errand agent` use the stand-in for an agent, which does what its prompt says. */
export const standInOptions: readonly string[] = [
  ...['--agent', 'acp', '--command', process.execPath],
  ...['--command', join(import.meta.dirname, 'acp-agent-stand-in.ts')],
]

/** Returns the id of the run that `errand agent` printed at its end. */
export function runIdIn(stdout: string): string {
  const [id] = /\brun_\w+/.exec(stdout.slice(stdout.lastIndexOf('\nrun_'))) ?? []
  if (id === undefined) throw new Error(`no run is named in:\n${stdout}`)
  return id
}
