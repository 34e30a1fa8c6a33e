import type { StepView } from '../../contract/run.ts'
import { lineText } from './terminal-text.ts'

/** Says which runs are given a secret. */
export function secretScopeText(secret: { repository?: string; workflow?: string; owner?: string }): string {
  const { repository, workflow, owner } = secret
  if (repository === undefined && workflow === undefined) return 'all runs'
  const whose = owner === undefined ? '' : ` by ${owner}`
  return repository === undefined ? `runs of ${workflow}${whose}` : `runs for ${repository}${whose}`
}

/** Says which secret each step was given last, a line each; empty where no hub gave it any. */
export function takenSecretsText(steps: readonly Pick<StepView, 'step' | 'instances'>[]): string {
  const lines = steps.flatMap(({ step, instances }) =>
    instances.flatMap(({ attempts }) =>
      Object.entries(attempts.findLast(({ secrets }) => secrets !== undefined)?.secrets ?? {}).map(
        ([variable, secret]) => {
          const name = secret.name === variable ? variable : `${variable} (${secret.name})`
          const which = `the one for ${secretScopeText(secret)}, set by ${secret.updated_by}`
          return `${lineText(`Secret ${name} of ${step}: ${which}.`)}\n`
        },
      ),
    ),
  )
  return [...new Set(lines)].join('')
}
