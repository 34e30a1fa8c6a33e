import * as z from 'zod'
import type { FileDiff, ToolKind } from '../../../contract/agent.ts'

/** Something the model may ask for: one file each, and one name in `toolbox.ts`. */
export interface Tool {
  /** As the model calls it. */
  name: string
  kind: ToolKind
  description: string
  /** JSON Schema of its arguments. */
  parameters: Record<string, unknown>
  /** Throws `ToolError` for arguments that do not fit. */
  accept(args: unknown): ToolUse
}

/** A tool with its arguments, not yet begun. */
export interface ToolUse {
  /** In a few words, for people. */
  title: string
  /** The paths that the tool reads, writes or works in, as the model wrote them. */
  paths: readonly string[]
  /** Throws `ToolError` for what the model can do better; whatever else it throws is told to the model, too. */
  run(work: Work): Promise<ToolResult>
}

export interface Work {
  /** Those of the use, as they really are, and permitted. */
  paths: readonly string[]
  /** For commands: without the keys of models. */
  env: Readonly<Record<string, string>>
  signal: AbortSignal
}

export interface ToolResult {
  output: string
  /** The tool did what it could, and the outcome is bad: a command ended with a code. */
  failed?: boolean
  diffs?: FileDiff[]
  /** Files whose content is in the output, beside those of `paths`. */
  shows?: string[]
}

/** Told to the model, which may try again. */
export class ToolError extends Error {}

/** Most bytes that one result may add to the conversation. */
export const OUTPUT_BYTES = 32 * 1024

interface ToolDefinition<Args> {
  name: string
  kind: ToolKind
  description: string
  args: z.ZodType<Args>
  title(args: Args): string
  paths(args: Args): string[]
  run(args: Args, work: Work): Promise<ToolResult>
}

export function defineTool<Args>(definition: ToolDefinition<Args>): Tool {
  const { name, kind, description, args } = definition
  const { $schema: _, ...parameters } = z.toJSONSchema(args, { io: 'input' })
  return {
    name,
    kind,
    description,
    parameters,
    accept(given) {
      const { success, data, error } = args.safeParse(given)
      if (!success) throw new ToolError(`The arguments do not fit.\n${z.prettifyError(error)}`)
      return {
        title: definition.title(data),
        paths: definition.paths(data),
        run: (work) => definition.run(data, work),
      }
    },
  }
}
