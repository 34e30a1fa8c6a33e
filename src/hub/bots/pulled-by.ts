import type { RunView } from '../../contract/run.ts'

/** The attempt of a bot's run that has its image, and where; undefined where none has told so yet. */
export function pulledBy({ steps }: RunView): { attempt_id: string; runner: string } | undefined {
  const attempt = steps[0]?.instances[0]?.attempts.at(-1)
  if (attempt?.runner === undefined) return undefined
  const { attempt_id, runner, phase } = attempt
  return phase?.name === 'running' || phase?.name === 'restarting' ? { attempt_id, runner } : undefined
}
