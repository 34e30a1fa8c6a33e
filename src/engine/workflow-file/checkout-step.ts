import type { ActionCatalog } from '../../contract/actions.ts'
import { secretUses } from '../../contract/step-secrets.ts'
import { DEFAULT_HOST, type Step, type Workflow } from '../../contract/workflow.ts'
import { checkTemplates } from './check-step.ts'
import { asList, asMap, asText, own } from './loose-values.ts'
import type { Report } from './problems.ts'

/** The step that a file's `workspace:` stands for. */
export const CHECKOUT_STEP = 'workspace'
const ACTION = 'git.workspace'
const TOKEN = 'GIT_TOKEN'

/** Checks a file's `workspace:` against its steps: their names, and the hosts that they run on. */
export function checkCheckout(report: Report, workflow: unknown, catalog: ActionCatalog): void {
  const workspace = own(workflow, 'workspace')
  if (!asMap(workspace)) return
  if (catalog[ACTION] === undefined)
    report.say(['workspace'], 'cannot be used: checkouts are not available here', { at: 'key' })
  for (const key of ['repo', 'ref', 'branch', 'username'] as const)
    checkTemplates(report, ['workspace', key], own(workspace, key))
  for (const list of ['steps', 'finally'] as const)
    for (const [index, step] of asList(own(workflow, list)).entries()) {
      if (asText(own(step, 'name')) === CHECKOUT_STEP)
        report.add([list, index, 'name'], `name "${CHECKOUT_STEP}" is reserved for the checkout step`, {
          hint: 'workspace: adds a first step with this name; rename this one',
        })
      for (const [at, target] of asList(own(step, 'targets')).entries())
        if (asText(target)?.includes('${'))
          report.say(
            [list, index, 'targets', at],
            'contains a variable, but workspace: must know each host',
            {
              hint: `name the hosts, or leave workspace: out and write steps with action: ${ACTION}`,
            },
          )
    }
}

/**
 * Returns the workflow with a first step for its `workspace:`, on each host of its steps, which all others need.
 * Without a `workspace:` it is returned unchanged.
 */
export function withCheckoutStep(workflow: Workflow, catalog: ActionCatalog): Workflow {
  const { workspace, ...rest } = workflow
  if (workspace === undefined) return workflow
  const { secrets, ...checkout } = workspace
  const steps = [...workflow.steps, ...(workflow.finally ?? [])]
  const onHosts = steps.filter(({ action }) => catalog[action]?.place !== 'engine')
  const hosts = [...new Set(onHosts.flatMap(({ targets }) => targets ?? [DEFAULT_HOST]))]
  const variables = Object.keys(secretUses(secrets ?? []))
  const token_env = variables.includes(TOKEN) ? TOKEN : (variables[0] ?? TOKEN)
  const first: Step = {
    name: CHECKOUT_STEP,
    action: ACTION,
    args: { ...checkout, token_env },
    continue_on_error: false,
    ...(hosts.some((host) => host !== DEFAULT_HOST) && { targets: hosts }),
    ...(secrets !== undefined && { secrets }),
  }
  const isGraph = workflow.steps.some(({ needs }) => needs !== undefined)
  const needing = (step: Step): Step =>
    isGraph && (step.needs ?? []).length === 0 ? { ...step, needs: [CHECKOUT_STEP] } : step
  return { ...rest, steps: [first, ...workflow.steps.map(needing)] }
}

/** Returns the workflow whose checkout gets its token from this secret of the hub, if the file names none. */
export function withCheckoutToken(workflow: Workflow, secret: string | undefined): Workflow {
  if (secret === undefined || checkoutWithoutToken(workflow) === undefined) return workflow
  const [first, ...others] = workflow.steps
  return { ...workflow, steps: [{ ...first!, secrets: { [TOKEN]: secret } }, ...others] }
}

/** Returns the address, as written, of the repository that the workflow first checks out without a token. */
export function checkoutWithoutToken({ steps: [first] }: Workflow): string | undefined {
  if (first?.name !== CHECKOUT_STEP || first.action !== ACTION) return undefined
  return first.secrets === undefined && first.env === undefined ? asText(own(first.args, 'repo')) : undefined
}
