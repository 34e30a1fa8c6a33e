import * as z from 'zod'
import { AgentState, AttemptInput, Usage } from './agent.ts'
import { StreamName } from './attempt.ts'
import { RunEvent } from './events.ts'
import { RunId } from './ids.ts'
import { PlainName } from './plain-name.ts'
import { RunnerView } from './protocol.ts'
import { type ListRuns, RunSummary } from './run.ts'
import { RunStatus } from './status.ts'

/** Requests and answers of the hub's HTTP API that do not already stand in `run.ts` and `protocol.ts`. */

const time = z.string().describe('RFC 3339, UTC')

export const Health = z.object({
  status: z.literal('ok'),
  ok: z.literal(true),
  version: z.string(),
  uptime_seconds: z.number(),
})
export type Health = z.infer<typeof Health>

export const ErrorAnswer = z.object({
  error: z.object({
    code: z.string().describe('Stable; may be scripted against'),
    message: z.string(),
    hint: z.string().optional(),
    details: z.unknown().optional(),
  }),
})

export const UserRole = z.enum(['admin', 'user'])
export type UserRole = z.infer<typeof UserRole>

/** As a run's `owner` shows it. */
export const UserName = z
  .string()
  .regex(/^[A-Za-z0-9][A-Za-z0-9._@-]{0,63}$/, 'a user name is 1-64 letters, digits, ".", "_", "@" or "-"')
export const Password = z
  .string()
  .min(8, 'a password has at least 8 characters')
  .max(256, 'a password has at most 256 characters')

export const UserView = z.object({
  id: z.string(),
  name: z.string(),
  role: UserRole,
  tenant: z.string(),
  disabled: z.boolean(),
  created_at: time,
})
export type UserView = z.infer<typeof UserView>
export const ListUsers = z.strictObject({
  name: z.string().optional(),
  role: UserRole.optional(),
  status: z.enum(['active', 'disabled']).optional(),
})
export type ListUsers = z.infer<typeof ListUsers>
export const UserList = z.object({ users: z.array(UserView), next_cursor: z.string().optional() })
export type UserList = z.infer<typeof UserList>

/** Users, runs, runners and secrets of one tenant are not there for another. */
export const TenantName = z
  .string()
  .regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/, 'a tenant is letters, digits, ".", "_" and "-", at most 63')
export const CreateUser = z.strictObject({
  name: UserName,
  password: Password,
  role: UserRole.default('user'),
  tenant: TenantName.optional().describe(
    "Default: the caller's. Another one, made with its first user, is for admins of the tenant `default` to name",
  ),
})
export type CreateUserInput = z.input<typeof CreateUser>
export const PatchUser = z
  .strictObject({
    password: Password.optional().describe('Ends every session of the user'),
    role: UserRole.optional(),
    disabled: z.boolean().optional().describe('A disabled user cannot log in, and its tokens are refused'),
  })
  .refine((patch) => Object.values(patch).some((value) => value !== undefined), 'nothing to change is given')
export type PatchUser = z.infer<typeof PatchUser>

export const LoginRequest = z.strictObject({
  username: z.string().min(1).max(256),
  password: z.string().min(1).max(1024),
})
export type LoginRequest = z.infer<typeof LoginRequest>
export const LoginAnswer = z.object({
  token: z.string(),
  expires_at: time,
  access_token: z.string().describe('The same token, as OAuth and the agent API call it'),
  token_type: z.literal('Bearer'),
  expires_in: z.number().int().describe('Seconds'),
  user: UserView.extend({ username: z.string().describe('As `name`') }),
})
export type LoginAnswer = z.infer<typeof LoginAnswer>

export const TokenScope = z.enum(['api', 'runner', 'enroll', 'metrics'])
export type TokenScope = z.infer<typeof TokenScope>
export const CreateToken = z.strictObject({
  name: PlainName,
  scope: TokenScope.exclude(['enroll'])
    .default('api')
    .describe(
      '`api`: acts as its user. `runner`: opens the runner link, nothing else. `metrics`: reads `/metrics`, nothing else',
    ),
  expires_in_seconds: z.number().int().min(1).max(315_360_000).optional().describe('Default: never'),
  group: PlainName.optional().describe('The one runner group a `runner` token may serve'),
})
export type CreateTokenInput = z.input<typeof CreateToken>
export const TokenStatus = z.enum(['good', 'used', 'expired', 'revoked'])
export type TokenStatus = z.infer<typeof TokenStatus>
export const ListTokens = z.strictObject({
  name: z.string().optional(),
  scope: TokenScope.optional(),
  status: TokenStatus.optional(),
  user: z.string().optional().describe('Name of the user they act as'),
})
export type ListTokens = z.infer<typeof ListTokens>
export const TokenView = z.object({
  id: z.string(),
  name: z.string(),
  scope: TokenScope,
  status: TokenStatus.describe('`used`: an `enroll` token that was exchanged'),
  user: z.string().describe('Name of the user it acts as'),
  group: z.string().optional(),
  runner_id: z.string().optional().describe('The one runner it is for, or that it enrolled'),
  created_at: time,
  last_used_at: time.optional(),
  used_at: time.optional().describe('When an `enroll` token was exchanged'),
  expires_at: time.optional(),
  revoked_at: time.optional(),
})
export type TokenView = z.infer<typeof TokenView>
export const TokenList = z.object({ tokens: z.array(TokenView), next_cursor: z.string().optional() })
export type TokenList = z.infer<typeof TokenList>
export const TokenCreated = TokenView.extend({ token: z.string().describe('Shown this once') })
export type TokenCreated = z.infer<typeof TokenCreated>

export const RunList = z.object({ runs: z.array(RunSummary), next_cursor: z.string().optional() })
export type RunList = z.infer<typeof RunList>
export type ListRunsInput = z.input<typeof ListRuns>

/** What a run was made of. */
export const RunWorkflow = z.object({
  run_id: z.string(),
  workflow_name: z.string(),
  workflow: z.unknown().describe('The validated workflow, with every default filled in'),
  vars: z.record(z.string(), z.string()),
})
export type RunWorkflow = z.infer<typeof RunWorkflow>

export const CancelRun = z.strictObject({
  message: z.string().max(2000).optional(),
  force: z.boolean().default(false).describe('Also ends `finally` steps at once'),
})
export type CancelRunInput = z.input<typeof CancelRun>
export const RetryRun = z.strictObject({
  only: z.enum(['all', 'failed']).default('all').describe('`failed` takes over what succeeded'),
})
export type RetryRunInput = z.input<typeof RetryRun>
export const AnswerApproval = z.strictObject({
  step: z.string().min(1),
  comment: z.string().max(2000).optional(),
})
export type AnswerApproval = z.infer<typeof AnswerApproval>
export const Accepted = z.object({ run_id: z.string(), status: RunStatus })
export type Accepted = z.infer<typeof Accepted>

/** What `DELETE /api/runs/:id` took away: the run, and the runs that it had started. */
export const RunsDeleted = z.object({ deleted: z.array(z.string()) })
export type RunsDeleted = z.infer<typeof RunsDeleted>

export const EventsQuery = z.object({
  after: z.coerce.number().int().min(0).optional().describe('Only events with a greater `seq`'),
  limit: z.coerce.number().int().min(1).max(10_000).default(1000).describe('For JSON only'),
  output_bytes: z.coerce
    .number()
    .int()
    .min(0)
    .optional()
    .describe('Of each stream of an attempt only so many bytes come as text; default: all'),
  access_token: z.string().optional(),
})
export const EventList = z.array(RunEvent)

export const OutputPath = z.object({ id: RunId, number: z.coerce.number().int().min(1), stream: StreamName })

/** `GET /run-status`, as the workflow runner answers it. */
export const RunStatusView = z.object({
  run_id: z.string(),
  workflow_name: z.string(),
  status: RunStatus,
  step: z.string().optional().describe('The step that runs, or the one that failed'),
  host: z.string().optional(),
  error: z.string().optional(),
  started_at: time.optional(),
  finished_at: time.optional(),
  last_notify_error: z.string().optional(),
})
export type RunStatusView = z.infer<typeof RunStatusView>

export const RunnerList = z.array(RunnerView)
export const RunnersQuery = z.strictObject({
  status: z.string().optional().describe('One or several, separated by commas'),
  group: z.string().optional(),
  label: z
    .union([z.string(), z.array(z.string())])
    .optional()
    .describe('`KEY=value` or `KEY`, any number of times; all must fit'),
})
export type RunnersQuery = z.infer<typeof RunnersQuery>
/** A runner, shown whole. */
export const RunnerDetail = RunnerView.extend({
  attempts: z
    .array(
      z.object({
        attempt_id: z.string(),
        run_id: z.string(),
        workflow_name: z.string(),
        step: z.string(),
        host: z.string(),
        owner: z.string().optional(),
      }),
    )
    .describe('What it was given and has not ended; for a user, of its own runs'),
})
export type RunnerDetail = z.infer<typeof RunnerDetail>

export const ValidateRequest = z.strictObject({ yaml: z.string().max(4 * 1024 * 1024) })
export const Problem = z.object({
  severity: z.enum(['error', 'warning']),
  message: z.string(),
  hint: z.string().optional(),
  file: z.string().optional(),
  line: z.number().int().optional(),
  column: z.number().int().optional(),
  path: z.string(),
})
export const ValidateAnswer = z.object({ valid: z.boolean(), problems: z.array(Problem) })
export type ValidateAnswer = z.infer<typeof ValidateAnswer>

/** `POST /api/runs/:id/input`: exactly one of the first four. */
export const RunInput = z.strictObject({
  prompt: z
    .string()
    .min(1)
    .optional()
    .describe('A follow-up; for a run that has ended it begins one that goes on'),
  permission: z
    .strictObject({ request_id: z.string().min(1), decision: z.enum(['allow', 'deny']) })
    .optional()
    .describe('Answers a question of the agent'),
  cancel_turn: z.literal(true).optional().describe('Ends what the agent is at, not the session'),
  close: z.literal(true).optional().describe('No more prompts will come: the run ends when it is idle'),
  input_id: AttemptInput.options[0].shape.input_id
    .min(1)
    .max(200)
    .optional()
    .describe('The same id again changes nothing'),
  step: z.string().min(1).optional().describe('Where several steps of the run take inputs'),
  interactive: z
    .boolean()
    .optional()
    .describe(
      'With a prompt for a run that has ended: whether the new one waits for more (default: as that did)',
    ),
})
export type RunInput = z.infer<typeof RunInput>
export const InputAccepted = z.object({
  run_id: z.string().describe('The run that has it: a new one, where the given run had ended'),
  input_id: z.string(),
  continues: z.string().optional().describe('Set for a new run: the one whose session it goes on with'),
})
export type InputAccepted = z.infer<typeof InputAccepted>

/** The answer of `POST /api/chat`. */
export const ChatAnswer = z.object({
  run_id: z.string(),
  message: z.string(),
  usage: Usage.optional().describe('Absent where the agent tells none'),
  role: z.literal('assistant'),
  content: z.string().describe('As `message`'),
  timestamp: time,
})
export type ChatAnswer = z.infer<typeof ChatAnswer>

/** An agent, as the connected runners have it. */
export const AgentHealth = AgentState.extend({
  available: z.boolean().describe('As `usable`'),
  error: z.string().optional().describe('As `why`'),
  runners: z
    .array(
      z.object({
        id: z.string(),
        version: z.string().optional(),
        usable: z.boolean(),
        why: z.string().optional(),
      }),
    )
    .optional()
    .describe('With a token: each runner that knows it'),
})
export type AgentHealth = z.infer<typeof AgentHealth>
/** `GET /health/agents`, by the agents' names. */
export const AgentsHealth = z.object({ agents: z.record(z.string(), AgentHealth) })
export type AgentsHealth = z.infer<typeof AgentsHealth>
