import type { ActionCatalog } from '../../contract/actions.ts'
import { ErrandError } from '../../contract/errors.ts'
import { newRunId, RunId } from '../../contract/ids.ts'
import { type BoxAsk, checkNetworkHasBox, strictestAsk } from '../../contract/isolation.ts'
import type { RunSpec } from '../../contract/run.ts'
import { DEFAULT_HOST, type InventoryHost, type Workflow } from '../../contract/workflow.ts'
import { BoundedMap } from '../../platform/bounded-map.ts'
import type { Submission } from '../api.ts'
import { type Plan, plan } from '../core/plan.ts'
import { ASIDE_LENGTH, type Checked, checkWorkflow, parseWorkflow } from '../workflow-file/check.ts'
import type { CheckAside } from '../workflow-file/check-aside.ts'
import { resolveInputs } from '../workflow-file/inputs.ts'
import type { Problem } from '../workflow-file/problems.ts'
import { fillText, lookupIn } from '../workflow-file/template.ts'

/** Number of parsed workflows that are cached, so that repeating one costs nothing; and the maximum size of each. */
const MAX_CACHED = 100
const MAX_CACHED_LENGTH = 256 * 1024

interface Loaded {
  plan: Plan
  warnings: readonly Problem[]
}

type Loadable = Pick<Submission, 'yaml' | 'workflow' | 'readFile' | 'file'> & {
  /** The file, if it has been checked. */
  checked?: Checked
}

/** Turns what is submitted into a graph, and caches the latest ones. */
export class Loader {
  readonly #catalog: ActionCatalog
  /** The catalog for workflows given as values, which commands also make. */
  readonly #ofValues: ActionCatalog
  readonly #checkAside: CheckAside | undefined
  readonly #cache = new BoundedMap<string, Loaded>(MAX_CACHED)

  constructor(catalog: ActionCatalog, checkAside?: CheckAside) {
    this.#catalog = catalog
    this.#checkAside = checkAside
    const contracts = Object.entries(catalog)
    this.#ofValues = Object.fromEntries(contracts.map(([name, { made_by, ...rest }]) => [name, rest]))
  }

  /** Does as `load`; checks a large file in a thread, where that is possible. */
  async loadAside(submission: Submission): Promise<Plan> {
    const { yaml = '', readFile, owner, tenant } = submission
    if (yaml.length < ASIDE_LENGTH || readFile !== undefined || this.#cache.has(`file ${yaml}`))
      return this.load(submission)
    const checked = await this.#checkAside?.({ text: yaml }, `${tenant}/${owner}`)
    return this.load({ ...submission, checked })
  }

  /** Checks and loads a workflow. Throws `invalid_workflow`, with its problems in `details`. */
  load(submission: Loadable & Pick<Submission, 'onWarnings'>): Plan {
    const { plan, warnings } = this.#loaded(submission)
    if (warnings.length > 0) submission.onWarnings?.(warnings)
    return plan
  }

  /** Returns the graph of a workflow that was checked when it was submitted. */
  again(workflow: unknown): Plan {
    const key = `checked ${JSON.stringify(workflow)}`
    const cached = this.#cache.get(key)?.plan ?? plan(workflow as Workflow, this.#catalog)
    this.#keep(key, { plan: cached, warnings: [] })
    return cached
  }

  #loaded(submission: Loadable): Loaded {
    const { yaml, workflow } = submission
    if ((yaml === undefined) === (workflow === undefined))
      throw new ErrandError('bad_request', 'The workflow must be in either "yaml" or "workflow".', {
        hint: '"yaml" is the text of a file, "workflow" is the same as JSON. Send one of them.',
      })
    // A file may not contain everything that a value may, even when it reads the same.
    const text = yaml === undefined ? `value ${JSON.stringify(workflow)}` : `file ${yaml}`
    const key = submission.readFile ? undefined : text
    const cached = key === undefined ? undefined : this.#cache.get(key)
    if (cached) return cached
    const { file, readFile } = submission
    const checked =
      yaml === undefined
        ? checkWorkflow(workflow, { catalog: this.#ofValues })
        : (submission.checked ?? parseWorkflow(yaml, { file, catalog: this.#catalog, readFile }))
    const valid = checked.workflow ?? refuse(checked.problems)
    const loaded = { plan: plan(valid, this.#catalog), warnings: checked.problems }
    if (key !== undefined) this.#keep(key, loaded)
    return loaded
  }

  #keep(key: string, loaded: Loaded): void {
    if (key.length <= MAX_CACHED_LENGTH) this.#cache.set(key, loaded)
  }
}

function refuse(problems: readonly Problem[]): never {
  const errors = problems.filter(({ severity }) => severity === 'error')
  const first = errors[0]
  const where = first?.line === undefined ? '' : ` (line ${first.line}, column ${first.column})`
  throw new ErrandError(
    'invalid_workflow',
    `The workflow has ${errors.length === 1 ? 'a mistake' : `${errors.length} mistakes`}: ${first?.message}${where}`,
    { hint: first?.hint, details: { problems } },
  )
}

/**
 * Returns the variables a run begins with: the workflow's `env` (its texts filled in), overridden by what was given.
 * Throws `invalid_argument` for inputs that are missing or wrong, `unset_variable`.
 */
export function firstVariables(workflow: Workflow, values: Submission['vars']): Record<string, string> {
  const inputs = resolveInputs(workflow, values ?? {})
  const vars: Record<string, string> = { ...inputs }
  for (const [name, value] of Object.entries(workflow.env ?? {}))
    if (!Object.hasOwn(inputs, name)) vars[name] = fillText(String(value), lookupIn(vars))
  return vars
}

/** The origin of a run that another run or a command has started. */
export type Started = Pick<
  RunSpec,
  'parent' | 'retry_of' | 'rolls_back' | 'carried' | 'retry' | 'first_run' | 'try'
>

/** Makes a run before anything of it is stored. Throws `invalid_argument`, and as `firstVariables`. */
export function newRun(
  { workflow }: Plan,
  submission: Omit<Submission, 'yaml' | 'workflow'>,
  started: Started,
  nowMs: number,
): RunSpec {
  const run_id = RunId.safeParse(submission.run_id ?? newRunId())
  if (!run_id.success)
    throw new ErrandError(
      'invalid_argument',
      `"${submission.run_id}" is not a valid run id: ${run_id.error.issues[0]?.message}.`,
      { hint: 'Use an id such as deploy-42, or leave it out to get a generated one.' },
    )
  const labels = { ...workflow.labels, ...submission.labels }
  return {
    run_id: run_id.data,
    blueprint: submission.blueprint ?? 'workflow',
    workflow_name: workflow.name,
    workflow,
    vars: firstVariables(workflow, submission.vars),
    owner: submission.owner ?? 'local',
    tenant: submission.tenant ?? 'default',
    created_at: new Date(nowMs).toISOString(),
    ...(submission.repository === undefined ? {} : { repository: submission.repository }),
    ...(Object.keys(labels).length === 0 ? {} : { labels }),
    ...(submission.continues === undefined ? {} : { continues: submission.continues }),
    ...(submission.replaces === undefined ? {} : { replaces: submission.replaces }),
    ...started,
  }
}

/**
 * Returns the workflow with all of its steps in a box that is at least this strict; steps of sub-workflows get it from
 * their run. Throws `invalid_argument` for an image without a container, and for a network limit without a box.
 */
export function withBox(workflow: Workflow, box: BoxAsk = {}): Workflow {
  if (Object.values(box).every((each) => each === undefined)) return workflow
  if ((workflow.isolation ?? 'none') === 'none') checkNetworkHasBox(box)
  const boxed = { ...workflow, ...strictestAsk(workflow, box) }
  const isContainer = [boxed, ...boxed.steps, ...(boxed.finally ?? [])].some(
    ({ isolation }) => isolation === 'container',
  )
  if (box.image === undefined || isContainer) return boxed
  throw new ErrandError(
    'invalid_argument',
    `No step uses the image ${box.image}: none runs in a container.`,
    {
      hint: 'Add isolation: container, or leave the image out.',
    },
  )
}

/**
 * Returns the workflow with all hosts, those of sub-workflows included, in one runner group. Throws `invalid_argument`
 * when a host names another group.
 */
export function withinGroup(workflow: Workflow, group: string, repository: string): Workflow {
  const hosts = Object.entries<InventoryHost | null>({ [DEFAULT_HOST]: null, ...workflow.inventory?.hosts })
  for (const [name, host] of hosts)
    if (host?.group !== undefined && host.group !== group)
      throw new ErrandError(
        'invalid_argument',
        `Host "${name}" of workflow "${workflow.name}" is in group "${host.group}", but runs for the repository "${repository}" run in group "${group}".`,
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

/** Applies this to the arguments of a `workflow.run`, which hold a checked workflow. */
function subWorkflowWithin(
  { action, args }: { action: string; args: Record<string, unknown> },
  group: string,
  repository: string,
) {
  if (action !== 'workflow.run' || typeof args.workflow !== 'object') return {}
  return { args: { ...args, workflow: withinGroup(args.workflow as Workflow, group, repository) } }
}
