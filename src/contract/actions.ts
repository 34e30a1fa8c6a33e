import * as z from 'zod'
import { Budget, Permissions } from './agent.ts'
import { RunId } from './ids.ts'
import { VarName } from './workflow.ts'

/**
 * What the parser needs to know of an action: the schema of its `args`, and which of them are handed over as
 * written (a shell expands `${VAR}` there itself; everywhere else Errand fills it in as text).
 */
export interface ActionContract {
  args: z.ZodType
  raw: readonly string[]
  /** `engine`: the engine itself carries it out, with no host. */
  place: 'host' | 'engine'
  /** While it runs it takes prompts and answers (`AttemptInput`). */
  inputs?: true
}
export type ActionCatalog = Readonly<Record<string, ActionContract>>

const output = {
  max_output_bytes: z
    .number()
    .int()
    .min(0)
    .optional()
    .describe('How much of the output is kept in memory and shown; the rest goes to disk (default 1 MiB)'),
  output_path: z.string().min(1).optional().describe('Folder that the whole output is written to'),
}
const processArgs = {
  ...output,
  cwd: z.string().min(1).optional().describe('Working folder'),
  export_vars: z
    .boolean()
    .default(false)
    .describe('Lines BOPS_EXPORT:KEY=value on standard output become variables'),
}

export const CmdRunArgs = z.strictObject({
  cmd: z.string().min(1).describe('One line or many, run by /bin/sh'),
  ...processArgs,
})
export const ShellRunArgs = z.strictObject({
  script: z.string().min(1).describe('A whole script; its first line may name an interpreter (#!)'),
  shell: z.enum(['sh', 'bash']).default('sh'),
  ...processArgs,
})
export const NoopArgs = z.strictObject({})
export const VarsSetArgs = z.strictObject({
  vars: z.record(VarName, z.union([z.string(), z.number(), z.boolean()])),
})
export const FileWriteArgs = z.strictObject({
  path: z.string().min(1),
  content: z.string(),
  mode: z
    .string()
    .regex(/^0?[0-7]{3}$/, 'a mode is three octal digits, such as "644"')
    .default('644'),
})
export const HttpRequestArgs = z.strictObject({
  url: z.string().min(1),
  method: z.enum(['GET', 'POST', 'PUT', 'PATCH', 'DELETE', 'HEAD']).default('GET'),
  headers: z.record(z.string(), z.string()).default({}),
  body: z.string().optional(),
  expect_status: z.array(z.number().int()).optional().describe('Default: any 2xx'),
  ...output,
})
export const ApprovalArgs = z.strictObject({
  message: z.string().default('Go on?'),
  timeout_seconds: z.number().positive().optional(),
  on_timeout: z.enum(['approve', 'reject']).default('reject'),
})
export const WorkflowRunArgs = z.strictObject({
  file: z.string().min(1).optional().describe('Path beside this file; read when the run is submitted'),
  workflow: z.record(z.string(), z.unknown()).optional().describe('The sub-workflow itself'),
  inputs: z.record(VarName, z.union([z.string(), z.number(), z.boolean()])).default({}),
})

const seconds = z.number().positive().max(31_536_000)
/** Longest prompt, in characters. */
export const MAX_PROMPT_CHARACTERS = 8 * 1024 * 1024

export const AgentRunArgs = z.strictObject({
  prompt: z.string().min(1).max(MAX_PROMPT_CHARACTERS).describe('What the agent is to do'),
  agent: z.string().min(1).default('claude_code').describe('Which agent, such as codex'),
  cwd: z.string().min(1).optional().describe("Working folder (default: the run's workspace)"),
  model: z.string().min(1).optional().describe("Name of the model (default: the agent's own)"),
  extra_args: z.array(z.string()).default([]).describe("Further arguments of the agent's program"),
  command: z.array(z.string().min(1)).min(1).optional().describe('For agent acp: its program and arguments'),
  permissions: z
    .union([z.enum(['ask', 'allow', 'deny']), Permissions])
    .default('allow')
    .describe('Who decides whether the agent may use a tool'),
  budget: Budget.prefault({}).describe('Reaching one of these stops the step'),
  verify: z
    .array(z.string().min(1))
    .default([])
    .describe('Commands run by /bin/sh when the agent says it is done; a failure goes back to it'),
  verify_attempts: z
    .number()
    .int()
    .min(1)
    .max(100)
    .default(3)
    .describe('How often the agent may try to pass them; then the step fails'),
  interactive: z.boolean().default(false).describe('Waits for further prompts instead of ending'),
  idle_timeout_seconds: seconds.default(600).describe('How long it waits for one'),
  session: z
    .strictObject({
      session_id: z.string().min(1).describe("The agent's own id of an earlier session to go on with"),
      workspace_of: RunId.optional().describe('Run whose workspace is used'),
    })
    .optional(),
  output_schema: z
    .record(z.string(), z.unknown())
    .optional()
    .describe('JSON Schema of the value that the answer must hold'),
  ...output,
})
export type AgentRunArgs = z.infer<typeof AgentRunArgs>

/** The actions that ship with Errand. A program that embeds the engine may add its own. */
export const builtinActions: ActionCatalog = {
  'cmd.run': { args: CmdRunArgs, raw: ['cmd'], place: 'host' },
  'shell.run': { args: ShellRunArgs, raw: ['script'], place: 'host' },
  'file.write': { args: FileWriteArgs, raw: [], place: 'host' },
  'http.request': { args: HttpRequestArgs, raw: [], place: 'host' },
  'vars.set': { args: VarsSetArgs, raw: [], place: 'host' },
  'agent.run': { args: AgentRunArgs, raw: ['verify', 'output_schema'], place: 'host', inputs: true },
  noop: { args: NoopArgs, raw: [], place: 'host' },
  'approval.wait': { args: ApprovalArgs, raw: [], place: 'engine' },
  'workflow.run': { args: WorkflowRunArgs, raw: ['workflow'], place: 'engine' },
}

export const DEFAULT_MAX_OUTPUT_BYTES = 1024 * 1024
