import { Limits, Resources } from './amounts.ts'
import { BoxAskShape } from './isolation.ts'
import * as z from './mini-zod.ts'
import { described } from './mini-zod.ts'
import { NOT_MISLEADING_RULE, notMisleading, VarName } from './names.ts'
import { StepSecrets, secretUses } from './step-secrets.ts'
import { ArtifactGlobs, NeededFile } from './tasks/artifact.ts'
import { WorkspaceAsk } from './tasks/workspace-ask.ts'

export { VarName }

/** Text that is not empty. */
export const Filled = z.string().check(z.minLength(1))

/** A value as YAML writes it; it becomes a string as a variable. */
export const Scalar = z.union([z.string(), z.number(), z.boolean()])

const plain = z.regex(notMisleading, NOT_MISLEADING_RULE)
const name = z.string().check(z.minLength(1), z.maxLength(200), plain)
/** A name that is looked up elsewhere. */
const reference = z.string().check(z.minLength(1), plain)
const seconds = z.number().check(z.positive(), z.maximum(31_536_000))

/**
 * A host on which a step may run. `address` is how `errand dispatch` reaches a host agent. Through a hub the host is a
 * runner, chosen by `runner`, `group` and `labels`. A plain `errand run` runs the steps of every host on this machine.
 */
export const InventoryHost = z.strictObject({
  address: described(
    z.optional(z.string().check(z.regex(/^https?:\/\//, 'an address starts with http:// or https://'))),
    'URL of its host agent, for errand dispatch',
  ),
  token_env: described(z.optional(VarName), 'Environment variable holding the token of this host agent'),
  runner: described(z.optional(reference), 'Id of the one runner to use'),
  group: described(z.optional(reference), 'Runner group to use'),
  labels: described(
    z.optional(z.record(z.string().check(plain), z.string().check(plain))),
    'Labels the runner must have',
  ),
})
export type InventoryHost = z.infer<typeof InventoryHost>

/** The labels of a run: a few words for people, by which lists are filtered. */
export const RunLabels = z
  .record(
    z
      .string()
      .check(
        z.regex(
          /^[A-Za-z0-9][\w./-]{0,39}$/,
          'a label name has at most 40 letters, digits, ".", "_", "/" or "-", and starts with a letter or digit',
        ),
      ),
    z.string().check(z.maxLength(60), z.regex(/^[^,]*$/, 'a label value must not contain a comma'), plain),
  )
  .check(z.refine((labels) => Object.keys(labels).length <= 8, 'there are more than 8 labels'))
export type RunLabels = z.infer<typeof RunLabels>

export const Input = z.strictObject({
  type: described(
    z._default(z.enum(['string', 'number', 'boolean']), 'string'),
    'What the value must be; as a variable it is text',
  ),
  description: z.optional(z.string()),
  default: described(z.optional(Scalar), 'Used if no value is given'),
  required: described(z._default(z.boolean(), false), 'Refuse a run that gives no value'),
  enum: described(z.optional(z.array(Scalar).check(z.minLength(1))), 'The only allowed values'),
})
export type Input = z.infer<typeof Input>

export const Backoff = z.strictObject({
  delay_seconds: described(
    z._default(z.number().check(z.minimum(0), z.maximum(86_400)), 1),
    'Wait before the second try, in seconds',
  ),
  factor: described(
    z._default(z.number().check(z.minimum(1), z.maximum(100)), 2),
    'Each wait is this many times the previous one',
  ),
  max_delay_seconds: described(
    z._default(z.number().check(z.minimum(0), z.maximum(86_400)), 300),
    'Longest wait, in seconds',
  ),
})
export const Retry = z.strictObject({
  max_attempts: z
    .int()
    .check(z.minimum(1), z.maximum(100), z.describe('Total number of tries, including the first')),
  backoff: described(z.prefault(Backoff, {}), 'How long to wait between tries'),
})
export type Retry = z.infer<typeof Retry>

/**
 * Sources of outputs; only agents have `answer` (the last message), `files` (JSON list of the paths it changed) and
 * `value`.
 */
const OutputFrom = z.enum(['stdout', 'stderr', 'exit_code', 'answer', 'files', 'value'])

/** The source of an output's value; `json` is a dotted path into it, and the first group of `regex` is the value. */
export const OutputSource = z.union([
  OutputFrom,
  z.strictObject({
    from: OutputFrom,
    json: described(z.optional(Filled), 'Dotted path into the JSON, such as items.0.id'),
    regex: described(
      z.optional(Filled),
      'Regular expression; its first group is used, or the whole match if it has no group',
    ),
    default: described(
      z.optional(z.string()),
      'Value to use if none is found; without a default, that is reported',
    ),
  }),
])
export type OutputSource = z.infer<typeof OutputSource>

/**
 * Compiles the regular expression of an output: `^` and `$` match at each line, and it is read as Unicode. Throws
 * `SyntaxError`.
 */
export const outputRegex = (source: string): RegExp => new RegExp(source, 'mu')

export const Concurrency = z.strictObject({
  group: name.check(z.describe('Text; may contain ${VAR}')),
  limit: described(
    z._default(z.int().check(z.minimum(1)), 1),
    'How many runs of the group run at once; the others wait',
  ),
})

export const StepArgs = z.record(z.string(), z.unknown())

/** The action that undoes a step that succeeded; it runs on the same hosts. */
export const Rollback = z.strictObject({
  action: z.string().check(z.minLength(1), z.describe('What to do to undo the step')),
  args: described(z._default(StepArgs, {}), 'Arguments of that action'),
  timeout_seconds: described(z.optional(seconds), 'Longest duration of one try, in seconds'),
})

/** A step as a workflow file writes it. */
export const Step = z.strictObject({
  name: name.check(z.describe('Name of the step, unique among all steps')),
  targets: described(
    z.optional(z.array(Filled).check(z.minLength(1))),
    'Names from inventory.hosts; may contain ${VAR}',
  ),
  action: z.string().check(z.minLength(1), z.describe('What the step does, such as cmd.run')),
  args: described(z._default(StepArgs, {}), 'Arguments of the action'),
  when: described(
    z.optional(z.pipe(z.union([z.string(), z.boolean()]), z.transform(String))),
    'true, false, or an expression of ${VAR}, == != > < >= <=, && || ! and parentheses',
  ),
  needs: described(
    z.optional(z.array(z.string())),
    'Steps that must finish before this one; if any step has needs, the steps form a graph',
  ),
  expect_vars: described(z.optional(z.array(VarName)), 'Variables this step must export'),
  continue_on_error: described(
    z._default(z.boolean(), false),
    'If the step fails, the run continues and can still succeed',
  ),
  on_demand: described(
    z.optional(z.boolean()),
    'The step runs only if something must be fixed or asked; it is not shown if it is skipped',
  ),
  timeout_seconds: described(z.optional(seconds), 'Longest duration of one try, in seconds'),
  retry: described(z.optional(Retry), 'Try again after a failure'),
  on_disconnect: described(
    z.optional(z.enum(['stop', 'continue'])),
    'What the runner does with the step if it is cut off from the hub for too long; default: stop if a try is left, otherwise continue',
  ),
  env: described(z.optional(z.record(VarName, Scalar)), 'Variables for this step'),
  secrets: described(z.optional(StepSecrets), 'Secrets for this step, by variable; no other step gets them'),
  resources: described(z.optional(Resources), 'Resources that a runner must have free for the step'),
  limits: described(z.optional(Limits), 'What one try of the step may use'),
  ...BoxAskShape,
  outputs: described(
    z.optional(z.record(VarName, OutputSource)),
    'Variables for later steps, taken from its output',
  ),
  artifacts: z.optional(ArtifactGlobs),
  needs_files: described(
    z.optional(z.array(NeededFile).check(z.maxLength(100))),
    'Artifacts of earlier steps that are copied into the workspace before the step begins',
  ),
  matrix: described(
    z.optional(z.record(VarName, z.array(Scalar).check(z.minLength(1)))),
    'Run the step once for each combination',
  ),
  foreach: described(
    z.optional(z.union([z.array(Scalar), z.string()])),
    'Run the step once for each item, as ${ITEM}; a list, or a ${VAR} that holds a JSON list or lines',
  ),
  max_parallel: described(
    z.optional(z.int().check(z.minimum(1))),
    'How many instances of this step run at once',
  ),
  rollback: described(z.optional(Rollback), 'Undoes this step if the run fails later'),
})
export type Step = z.infer<typeof Step>

export const Inventory = z.strictObject({
  hosts: z
    .record(reference, z.nullable(InventoryHost))
    .check(z.describe('Hosts, by the names that targets use')),
})

/** A workflow file. Unknown keys are errors. */
export const Workflow = z.strictObject({
  version: described(z.literal('v0.1'), 'Version of the file format'),
  name: name.check(z.describe('Name of the workflow and of its runs')),
  description: z.optional(z.string()),
  inventory: described(z.optional(Inventory), 'Where steps can run'),
  labels: described(z.optional(RunLabels), 'Labels to filter lists of runs by, such as team: db'),
  inputs: described(z.optional(z.record(VarName, Input)), 'Values that a run is started with'),
  env: described(z.optional(z.record(VarName, Scalar)), 'Variables for all steps'),
  concurrency: described(z.optional(Concurrency), 'Limits how many runs of a group run at once'),
  timeout_seconds: described(z.optional(seconds), 'Longest duration of all main steps together, in seconds'),
  timeout_counts: described(
    z.optional(z.enum(['all', 'work'])),
    'Whether timeout_seconds includes the time spent waiting for approvals (all, the default) or not (work)',
  ),
  workspace: described(z.optional(WorkspaceAsk), 'A checkout of a repository that the steps work in'),
  ...BoxAskShape,
  outputs: described(
    z.optional(z.record(VarName, z.string())),
    'Outputs of the run, as text that is filled in when the run ends',
  ),
  steps: z
    .array(Step)
    .check(
      z.minLength(1),
      z.maxLength(10_000),
      z.describe('The steps run one after another, or as a graph if any step has needs'),
    ),
  finally: described(
    z.optional(z.array(Step).check(z.maxLength(1000))),
    'Steps that run at the end, whatever happened before',
  ),
})
export type Workflow = z.infer<typeof Workflow>
/** The workflow as a person may write it, without defaults. */
export type WorkflowFile = z.input<typeof Workflow>

/** The host of a step that names no targets. */
export const DEFAULT_HOST = 'local'

/** Most instances of one step. */
export const MAX_INSTANCES = 10_000

/** Returns the secrets of a hub that a workflow and its sub-workflows name, each under its workflow's name. */
export function hubSecrets(workflow: Workflow): { workflow_name: string; names: string[] }[] {
  const steps = [...workflow.steps, ...(workflow.finally ?? [])]
  const names = steps
    .flatMap(({ secrets }) => Object.values(secretUses(secrets ?? [])))
    .flatMap(({ from, name, forge }) => (from === 'hub' && forge === undefined ? [name] : []))
  const inner = steps.flatMap(({ action, args }) =>
    action === 'workflow.run' && args.workflow ? hubSecrets(args.workflow as Workflow) : [],
  )
  return [{ workflow_name: workflow.name, names: [...new Set(names)] }, ...inner]
}

/** Returns the hosts of forges at which a workflow, or one inside of it, asks for a token. */
export function forgesOf(workflow: Workflow): string[] {
  const steps = [...workflow.steps, ...(workflow.finally ?? [])]
  const own = steps
    .flatMap(({ secrets }) => Object.values(secretUses(secrets ?? [])))
    .flatMap(({ forge }) => (forge === undefined ? [] : [forge.host]))
  const inner = steps.flatMap(({ action, args }) =>
    action === 'workflow.run' && args.workflow ? forgesOf(args.workflow as Workflow) : [],
  )
  return [...new Set([...own, ...inner])]
}
