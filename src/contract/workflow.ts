import * as z from './mini-zod.ts'

/** A variable's name, as a process's environment takes it. */
export const VarName = z
  .string()
  .check(
    z.regex(
      /^[A-Za-z_][A-Za-z0-9_]{0,127}$/,
      'a variable name is letters, digits and "_", not starting with a digit',
    ),
  )

/** A value as YAML writes it; it is a string once it is a variable. */
export const Scalar = z.union([z.string(), z.number(), z.boolean()])

const name = z
  .string()
  .check(z.minLength(1), z.maxLength(200), z.regex(/^[^\p{Cc}]+$/u, 'a name has no control characters'))
const seconds = z.number().check(z.positive(), z.maximum(31_536_000))

/**
 * Where a step may run. `address` is how `errand dispatch` reaches a host agent; through a hub the host is a
 * runner, chosen by `runner`, `group` and `labels`; a plain `errand run` carries every host out on this machine.
 */
export const InventoryHost = z.strictObject({
  address: z
    .optional(z.string().check(z.regex(/^https?:\/\//, 'an address starts with http:// or https://')))
    .check(z.describe('URL of its host agent, for errand dispatch')),
  token_env: z
    .optional(VarName)
    .check(z.describe('Environment variable holding the token of this host agent')),
  runner: z.optional(z.string().check(z.minLength(1))).check(z.describe('Id of the one runner to use')),
  group: z.optional(z.string().check(z.minLength(1))).check(z.describe('Runner group to use')),
  labels: z.optional(z.record(z.string(), z.string())).check(z.describe('Labels the runner must have')),
})
export type InventoryHost = z.infer<typeof InventoryHost>

export const Input = z.strictObject({
  type: z
    ._default(z.enum(['string', 'number', 'boolean']), 'string')
    .check(z.describe('What the value must be; as a variable it is text')),
  description: z.optional(z.string()),
  default: z.optional(Scalar).check(z.describe('Used where no value is given')),
  required: z._default(z.boolean(), false).check(z.describe('A run without a value is refused')),
  enum: z
    .optional(z.array(Scalar).check(z.minLength(1)))
    .check(z.describe('The only values that are possible')),
})
export type Input = z.infer<typeof Input>

export const Backoff = z.strictObject({
  delay_seconds: z
    ._default(z.number().check(z.minimum(0), z.maximum(86_400)), 1)
    .check(z.describe('Wait before the second try')),
  factor: z
    ._default(z.number().check(z.minimum(1), z.maximum(100)), 2)
    .check(z.describe('Each wait is this many times the one before')),
  max_delay_seconds: z
    ._default(z.number().check(z.minimum(0), z.maximum(86_400)), 300)
    .check(z.describe('No wait is longer')),
})
export const Retry = z.strictObject({
  max_attempts: z.int().check(z.minimum(1), z.maximum(100), z.describe('Tries in all, the first included')),
  backoff: z.prefault(Backoff, {}).check(z.describe('How long to wait between tries')),
})
export type Retry = z.infer<typeof Retry>

/** `answer` (an agent's last message), `files` (JSON list of the paths it changed) and `value` are agents' only. */
const OutputFrom = z.enum(['stdout', 'stderr', 'exit_code', 'answer', 'files', 'value'])

/** Where an output's value is taken from; `json` is a dotted path into it, `regex`'s first group is kept. */
export const OutputSource = z.union([
  OutputFrom,
  z.strictObject({
    from: OutputFrom,
    json: z
      .optional(z.string().check(z.minLength(1)))
      .check(z.describe('Dotted path into the JSON it is, such as items.0.id')),
    regex: z
      .optional(z.string().check(z.minLength(1)))
      .check(z.describe('Regular expression; its first group is kept, or all it matches')),
  }),
])
export type OutputSource = z.infer<typeof OutputSource>

/** The regular expression of an output: `^` and `$` are a line's, and it is read as Unicode. Throws `SyntaxError`. */
export const outputRegex = (source: string): RegExp => new RegExp(source, 'mu')

export const Concurrency = z.strictObject({
  group: z.string().check(z.minLength(1), z.maxLength(200), z.describe('Text; may hold ${VAR}')),
  limit: z
    ._default(z.int().check(z.minimum(1)), 1)
    .check(z.describe('How many runs of the group run at once; the others wait')),
})

export const StepArgs = z.record(z.string(), z.unknown())

/** What to run to undo a step that succeeded; it runs on the same hosts. */
export const Rollback = z.strictObject({
  action: z.string().check(z.minLength(1), z.describe('What to do to undo the step')),
  args: z._default(StepArgs, {}).check(z.describe('Arguments of that action')),
  timeout_seconds: z.optional(seconds).check(z.describe('Longest time of one try')),
})

/** One step as a workflow file writes it. */
export const Step = z.strictObject({
  name: name.check(z.describe('Its own name among all steps')),
  targets: z
    .optional(z.array(z.string().check(z.minLength(1))).check(z.minLength(1)))
    .check(z.describe('Names from inventory.hosts; may hold ${VAR}')),
  action: z.string().check(z.minLength(1), z.describe('What it does, such as cmd.run')),
  args: z._default(StepArgs, {}).check(z.describe('Arguments of the action')),
  when: z.optional(z.string()).check(z.describe('${VAR}, == != > < >= <=, && || ! and parentheses')),
  needs: z
    .optional(z.array(z.string()))
    .check(z.describe('Steps that come before; where any step has it, the steps are a graph')),
  expect_vars: z.optional(z.array(VarName)).check(z.describe('Variables this step must export')),
  continue_on_error: z
    ._default(z.boolean(), false)
    .check(z.describe('Where it fails, the run goes on and can still succeed')),
  timeout_seconds: z.optional(seconds).check(z.describe('Longest time of one try')),
  retry: z.optional(Retry).check(z.describe('Try again where it fails')),
  env: z.optional(z.record(VarName, Scalar)).check(z.describe('Variables for this step')),
  outputs: z
    .optional(z.record(VarName, OutputSource))
    .check(z.describe('Variables for later steps, taken from its output')),
  matrix: z
    .optional(z.record(VarName, z.array(Scalar).check(z.minLength(1))))
    .check(z.describe('Runs once for each combination')),
  foreach: z
    .optional(z.union([z.array(Scalar), z.string()]))
    .check(
      z.describe('Runs once for each item, as ${ITEM}; a list, or a ${VAR} holding a JSON list or lines'),
    ),
  max_parallel: z
    .optional(z.int().check(z.minimum(1)))
    .check(z.describe("How many of this step's instances run at once")),
  rollback: z.optional(Rollback).check(z.describe('Undoes this step where the run fails later')),
})
export type Step = z.infer<typeof Step>

export const Inventory = z.strictObject({
  hosts: z
    .record(z.string().check(z.minLength(1)), z.nullable(InventoryHost))
    .check(z.describe('Hosts by the name that targets use')),
})

/** A workflow file. Unknown keys are errors. */
export const Workflow = z.strictObject({
  version: z.literal('v0.1').check(z.describe('Of the file format')),
  name: name.check(z.describe('What runs of it are called')),
  description: z.optional(z.string()),
  inventory: z.optional(Inventory).check(z.describe('Where steps can run')),
  inputs: z.optional(z.record(VarName, Input)).check(z.describe('Values that a run is started with')),
  env: z.optional(z.record(VarName, Scalar)).check(z.describe('Variables for all steps')),
  concurrency: z.optional(Concurrency).check(z.describe('Lets few runs of a group run at once')),
  timeout_seconds: z.optional(seconds).check(z.describe('Longest time of all main steps together')),
  outputs: z.optional(z.record(VarName, z.string())).check(z.describe('Text, filled in when the run ends')),
  steps: z
    .array(Step)
    .check(
      z.minLength(1),
      z.maxLength(10_000),
      z.describe('Run one after another, or as a graph where needs is written'),
    ),
  finally: z
    .optional(z.array(Step).check(z.maxLength(1000)))
    .check(z.describe('Run at the end, whatever came before')),
})
export type Workflow = z.infer<typeof Workflow>
/** What a person may write: defaults left out. */
export type WorkflowFile = z.input<typeof Workflow>

/** The host of a step that names no targets. */
export const DEFAULT_HOST = 'local'
