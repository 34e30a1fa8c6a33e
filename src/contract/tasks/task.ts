import * as z from 'zod'
import { AgentRunArgs } from '../actions.ts'
import { Permissions } from '../agent.ts'
import { Limits, Resources } from '../amounts.ts'
import { BoxAskShape } from '../isolation.ts'
import { plainName } from '../plain-name.ts'
import { VarName } from '../workflow.ts'

/** A coding task as it is given comes from a file, the command line, a forge's issue or an older system. */

/** States of a task. The last four are final, and only `retry` leaves them. */
export const TaskState = z.enum([
  'pending',
  'blocked',
  'running',
  'waiting',
  'in_review',
  'done',
  'no_change',
  'failed',
  'canceled',
])
export type TaskState = z.infer<typeof TaskState>

export const finalTaskStates: readonly TaskState[] = ['done', 'no_change', 'failed', 'canceled']
export const isFinalTask = (state: TaskState): boolean => finalTaskStates.includes(state)

/** Words for states that other systems use, in lower case. */
const otherWords: Readonly<Record<string, TaskState>> = {
  ready: 'pending',
  todo: 'pending',
  in_progress: 'running',
  review: 'in_review',
  completed: 'done',
  success: 'done',
  error: 'failed',
  cancelled: 'canceled',
}

/** Returns the state that a word of any system means, whatever its case; undefined when there is none. */
export function taskState(word: string): TaskState | undefined {
  const small = word.trim().toLowerCase()
  const own = TaskState.safeParse(small)
  return own.success ? own.data : Object.hasOwn(otherWords, small) ? otherWords[small] : undefined
}

/** The words that `taskState` knows, in the order in which an error names them. */
export const taskStateWords: readonly string[] = [...TaskState.options, ...Object.keys(otherWords)]

const MAX_ID = 128
const MAX_TITLE = 256

/** An id that a user gave it: unique in its spec, and shown as given. */
const OwnId = plainName(MAX_ID)
const text = (most: number) => z.string().max(most)
const filled = z.string().min(1).max(4096)

/** A glob of paths in a repository, such as `.github/**`. */
const Glob = z.string().min(1).max(1000)

/** The handling of a change to a protected file: it is refused, needs a person's approval, or is shown separately. */
export const Protection = z.enum(['forbid', 'ask', 'flag'])
export type Protection = z.infer<typeof Protection>

const Protect = z.union([
  z.array(Glob).max(200).describe('Globs of paths that must not be changed'),
  z
    .array(z.strictObject({ paths: z.array(Glob).min(1).max(200), decision: Protection }))
    .max(100)
    .describe('The first rule that matches a path decides'),
])

/** The program of the agent `acp`, which only the client knows. */
const { command, proxy_env } = AgentRunArgs.shape

const Review = z.strictObject({
  agent: filled.default('claude_code').describe('The agent that reviews the change'),
  ...{ model: filled.optional(), command, proxy_env },
  rounds: z
    .number()
    .int()
    .min(1)
    .max(3)
    .default(1)
    .describe('How often at most its findings go back to the agent'),
  must_pass: z.boolean().default(false).describe('Fail the task if findings are left'),
})

const PullRequest = z.strictObject({
  draft: z.boolean().default(true),
  title: text(MAX_TITLE).optional().describe("Default: the task's"),
  labels: z.array(z.string().min(1).max(100)).max(50).default([]),
  reviewers: z
    .array(z.string().min(1).max(100))
    .max(50)
    .optional()
    .describe('Default: the person who requested the task'),
  base: filled.optional().describe('Default: the branch that the task starts from'),
})

/** A model service with OpenAI's API, for the agent `builtin`. */
export const TaskModel = z.strictObject({
  model: filled.optional(),
  endpoint: z.string().url().optional(),
  timeout_seconds: z.number().positive().max(86_400).default(120),
  max_tokens: z.number().int().positive().optional(),
  retry_count: z.number().int().min(0).max(20).default(3),
})

/** The limits of a task over all of its tries. */
export const TaskBudget = z.strictObject({
  seconds: z.number().positive().optional(),
  turns: z.number().int().positive().optional(),
  tokens: z.number().int().positive().optional(),
  cost_usd: z.number().positive().optional(),
})

/** A coding task. Fields of older systems have their original names; unknown keys are errors. */
export const Task = z.strictObject({
  task_id: OwnId.optional().describe('Unique in its spec; default: a generated id'),
  spec_name: plainName(MAX_ID).default('tasks').describe('The spec or list that it belongs to'),
  title: z
    .string()
    .min(1)
    .max(MAX_TITLE)
    .refine((title) => title.trim() !== '', 'it must not be blank'),
  description: text(1024 * 1024).default(''),
  acceptance_criteria: z.array(text(16_384)).max(200).default([]),
  dependencies: z
    .array(
      z
        .string()
        .min(1)
        .max(2 * MAX_ID + 1),
    )
    .max(200)
    .default([])
    .describe('Tasks that must be done first: ids of the same spec, spec/id, or task_…'),
  required_skill: plainName(MAX_ID)
    .optional()
    .describe('Selects the playbook, and the runner group with this label'),
  metadata: z
    .record(z.string(), z.unknown())
    .default({})
    .describe('Shown as given; conditions of playbooks can read it'),
  issue: z.string().url().max(2000).optional().describe('The issue that the task comes from'),

  repo_url: z.string().min(1).max(2000).optional().describe('Repository: https://, ssh:// or git@host:path'),
  ref: filled
    .optional()
    .describe('Branch, tag or commit to start from; default: the default branch of the repository'),
  branch_name: filled.max(250).optional().describe('Default: a name made from the task'),
  branch: z
    .enum(['suffix', 'reuse'])
    .default('suffix')
    .describe(
      'If a branch with this name exists that this task did not create: use another name, or work on that branch',
    ),
  slot_path: filled.optional().describe('A folder of the runner to use as it is; it is never cleaned'),
  slot_id: filled.optional(),
  submodules: z.boolean().default(false),
  lfs: z.boolean().default(false),

  playbook: z.record(z.string(), z.unknown()).optional().describe('The playbook itself, instead of a file'),
  playbook_path: filled.optional().describe('A file in the repository'),
  test_commands: z.array(filled).max(100).optional().describe('Commands to use instead of a playbook'),
  fail_fast: z.boolean().default(true).describe('For test_commands: stop at the first failure'),
  fresh: z.boolean().default(false).describe('Run tests on a fresh checkout of the commit'),

  agent: filled.default('builtin'),
  ...{ model: filled.optional(), command, proxy_env },
  llm: TaskModel.prefault({}),
  permissions: z.union([z.enum(['ask', 'allow', 'deny']), Permissions]).default('allow'),
  instructions: text(64 * 1024)
    .optional()
    .describe('Additional instructions for the agent'),
  verify_attempts: z.number().int().min(1).max(100).default(3),
  plan: z.boolean().default(false).describe("A person must approve the agent's plan first"),
  review: Review.optional(),
  protect: Protect.optional(),
  budget: TaskBudget.prefault({}),
  limits: z.optional(Limits),
  resources: z.optional(Resources).describe('Resources that a runner must have free for each of its steps'),
  env: z.record(VarName, z.union([z.string(), z.number(), z.boolean()])).optional(),
  secrets: z
    .array(VarName)
    .max(100)
    .optional()
    .describe('Secrets for setup and tests; agents do not get them'),
  git_token_env_var: z
    .optional(VarName)
    .describe('Secret with the repository token; default: GIT_TOKEN, or else GITHUB_TOKEN'),
  llm_api_key_env_var: z
    .optional(VarName)
    .describe(
      'Secret with the model key, for builtin and acp; default: OPENAI_API_KEY for builtin, or else the key of the runner',
    ),
  artifacts: z.array(Glob).max(200).default([]).describe('Files to store as artifacts'),

  commits: z.enum(['keep', 'squash']).default('keep'),
  push: z.boolean().default(true),
  force: z.enum(['never', 'lease']).default('never'),
  pull_request: z.union([z.boolean(), PullRequest]).default(true),
  push_on_failure: z.boolean().default(false),
  on_base_moved: z.enum(['ignore', 'rebase', 'merge']).default('ignore'),
  conflicts: z.enum(['fail', 'agent']).default('fail'),
  retest: z.enum(['touched', 'always', 'never']).default('touched'),
  follow: z.boolean().default(false),
  wait_for_merge: z.boolean().default(false),
  base: z
    .enum(['stacked', 'merged'])
    .default('stacked')
    .describe('What the work is based on if the task depends on others'),

  timeout_seconds: z
    .number()
    .positive()
    .max(31_536_000)
    .default(1800)
    .describe('Longest duration of one try, in seconds'),
  git_retry_count: z.number().int().min(0).max(20).default(3),
  network_retry_count: z.number().int().min(0).max(20).default(3),
  run_retries: z
    .number()
    .int()
    .min(0)
    .max(20)
    .default(3)
    .describe('How many more tries follow tries that ended without a verdict'),
  priority: z.number().int().min(-100).max(100).default(0),
  runner: filled.optional(),
  group: filled.optional(),
  labels: z.record(z.string(), z.string()).optional(),
  ...BoxAskShape,
})
export type Task = z.infer<typeof Task>
export type TaskInput = z.input<typeof Task>

interface AgentFault {
  field: string
  message: string
  hint: string
}

/**
 * Returns the faults in a task's choice of agents: `acp` needs a program, all others have their own, and no agent may
 * get the token of the repository.
 */
export function agentFaults({ review, llm_api_key_env_var, git_token_env_var, ...task }: Task): AgentFault[] {
  const faults = [...programFaults('', task), ...(review ? programFaults('.review', review) : [])]
  const tokens = [git_token_env_var, 'GIT_TOKEN', 'GITHUB_TOKEN']
  if (llm_api_key_env_var !== undefined && tokens.includes(llm_api_key_env_var))
    faults.push({
      field: '.llm_api_key_env_var',
      message: `is ${llm_api_key_env_var}, the repository token, which agents must not get`,
      hint: 'Name the secret that holds the model key.',
    })
  return faults
}

function programFaults(
  field: string,
  { agent, command, proxy_env }: Pick<Task, 'agent' | 'command' | 'proxy_env'>,
): AgentFault[] {
  if (agent !== 'acp')
    return Object.entries({ command, proxy_env })
      .filter(([, value]) => value !== undefined)
      .map(([name]) => ({
        field: `${field}.${name}`,
        message: `is for the agent "acp", not for "${agent}"`,
        hint: `Remove ${name}, or write agent: acp.`,
      }))
  if (command !== undefined) return []
  const message = 'is missing: the agent "acp" is any program that speaks its protocol'
  return [{ field: `${field}.command`, message, hint: 'Write it as a list: command: [my-agent, --acp]' }]
}

/** A task id that Errand assigns. */
export const TaskId = z.string().regex(/^task_[0-9a-v]{20}$/, 'a task id is task_ followed by 20 characters')
