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
export const InventoryHost = z.lazy(() => z.strictObject({
  address: z
    .string()
    .regex(/^https?:\/\//, 'an address starts with http:// or https://')
    .optional(),
  token_env: VarName.optional(),
  runner: z.string().min(1).optional(),
  group: z.string().min(1).optional(),
  labels: z.record(z.string(), z.string()).optional(),
}))
export type InventoryHost = z.infer<typeof InventoryHost>

export const Input = z.lazy(() => z.strictObject({
  type: z
    .enum(['string', 'number', 'boolean'])
    .default('string'),
  description: z.string().optional(),
  default: Scalar.optional(),
  required: z.boolean().default(false),
  enum: z.array(Scalar).min(1).optional(),
}))
export type Input = z.infer<typeof Input>

export const Backoff = z.lazy(() => z.strictObject({
  delay_seconds: z.number().min(0).max(86_400).default(1),
  factor: z.number().min(1).max(100).default(2),
  max_delay_seconds: z.number().min(0).max(86_400).default(300),
}))
export const Retry = z.lazy(() => z.strictObject({
  max_attempts: z.number().int().min(1).max(100),
  backoff: Backoff.prefault({}),
}))
export type Retry = z.infer<typeof Retry>

/** Where an output's value is taken from; `json` is a dotted path into it, `regex`'s first group is kept. */
export const OutputSource = z.lazy(() => z.union([
  z.enum(['stdout', 'stderr', 'exit_code']),
  z.strictObject({
    from: z.enum(['stdout', 'stderr', 'exit_code']),
    json: z.string().min(1).optional(),
    regex: z
      .string()
      .min(1)
      .optional(),
  }),
]))
export type OutputSource = z.infer<typeof OutputSource>

/** The regular expression of an output: `^` and `$` are a line's, and it is read as Unicode. Throws `SyntaxError`. */
export const outputRegex = (source: string): RegExp => new RegExp(source, 'mu')

export const Concurrency = z.lazy(() => z.strictObject({
  group: z.string().min(1).max(200),
  limit: z
    .number()
    .int()
    .min(1)
    .default(1),
}))

export const StepArgs = z.record(z.string(), z.unknown())

/** What to run to undo a step that succeeded; it runs on the same hosts. */
export const Rollback = z.lazy(() => z.strictObject({
  action: z.string().min(1),
  args: StepArgs.default({}),
  timeout_seconds: seconds.optional(),
}))

/** One step as a workflow file writes it. */
export const Step = z.strictObject({
  name: name,
  targets: z
    .array(z.string().min(1))
    .min(1)
    .optional(),
  action: z.string().min(1),
  args: StepArgs.default({}),
  when: z.string().optional(),
  needs: z
    .array(z.string())
    .optional(),
  expect_vars: z.array(VarName).optional(),
  continue_on_error: z
    .boolean()
    .default(false),
  timeout_seconds: seconds.optional(),
  retry: Retry.optional(),
  env: z.record(VarName, Scalar).optional(),
  outputs: z
    .record(VarName, OutputSource)
    .optional(),
  matrix: z.record(VarName, z.array(Scalar).min(1)).optional(),
  foreach: z
    .union([z.array(Scalar), z.string()])
    .optional(),
  max_parallel: z.number().int().min(1).optional(),
  rollback: Rollback.optional(),
})
export type Step = z.infer<typeof Step>

export const Inventory = z.lazy(() => z.strictObject({
  hosts: z.record(z.string().min(1), InventoryHost.nullable()),
}))

/** A workflow file. Unknown keys are errors. */
export const Workflow = z.strictObject({
  version: z.literal('v0.1'),
  name: name,
  description: z.string().optional(),
  inventory: Inventory.optional(),
  inputs: z.record(VarName, Input).optional(),
  env: z.record(VarName, Scalar).optional(),
  concurrency: Concurrency.optional(),
  timeout_seconds: seconds.optional(),
  outputs: z.record(VarName, z.string()).optional(),
  steps: z
    .array(Step)
    .min(1)
    .max(10_000),
  finally: z.array(Step).max(1000).optional(),
})
export type Workflow = z.infer<typeof Workflow>
/** What a person may write: defaults left out. */
export type WorkflowFile = z.input<typeof Workflow>

/** The host of a step that names no targets. */
export const DEFAULT_HOST = 'local'
