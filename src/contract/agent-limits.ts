import * as z from './mini-zod.ts'

/** The bounds of an agent: how a step limits it, and how large its messages may be. */

/** Largest update, as JSON. */
export const MAX_UPDATE_BYTES = 256 * 1024
/** Largest input, as JSON: it goes through one frame of the runner's link. */
export const MAX_INPUT_BYTES = 3 * 1024 * 1024

export const ToolKind = z.enum([
  'read',
  'edit',
  'delete',
  'move',
  'search',
  'execute',
  'think',
  'fetch',
  'other',
])
export type ToolKind = z.infer<typeof ToolKind>

/** Rules are asked in order, the first that fits decides; none: `otherwise`. Paths are globs below the working folder. */
export const PermissionRule = z.strictObject({
  decision: z.enum(['allow', 'deny', 'ask']),
  tools: z.optional(z.array(ToolKind).check(z.minLength(1))),
  paths: z.optional(z.array(z.string().check(z.minLength(1))).check(z.minLength(1))),
})
export const Permissions = z.strictObject({
  mode: z._default(z.enum(['ask', 'allow', 'deny', 'rules']), 'allow'),
  rules: z._default(z.array(PermissionRule), []),
  otherwise: z._default(z.enum(['allow', 'deny', 'ask']), 'ask'),
  ask_timeout_seconds: z._default(z.number().check(z.positive(), z.maximum(31_536_000)), 600),
  on_ask_timeout: z._default(z.enum(['allow', 'deny']), 'deny'),
})
export type Permissions = z.infer<typeof Permissions>

/** Reaching one stops the run with reason `budget`, and which. */
export const Budget = z.strictObject({
  seconds: z.optional(z.number().check(z.positive())),
  inactivity_seconds: z._default(z.number().check(z.positive()), 300),
  turns: z.optional(z.int().check(z.positive())),
  tokens: z.optional(z.int().check(z.positive())),
  cost_usd: z.optional(z.number().check(z.positive())),
})
export type Budget = z.infer<typeof Budget>
