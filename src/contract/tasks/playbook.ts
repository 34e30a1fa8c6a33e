import * as z from 'zod'
import { VarName } from '../names.ts'
import { plainName } from '../plain-name.ts'
import { Scalar } from '../workflow.ts'

const text = (most: number) =>
  z
    .string()
    .min(1)
    .max(most)
    .regex(/^[^\0]*$/, 'it must not contain a NUL character')

/**
 * The phases of a playbook: a setup step prepares the workspace before an agent begins, a test step judges the result.
 */
export const PlaybookPhase = z.enum(['setup', 'test'])
export type PlaybookPhase = z.infer<typeof PlaybookPhase>

/** A command of a playbook. */
export const PlaybookStep = z.strictObject({
  name: plainName(200).describe('Shown in lists; need not be unique'),
  command: text(65_536).describe('A line or a script for sh, run in the root of the repository'),
  condition: z
    .union([z.string(), z.boolean()])
    .optional()
    .describe('The step is skipped if the condition is false'),
  timeout_seconds: z
    .number()
    .positive()
    .max(86_400)
    .default(300)
    .describe('Longest duration of one try, in seconds; a try that takes longer fails'),
  retry_count: z
    .number()
    .int()
    .min(0)
    .max(20)
    .default(0)
    .describe('How many more times to try after a failure, after 1, 2, 4 … seconds'),
  fail_fast: z
    .boolean()
    .default(true)
    .describe(
      'A failure ends the playbook; with false, the next step runs, and the playbook fails at its end',
    ),
  phase: PlaybookPhase.default('test').describe(
    'setup: before an agent begins; test: while it works, and on its result',
  ),
  allow_failure: z.boolean().default(false).describe('A failure is only reported'),
  commits: z
    .boolean()
    .default(false)
    .describe(
      'Commit what the step changes, such as a formatter does; otherwise nothing that a step changes is committed',
    ),
  env: z.record(VarName, Scalar).optional().describe('Variables for its command'),
  artifacts: z
    .array(text(500))
    .min(1)
    .max(50)
    .optional()
    .describe('Globs of files to store; test results are read from files in JUnit XML or TAP format'),
})
export type PlaybookStep = z.infer<typeof PlaybookStep>

/** The preparation and tests of a repository. Unknown keys are errors. */
export const Playbook = z.strictObject({
  name: plainName(200).describe('Shown in lists'),
  required_skill: plainName(128)
    .optional()
    .describe('Use this playbook for tasks that require this skill; absent: for any task'),
  steps: z
    .array(PlaybookStep)
    .min(1)
    .max(200)
    .describe('Steps that run one after another: those of setup, and later those of test'),
})
export type Playbook = z.infer<typeof Playbook>
/** The playbook as a person may write it, without defaults. */
export type PlaybookFile = z.input<typeof Playbook>

/**
 * The outcome of a playbook's step. `flaky` passed when tried again; `allowed` failed where a failure is only reported;
 * `skipped` has a condition that is false; `not_run` follows a failure that ended the playbook.
 */
export const PlaybookStepStatus = z.enum([
  'passed',
  'flaky',
  'failed',
  'timeout',
  'allowed',
  'canceled',
  'skipped',
  'not_run',
])
export type PlaybookStepStatus = z.infer<typeof PlaybookStepStatus>

export const PlaybookStepSummary = z.object({
  name: z.string(),
  command: z.string(),
  status: PlaybookStepStatus,
  tries: z.number().int().min(0),
  exit_code: z.number().int().optional().describe('Exit code of its last try'),
  duration_ms: z.number().min(0).describe('Duration of all its tries, without the waits between them'),
  told: z.string().optional().describe('Why it did not pass, or another note about it'),
})
export type PlaybookStepSummary = z.infer<typeof PlaybookStepSummary>

/** The outcomes of the steps of one phase of a playbook. */
export const PlaybookSummary = z.object({
  playbook: z.string(),
  phase: PlaybookPhase,
  outcome: z.enum(['success', 'failed', 'canceled']),
  message: z.string().describe('One sentence'),
  steps: z.array(PlaybookStepSummary),
})
export type PlaybookSummary = z.infer<typeof PlaybookSummary>
