import type * as z from 'zod'
import type { FileDiff, ToolKind } from '../../../contract/agent.ts'

/** Something the model may ask for: one file each, and one line in `toolbox.ts`. */
export interface Tool<Args = unknown> {
  /** As the model calls it. */
  name: string
  kind: ToolKind
  description: string
  args: z.ZodType<Args>
  /** In a few words, for people. */
  title(args: Args): string
  /** What it reads, writes or works in, as the model wrote it. */
  paths(args: Args): string[]
  /** Throws `ToolError` for what the model can do better; whatever else it throws is told to the model, too. */
  run(args: Args, work: Work): Promise<ToolResult>
}

export interface Work {
  /** Real path of the session's folder. */
  cwd: string
  /** Those of `paths`, as they really are, and permitted. */
  paths: readonly string[]
  /** For commands: without the keys of models. */
  env: Readonly<Record<string, string>>
  signal: AbortSignal
}

export interface ToolResult {
  output: string
  /** It did what it could, and the outcome is bad: a command ended with a code. */
  failed?: boolean
  diffs?: FileDiff[]
}

/** Told to the model, which may try again. */
export class ToolError extends Error {}

/** What one result may add to the conversation. */
export const OUTPUT_BYTES = 32 * 1024
