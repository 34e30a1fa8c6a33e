import * as z from 'zod'

/** A variable's name, as a process's environment takes it. */
export const VarName = z
  .string()
  .regex(
    /^[A-Za-z_][A-Za-z0-9_]{0,127}$/,
    'a variable name is letters, digits and "_", not starting with a digit',
  )

/** A value as YAML writes it; it is a string once it is a variable. */
export const Scalar = z.union([z.string(), z.number(), z.boolean()])

const name = z
  .string()
  .min(1)
  .max(200)
  .regex(/^[^\p{Cc}]+$/u, 'a name has no control characters')
const seconds = z.number().positive().max(31_536_000)

/**
 * Where a step may run. `address` is how `errand dispatch` reaches a host agent; through a hub the host is a
 * runner, chosen by `runner`, `group` and `labels`; a plain `errand run` carries every host out on this machine.
 */
export const InventoryHost = z.strictObject({
  address: z
    .string()
    .regex(/^https?:\/\//, 'an address starts with http:// or https://')
    .optional()
    .describe('URL of its host agent, for errand dispatch'),
  token_env: VarName.optional().describe('Environment variable holding the token of this host agent'),
  runner: z.string().min(1).optional().describe('Id of the one runner to use'),
  group: z.string().min(1).optional().describe('Runner group to use'),
  labels: z.record(z.string(), z.string()).optional().describe('Labels the runner must have'),
})
export type InventoryHost = z.infer<typeof InventoryHost>

export const Input = z.strictObject({
  type: z
    .enum(['string', 'number', 'boolean'])
    .default('string')
    .describe('What the value must be; as a variable it is text'),
  description: z.string().optional(),
  default: Scalar.optional().describe('Used where no value is given'),
  required: z.boolean().default(false).describe('A run without a value is refused'),
  enum: z.array(Scalar).min(1).optional().describe('The only values that are possible'),
})
export type Input = z.infer<typeof Input>

export const Backoff = z.strictObject({
  delay_seconds: z.number().min(0).max(86_400).default(1).describe('Wait before the second try'),
  factor: z.number().min(1).max(100).default(2).describe('Each wait is this many times the one before'),
  max_delay_seconds: z.number().min(0).max(86_400).default(300).describe('No wait is longer'),
})
export const Retry = z.strictObject({
  max_attempts: z.number().int().min(1).max(100).describe('Tries in all, the first included'),
  backoff: Backoff.prefault({}).describe('How long to wait between tries'),
})
export type Retry = z.infer<typeof Retry>

/** `answer` (an agent's last message), `files` (JSON list of the paths it changed) and `value` are agents' only. */
const OutputFrom = z.enum(['stdout', 'stderr', 'exit_code', 'answer', 'files', 'value'])

/** Where an output's value is taken from; `json` is a dotted path into it, `regex`'s first group is kept. */
export const OutputSource = z.union([
  OutputFrom,
  z.strictObject({
    from: OutputFrom,
    json: z.string().min(1).optional().describe('Dotted path into the JSON it is, such as items.0.id'),
    regex: z
      .string()
      .min(1)
      .optional()
      .describe('Regular expression; its first group is kept, or all it matches'),
  }),
])
export type OutputSource = z.infer<typeof OutputSource>

/** The regular expression of an output: `^` and `$` are a line's, and it is read as Unicode. Throws `SyntaxError`. */
export const outputRegex = (source: string): RegExp => new RegExp(source, 'mu')

export const Concurrency = z.strictObject({
  group: z.string().min(1).max(200).describe('Text; may hold ${VAR}'),
  limit: z
    .number()
    .int()
    .min(1)
    .default(1)
    .describe('How many runs of the group run at once; the others wait'),
})

export const StepArgs = z.record(z.string(), z.unknown())

/** What to run to undo a step that succeeded; it runs on the same hosts. */
export const Rollback = z.strictObject({
  action: z.string().min(1).describe('What to do to undo the step'),
  args: StepArgs.default({}).describe('Arguments of that action'),
  timeout_seconds: seconds.optional().describe('Longest time of one try'),
})

/** One step as a workflow file writes it. */
export const Step = z.strictObject({
  name: name.describe('Its own name among all steps'),
  targets: z
    .array(z.string().min(1))
    .min(1)
    .optional()
    .describe('Names from inventory.hosts; may hold ${VAR}'),
  action: z.string().min(1).describe('What it does, such as cmd.run'),
  args: StepArgs.default({}).describe('Arguments of the action'),
  when: z.string().optional().describe('${VAR}, == != > < >= <=, && || ! and parentheses'),
  needs: z
    .array(z.string())
    .optional()
    .describe('Steps that come before; where any step has it, the steps are a graph'),
  expect_vars: z.array(VarName).optional().describe('Variables this step must export'),
  continue_on_error: z
    .boolean()
    .default(false)
    .describe('Where it fails, the run goes on and can still succeed'),
  timeout_seconds: seconds.optional().describe('Longest time of one try'),
  retry: Retry.optional().describe('Try again where it fails'),
  env: z.record(VarName, Scalar).optional().describe('Variables for this step'),
  outputs: z
    .record(VarName, OutputSource)
    .optional()
    .describe('Variables for later steps, taken from its output'),
  matrix: z.record(VarName, z.array(Scalar).min(1)).optional().describe('Runs once for each combination'),
  foreach: z
    .union([z.array(Scalar), z.string()])
    .optional()
    .describe('Runs once for each item, as ${ITEM}; a list, or a ${VAR} holding a JSON list or lines'),
  max_parallel: z.number().int().min(1).optional().describe("How many of this step's instances run at once"),
  rollback: Rollback.optional().describe('Undoes this step where the run fails later'),
})
export type Step = z.infer<typeof Step>

export const Inventory = z.strictObject({
  hosts: z.record(z.string().min(1), InventoryHost.nullable()).describe('Hosts by the name that targets use'),
})

/** A workflow file. Unknown keys are errors. */
export const Workflow = z.strictObject({
  version: z.literal('v0.1').describe('Of the file format'),
  name: name.describe('What runs of it are called'),
  description: z.string().optional(),
  inventory: Inventory.optional().describe('Where steps can run'),
  inputs: z.record(VarName, Input).optional().describe('Values that a run is started with'),
  env: z.record(VarName, Scalar).optional().describe('Variables for all steps'),
  concurrency: Concurrency.optional().describe('Lets few runs of a group run at once'),
  timeout_seconds: seconds.optional().describe('Longest time of all main steps together'),
  outputs: z.record(VarName, z.string()).optional().describe('Text, filled in when the run ends'),
  steps: z
    .array(Step)
    .min(1)
    .max(10_000)
    .describe('Run one after another, or as a graph where needs is written'),
  finally: z.array(Step).max(1000).optional().describe('Run at the end, whatever came before'),
})
export type Workflow = z.infer<typeof Workflow>
/** What a person may write: defaults left out. */
export type WorkflowFile = z.input<typeof Workflow>

/** The host of a step that names no targets. */
export const DEFAULT_HOST = 'local'
