import { secretUses } from '../contract/step-secrets.ts'
import type { Workflow } from '../contract/workflow.ts'

/** The secrets of a hub that a workflow names, and those that its sub-workflows do: each under its workflow's name. */
export function hubSecrets(workflow: Workflow): { workflow_name: string; names: string[] }[] {
  const steps = [...workflow.steps, ...(workflow.finally ?? [])]
  const names = steps
    .flatMap(({ secrets }) => Object.values(secretUses(secrets ?? [])))
    .flatMap(({ from, name }) => (from === 'hub' ? [name] : []))
  const inner = steps.flatMap(({ action, args }) =>
    action === 'workflow.run' && args.workflow ? hubSecrets(args.workflow as Workflow) : [],
  )
  return [{ workflow_name: workflow.name, names: [...new Set(names)] }, ...inner]
}
