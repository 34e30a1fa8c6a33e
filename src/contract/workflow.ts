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
          'a label is named by up to 40 letters, digits, ".", "_", "/" or "-"',
        ),
      ),
    z.string().check(z.maxLength(60), z.regex(/^[^,]*$/, 'the value of a label has no comma'), plain),
  )
  .check(z.refine((labels) => Object.keys(labels).length <= 8, 'there are more than 8 labels'))
export type RunLabels = z.infer<typeof RunLabels>

export const Input = z.strictObject({
  type: described(
    z._default(z.enum(['string', 'number', 'boolean']), 'string'),
    'What the value must be; as a variable it is text',
  ),
  description: z.optional(z.string()),
  default: described(z.optional(Scalar), 'Used where no value is given'),
  required: described(z._default(z.boolean(), false), 'A run without a value is refused'),
  enum: described(z.optional(z.array(Scalar).check(z.minLength(1))), 'The only values that are possible'),
})
export type Input = z.infer<typeof Input>

export const Backoff = z.strictObject({
  delay_seconds: described(
    z._default(z.number().check(z.minimum(0), z.maximum(86_400)), 1),
    'Wait before the second try',
  ),
  factor: described(
    z._default(z.number().check(z.minimum(1), z.maximum(100)), 2),
    'Each wait is this many times the one before',
  ),
  max_delay_seconds: described(
    z._default(z.number().check(z.minimum(0), z.maximum(86_400)), 300),
    'No wait is longer',
  ),
})
export const Retry = z.strictObject({
  max_attempts: z.int().check(z.minimum(1), z.maximum(100), z.describe('Tries in all, the first included')),
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
    json: described(z.optional(Filled), 'Dotted path into the JSON it is, such as items.0.id'),
    regex: described(z.optional(Filled), 'Regular expression; its first group is kept, or all it matches'),
    default: described(z.optional(z.string()), 'The value where there is none; without, that is told'),
  }),
])
export type OutputSource = z.infer<typeof OutputSource>

/**
 * Compiles the regular expression of an output: `^` and `$` match at each line, and it is read as Unicode. Throws
 * `SyntaxError`.
 */
export const outputRegex = (source: string): RegExp => new RegExp(source, 'mu')

export const Concurrency = z.strictObject({
  group: name.check(z.describe('Text; may hold ${VAR}')),
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
  timeout_seconds: described(z.optional(seconds), 'Longest time of one try'),
})

/** A step as a workflow file writes it. */
export const Step = z.strictObject({
  name: name.check(z.describe('Its own name among all steps')),
  targets: described(
    z.optional(z.array(Filled).check(z.minLength(1))),
    'Names from inventory.hosts; may hold ${VAR}',
  ),
  action: z.string().check(z.minLength(1), z.describe('What it does, such as cmd.run')),
  args: described(z._default(StepArgs, {}), 'Arguments of the action'),
  when: described(
    z.optional(z.pipe(z.union([z.string(), z.boolean()]), z.transform(String))),
    'true, false, or a text of ${VAR}, == != > < >= <=, && || ! and parentheses',
  ),
  needs: described(
    z.optional(z.array(z.string())),
    'Steps that come before; where any step has it, the steps are a graph',
  ),
  expect_vars: described(z.optional(z.array(VarName)), 'Variables this step must export'),
  continue_on_error: described(
    z._default(z.boolean(), false),
    'Where it fails, the run goes on and can still succeed',
  ),
  on_demand: described(
    z.optional(z.boolean()),
    'It runs where something has to be mended or asked: where it is skipped it is not shown',
  ),
  timeout_seconds: described(z.optional(seconds), 'Longest time of one try'),
  retry: described(z.optional(Retry), 'Try again where it fails'),
  on_disconnect: described(
    z.optional(z.enum(['stop', 'continue'])),
    'What its runner does with it when cut off from the hub for too long; default: stop where a try is left, else continue',
  ),
  env: described(z.optional(z.record(VarName, Scalar)), 'Variables for this step'),
  secrets: described(z.optional(StepSecrets), 'Secrets for this step, by variable; no other step gets them'),
  resources: described(z.optional(Resources), 'What a runner must have free for it'),
  limits: described(z.optional(Limits), 'What one try of it may use'),
  ...BoxAskShape,
  outputs: described(
    z.optional(z.record(VarName, OutputSource)),
    'Variables for later steps, taken from its output',
  ),
  artifacts: z.optional(ArtifactGlobs),
  needs_files: described(
    z.optional(z.array(NeededFile).check(z.maxLength(100))),
    'Files that earlier steps have kept as artifacts, put into its workspace before it begins',
  ),
  matrix: described(
    z.optional(z.record(VarName, z.array(Scalar).check(z.minLength(1)))),
    'Runs once for each combination',
  ),
  foreach: described(
    z.optional(z.union([z.array(Scalar), z.string()])),
    'Runs once for each item, as ${ITEM}; a list, or a ${VAR} holding a JSON list or lines',
  ),
  max_parallel: described(
    z.optional(z.int().check(z.minimum(1))),
    "How many of this step's instances run at once",
  ),
  rollback: described(z.optional(Rollback), 'Undoes this step where the run fails later'),
})
export type Step = z.infer<typeof Step>

export const Inventory = z.strictObject({
  hosts: z
    .record(reference, z.nullable(InventoryHost))
    .check(z.describe('Hosts by the name that targets use')),
})

/** A workflow file. Unknown keys are errors. */
export const Workflow = z.strictObject({
  version: described(z.literal('v0.1'), 'Of the file format'),
  name: name.check(z.describe('What runs of it are called')),
  description: z.optional(z.string()),
  inventory: described(z.optional(Inventory), 'Where steps can run'),
  labels: described(z.optional(RunLabels), 'Words that lists of runs are filtered by, such as team: db'),
  inputs: described(z.optional(z.record(VarName, Input)), 'Values that a run is started with'),
  env: described(z.optional(z.record(VarName, Scalar)), 'Variables for all steps'),
  concurrency: described(z.optional(Concurrency), 'Lets few runs of a group run at once'),
  timeout_seconds: described(z.optional(seconds), 'Longest time of all main steps together'),
  timeout_counts: described(
    z.optional(z.enum(['all', 'work'])),
    'Whether the time in which an approval is waited for counts to it, too (default: all)',
  ),
  workspace: described(z.optional(WorkspaceAsk), 'A checkout of a repository, which its steps work in'),
  ...BoxAskShape,
  outputs: described(z.optional(z.record(VarName, z.string())), 'Text, filled in when the run ends'),
  steps: z
    .array(Step)
    .check(
      z.minLength(1),
      z.maxLength(10_000),
      z.describe('Run one after another, or as a graph where needs is written'),
    ),
  finally: described(
    z.optional(z.array(Step).check(z.maxLength(1000))),
    'Run at the end, whatever came before',
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
