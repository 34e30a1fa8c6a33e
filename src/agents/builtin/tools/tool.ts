import * as z from 'zod'
import type { FileDiff, ToolKind } from '../../../contract/agent.ts'

/** Describes a tool that the model may call; each has one file and one name in `toolbox`. */
export interface Tool {
  /** Name by which the model calls it. */
  name: string
  kind: ToolKind
  description: string
  /** JSON Schema for the arguments. */
  parameters: Record<string, unknown>
  /** Validates arguments. Throws `ToolError` if they are invalid. */
  accept(args: unknown): ToolUse
}

/** Describes a use of a tool with its arguments, not yet started. */
export interface ToolUse {
  /** Short description for people. */
  title: string
  /** Paths that the tool reads, writes or works in, as the model wrote them. */
  paths: readonly string[]
  /** Runs the tool. Throws `ToolError` for mistakes that the model can correct; the model gets other errors, too. */
  run(work: Work): Promise<ToolResult>
}

export interface Work {
  /** Paths of the use with resolved links; all are permitted. */
  paths: readonly string[]
  /** Environment for commands, without the keys of models. */
  env: Readonly<Record<string, string>>
  signal: AbortSignal
}

export interface ToolResult {
  output: string
  /** Whether the tool worked but its result is a failure, such as a command with an exit code. */
  failed?: boolean
  diffs?: FileDiff[]
  /** Files whose content is in the output, in addition to those in `paths`. */
  shows?: string[]
}

/** Is thrown for an error that is reported to the model, which may try again. */
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
    accept(input) {
      const { success, data, error } = args.safeParse(input)
      if (!success) throw new ToolError(`The arguments are not valid.\n${z.prettifyError(error)}`)
      return {
        title: definition.title(data),
        paths: definition.paths(data),
        run: (work) => definition.run(data, work),
      }
    },
  }
}
