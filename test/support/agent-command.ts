import { join } from 'node:path'

/** Options of `errand agent` that let it work with the stand-in for an agent, which does what its prompt says. */
export const standInOptions: readonly string[] = [
  ...['--agent', 'acp', '--command', process.execPath],
  ...['--command', join(import.meta.dirname, 'acp-agent-stand-in.ts')],
]

/** Id of the run that `errand agent` told of at its end. */
export function runIdIn(stdout: string): string {
  const [id] = /\brun_\w+/.exec(stdout.slice(stdout.lastIndexOf('\nrun_'))) ?? []
  if (id === undefined) throw new Error(`no run is named in:\n${stdout}`)
  return id
}
