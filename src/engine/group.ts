import { ErrandError } from '../contract/errors.ts'
import { DEFAULT_HOST, type InventoryHost, type Workflow } from '../contract/workflow.ts'

/**
 * The workflow with every host of it, and of its sub-workflows, in one runner group. Throws `invalid_argument` where a
 * host names another.
 */
export function withinGroup(workflow: Workflow, group: string, repository: string): Workflow {
  const hosts = Object.entries<InventoryHost | null>({ [DEFAULT_HOST]: null, ...workflow.inventory?.hosts })
  for (const [name, host] of hosts)
    if (host?.group !== undefined && host.group !== group)
      throw new ErrandError(
        'invalid_argument',
        `Host "${name}" of workflow "${workflow.name}" is of group "${host.group}", but runs for the repository "${repository}" go to group "${group}".`,
        { hint: "Leave the host's group out, or start the run without the repository." },
      )
  return {
    ...workflow,
    inventory: { hosts: Object.fromEntries(hosts.map(([name, host]) => [name, { ...host, group }])) },
    steps: workflow.steps.map((step) => ({
      ...step,
      ...subWorkflowWithin(step, group, repository),
      ...(step.rollback && {
        rollback: { ...step.rollback, ...subWorkflowWithin(step.rollback, group, repository) },
      }),
    })),
    ...(workflow.finally && {
      finally: workflow.finally.map((step) => ({ ...step, ...subWorkflowWithin(step, group, repository) })),
    }),
  }
}

/** The arguments of a `workflow.run`, which hold a checked workflow. */
function subWorkflowWithin(
  { action, args }: { action: string; args: Record<string, unknown> },
  group: string,
  repository: string,
) {
  if (action !== 'workflow.run' || typeof args.workflow !== 'object') return {}
  return { args: { ...args, workflow: withinGroup(args.workflow as Workflow, group, repository) } }
}
