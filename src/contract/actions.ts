import * as z from 'zod'
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

export const CmdRunArgs = z.strictObject({ cmd: z.string().min(1).describe('One line or many, run by /bin/sh'), ...processArgs })
export const ShellRunArgs = z.strictObject({
  script: z.string().min(1).describe('A whole script; its first line may name an interpreter (#!)'),
  shell: z.enum(['sh', 'bash']).default('sh'),
  ...processArgs,
})
export const NoopArgs = z.strictObject({})
export const VarsSetArgs = z.strictObject({ vars: z.record(VarName, z.union([z.string(), z.number(), z.boolean()])) })
export const FileWriteArgs = z.strictObject({
  path: z.string().min(1),
  content: z.string(),
  mode: z.string().regex(/^0?[0-7]{3}$/, 'a mode is three octal digits, such as "644"').default('644'),
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

/** The actions that ship with Errand. A program that embeds the engine may add its own. */
export const builtinActions: ActionCatalog = {
  'cmd.run': { args: CmdRunArgs, raw: ['cmd'], place: 'host' },
  'shell.run': { args: ShellRunArgs, raw: ['script'], place: 'host' },
  'file.write': { args: FileWriteArgs, raw: [], place: 'host' },
  'http.request': { args: HttpRequestArgs, raw: [], place: 'host' },
  'vars.set': { args: VarsSetArgs, raw: [], place: 'host' },
  noop: { args: NoopArgs, raw: [], place: 'host' },
  'approval.wait': { args: ApprovalArgs, raw: [], place: 'engine' },
  'workflow.run': { args: WorkflowRunArgs, raw: ['workflow'], place: 'engine' },
}

export const DEFAULT_MAX_OUTPUT_BYTES = 1024 * 1024
