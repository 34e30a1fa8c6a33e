import { Approvers } from './approvers.ts'
import { BotServeArgs } from './bots/bot.ts'
import { RunId } from './ids.ts'
import * as z from './mini-zod.ts'
import { described } from './mini-zod.ts'
import {
  ForgePullRequestArgs,
  GitCarryArgs,
  GitCheckArgs,
  GitPushArgs,
  GitWorkspaceArgs,
  PlaybookRunArgs,
  TaskVerdictArgs,
} from './tasks/actions.ts'
import { Filled, VarName } from './workflow.ts'

/**
 * Describes an action to the parser: the schema of its `args`, and which of them are handed over as written (a shell
 * expands `${VAR}` there itself; everywhere else Errand fills it in as text).
 */
export interface ActionContract {
  args: z.core.$ZodType
  raw: readonly string[]
  /** `engine`: the engine itself runs it, without a host. */
  place: 'host' | 'engine'
  /** Set when it takes prompts and answers (`AttemptInput`) while it runs. */
  inputs?: true
  /** Set when only a machine with a container engine can run it. */
  containers?: true
  /** The only command that may create steps with this action; a file that contains one is refused. */
  made_by?: string
}
export type ActionCatalog = Readonly<Record<string, ActionContract>>

const output = {
  max_output_bytes: described(
    z.optional(z.int().check(z.minimum(0))),
    'How much of the output is kept in memory and shown, in bytes (default 1 MiB); the rest goes to disk',
  ),
  output_path: described(z.optional(Filled), 'Folder to write the whole output to'),
}
const processArgs = {
  ...output,
  cwd: described(z.optional(Filled), 'Working folder'),
  export_vars: described(
    z._default(z.boolean(), false),
    'Turn lines BOPS_EXPORT:KEY=value on standard output into variables',
  ),
}

export const CmdRunArgs = z.strictObject({
  cmd: z.string().check(z.minLength(1), z.describe('One or more lines, run by /bin/sh')),
  ...processArgs,
})
export const ShellRunArgs = z.strictObject({
  script: z
    .string()
    .check(z.minLength(1), z.describe('A whole script; its first line may name an interpreter (#!)')),
  shell: z._default(z.enum(['sh', 'bash']), 'sh'),
  ...processArgs,
})
export const NoopArgs = z.strictObject({})
export const VarsSetArgs = z.strictObject({
  vars: z.record(VarName, z.union([z.string(), z.number(), z.boolean()])),
})
export const FileWriteArgs = z.strictObject({
  path: Filled,
  content: z.string(),
  mode: z._default(
    z.string().check(z.regex(/^0?[0-7]{3}$/, 'a mode is three octal digits, such as "644"')),
    '644',
  ),
})
export const HttpRequestArgs = z.strictObject({
  url: Filled,
  method: z._default(z.enum(['GET', 'POST', 'PUT', 'PATCH', 'DELETE', 'HEAD']), 'GET'),
  headers: z._default(z.record(z.string(), z.string()), {}),
  body: z.optional(z.string()),
  expect_status: described(z.optional(z.array(z.int())), 'Default: any 2xx'),
  ...output,
})
const seconds = z.number().check(z.positive(), z.maximum(31_536_000))
export const ApprovalArgs = z.strictObject({
  message: z._default(z.string(), 'Continue?'),
  timeout_seconds: z.optional(seconds),
  on_timeout: z._default(z.enum(['approve', 'reject']), 'reject'),
  comment_as: described(
    z.optional(VarName),
    'Variable for the comment of a rejection. If it is set, a rejection with a comment does not fail the step. An approval leaves it empty',
  ),
  approvers: described(
    z.optional(Approvers),
    'Who may answer on a hub; default: the owner of the run, and admins',
  ),
})
export const WorkflowRunArgs = z.strictObject({
  file: described(z.optional(Filled), 'Path relative to this file; read when the run is submitted'),
  workflow: described(z.optional(z.record(z.string(), z.unknown())), 'The sub-workflow itself'),
  inputs: z._default(z.record(VarName, z.union([z.string(), z.number(), z.boolean()])), {}),
})

/** Longest prompt, in characters. */
const MAX_PROMPT_CHARACTERS = 8 * 1024 * 1024

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

/**
 * Rules are checked in order, and the first match decides; without one, `otherwise` does. Paths are globs below the
 * working folder.
 */
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

/** Limits of a run. Reaching one stops the run with reason `budget` and names the limit. */
export const Budget = z.strictObject({
  seconds: z.optional(z.number().check(z.positive())),
  inactivity_seconds: z._default(z.number().check(z.positive()), 300),
  turns: z.optional(z.int().check(z.positive())),
  tokens: z.optional(z.int().check(z.positive())),
  cost_usd: z.optional(z.number().check(z.positive())),
})

/** Most files and images of one prompt, and most bytes of one of them and of all. */
export const MAX_ATTACHMENTS = 10
export const MAX_ATTACHMENT_BYTES = 5 * 1024 * 1024
export const MAX_PROMPT_ATTACHED_BYTES = 20 * 1024 * 1024

/** A file or image that belongs to a prompt, as the hub has stored it; the runner fetches its bytes. */
export const Attachment = z.strictObject({
  id: Filled,
  name: Filled,
  media_type: Filled,
  bytes: z.int().check(z.minimum(0), z.maximum(MAX_ATTACHMENT_BYTES)),
  sha256: z.string().check(z.regex(/^[0-9a-f]{64}$/)),
})
export type Attachment = z.infer<typeof Attachment>

export const AgentRunArgs = z.strictObject({
  prompt: z
    .string()
    .check(z.minLength(1), z.maxLength(MAX_PROMPT_CHARACTERS), z.describe('What the agent should do')),
  attachments: described(
    z.optional(z.array(Attachment).check(z.maxLength(MAX_ATTACHMENTS))),
    'Files and images sent with the prompt, as stored by the hub',
  ),
  agent: described(z._default(Filled, 'claude_code'), 'Name of the agent, such as codex'),
  cwd: described(z.optional(Filled), "Working folder (default: the run's workspace)"),
  model: described(z.optional(Filled), "Name of the model (default: the agent's own)"),
  extra_args: described(z._default(z.array(z.string()), []), "Additional arguments for the agent's program"),
  command: described(
    z.optional(z.array(Filled).check(z.minLength(1))),
    'For the agent acp: its program and arguments',
  ),
  proxy_env: described(
    z.optional(
      z
        .record(VarName, z.enum(['anthropic', 'openai']))
        .check(z.refine((variables) => Object.keys(variables).length <= 20, 'it has more than 20 variables')),
    ),
    'For the agent acp in a box: variables that hold the key of a model service. The key itself then stays outside the box',
  ),
  permissions: described(
    z._default(
      z.union(
        [z.enum(['ask', 'allow', 'deny']), Permissions],
        'must be "ask", "allow" or "deny", or {mode, rules, ...}',
      ),
      'allow',
    ),
    'Who decides whether the agent may use a tool',
  ),
  budget: described(z.prefault(Budget, {}), 'Limits; reaching one of them stops the step'),
  verify: described(
    z._default(z.array(Filled), []),
    'Commands that /bin/sh runs when the agent says it is done; a failure goes back to the agent',
  ),
  verify_list: described(
    z.optional(z.string()),
    'More such commands, as a JSON list in a variable that an earlier step has set',
  ),
  verify_attempts: described(
    z._default(z.int().check(z.minimum(1), z.maximum(100)), 3),
    'How often the agent may try to pass these commands before the step fails',
  ),
  gives_up_with: described(
    z.optional(Filled),
    'Start of a line in its last message with which the agent says that it cannot do the work, and why; it is then not asked again',
  ),
  fail_on_denied: described(
    z.optional(z.boolean()),
    'Whether the step fails if the agent was denied a tool (default: only if nobody could be asked, or nothing was permitted)',
  ),
  interactive: described(z._default(z.boolean(), false), 'Wait for more prompts instead of ending'),
  idle_timeout_seconds: described(z._default(seconds, 600), 'How long to wait for the next prompt'),
  session: z.optional(
    z.strictObject({
      session_id: z
        .string()
        .check(z.minLength(1), z.describe("The agent's own id of an earlier session to continue")),
      workspace_of: described(z.optional(RunId), 'Run whose workspace to use'),
      fork: described(
        z.optional(z.literal(true)),
        'Continue in a branch; the session itself stays unchanged',
      ),
    }),
  ),
  output_schema: described(
    z.optional(z.record(z.string(), z.unknown())),
    'JSON Schema of the value that the answer must contain',
  ),
  keep_change: described(
    z.optional(z.boolean()),
    'When the agent ends, store its changes to the repository as a diff and as one patch per commit',
  ),
  ...output,
})
export type AgentRunArgs = z.infer<typeof AgentRunArgs>

/** The actions that ship with Errand. A program that embeds the engine may add its own. */
export const builtinActions: ActionCatalog = {
  'cmd.run': { args: CmdRunArgs, raw: ['cmd'], place: 'host' },
  'shell.run': { args: ShellRunArgs, raw: ['script'], place: 'host' },
  'file.write': { args: FileWriteArgs, raw: [], place: 'host' },
  'git.check': { args: GitCheckArgs, raw: [], place: 'host', made_by: 'errand task run' },
  'git.workspace': { args: GitWorkspaceArgs, raw: [], place: 'host' },
  'git.carry': { args: GitCarryArgs, raw: [], place: 'host', made_by: 'errand task run' },
  'git.push': { args: GitPushArgs, raw: [], place: 'host', made_by: 'errand task run' },
  'http.request': { args: HttpRequestArgs, raw: [], place: 'host' },
  'vars.set': { args: VarsSetArgs, raw: [], place: 'host' },
  'agent.run': { args: AgentRunArgs, raw: ['verify', 'output_schema'], place: 'host', inputs: true },
  'bot.serve': {
    args: BotServeArgs,
    raw: ['source', 'command', 'health'],
    place: 'host',
    containers: true,
    made_by: 'errand bot start',
  },
  'playbook.run': {
    args: PlaybookRunArgs,
    raw: ['playbook', 'playbooks', 'test_commands', 'metadata', 'task'],
    place: 'host',
    made_by: 'errand task run',
  },
  'task.verdict': { args: TaskVerdictArgs, raw: [], place: 'host', made_by: 'errand task run' },
  'forge.pull_request': {
    args: ForgePullRequestArgs,
    raw: [],
    place: 'host',
    made_by: 'errand task run',
  },
  noop: { args: NoopArgs, raw: [], place: 'host' },
  'approval.wait': { args: ApprovalArgs, raw: [], place: 'engine' },
  'workflow.run': { args: WorkflowRunArgs, raw: ['workflow'], place: 'engine' },
}

export const DEFAULT_MAX_OUTPUT_BYTES = 1024 * 1024

/** Limits of an agent: how a step limits it, and how large its messages may be. */

/** Largest update, as JSON. */
export const MAX_UPDATE_BYTES = 256 * 1024
/** Largest input, as JSON: it must fit in one frame of the runner's link. */
export const MAX_INPUT_BYTES = 3 * 1024 * 1024

export type ToolKind = z.infer<typeof ToolKind>

export type Permissions = z.infer<typeof Permissions>

export type Budget = z.infer<typeof Budget>

/** The agents that ship with Errand. A runner may have more of its own. */
export const shippedAgents = ['claude_code', 'codex', 'opencode', 'copilot', 'acp', 'builtin'] as const
