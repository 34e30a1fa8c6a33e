import type { AgentUpdateOf, ToolKind } from '../../contract/agent.ts'
import { isBelow, realPath } from '../../platform/files.ts'
import { unlessAborted } from '../../platform/races.ts'
import type { AskMode } from '../agent.ts'
import { clippedValue } from '../clipped.ts'
import type { ModelCall } from './answer.ts'
import { INTERRUPTED } from './conversation.ts'
import type { SessionPort } from './session.ts'
import { editFile, writeFile } from './tools/change-file.ts'
import { listFiles } from './tools/list-files.ts'
import { readFile } from './tools/read-file.ts'
import { runCommand } from './tools/run-command.ts'
import { search } from './tools/search.ts'
import { type Tool, ToolError, type ToolResult, type ToolUse } from './tools/tool.ts'

const TITLE_CHARS = 200

interface ToolCallsOptions {
  /** Real path of the working folder. */
  cwd: string
  ask: AskMode
  /** Whether, with `ask`, it also asks before it reads. */
  asksReading: boolean
  env: Readonly<Record<string, string>>
  tools: readonly Tool[]
  port: SessionPort
}

/** Runs the tool calls of the model, if they are permitted, and reports them. */
export class ToolCalls {
  readonly #options: ToolCallsOptions

  constructor(options: ToolCallsOptions) {
    this.#options = options
  }

  /** Runs a call and returns the result for the model. Never throws; aborting `signal` interrupts it. */
  async run(call: ModelCall, signal: AbortSignal): Promise<string> {
    const tool = this.#options.tools.find((each) => each.name === call.name)
    const update = (more: Partial<AgentUpdateOf<'tool'>>) =>
      this.#options.port.update({ kind: 'tool', tool_id: call.id, ...more })
    const ended = (
      status: 'completed' | 'failed' | 'denied',
      output: string,
      diffs?: ToolResult['diffs'],
    ) => {
      update({ status, output: clippedValue(output), ...(diffs === undefined ? {} : { diffs }) })
      return output
    }
    const input = clippedValue(call.arguments)
    try {
      const use = accepted(call, tool, this.#options.tools)
      const paths = this.#really(use)
      const title = titled(use.title)
      update({ title, tool_kind: tool!.kind, status: 'pending', input, paths })
      const refusal = await this.#refused(tool!.kind, { call, title, paths, input: input ?? '' }, signal)
      if (refusal !== undefined) return ended('denied', refusal)
      // The decision may have taken a person long, so check the paths again.
      if (JSON.stringify(this.#really(use)) !== JSON.stringify(paths))
        return ended('denied', 'Denied: the target of the path has changed since it was permitted.')
      update({ status: 'running' })
      const {
        output,
        failed = false,
        diffs,
        shows,
      } = await use.run({ paths, env: this.#options.env, signal })
      if (shows !== undefined && shows.length > 0) {
        // Permission to search a folder does not include permission to read every file in it.
        const reading = { call, title: `Read the files found by: ${title}`, paths: shows, input: input ?? '' }
        const withheld = await this.#refused('read', reading, signal)
        if (withheld !== undefined) return ended('denied', `${withheld} Leave such files out.`)
      }
      return ended(failed ? 'failed' : 'completed', output, diffs)
    } catch (error) {
      if (signal.aborted) return ended('failed', INTERRUPTED)
      if (tool === undefined) update({ title: titled(call.name), tool_kind: 'other', input })
      return ended('failed', `Error: ${(error as Error).message}`)
    }
  }

  #really({ paths }: ToolUse): string[] {
    return paths.map((path) => realTarget(this.#options.cwd, path))
  }

  /** Returns why a use of a tool is not permitted, as a text for the model, or undefined if it is permitted. */
  async #refused(kind: ToolKind, about: About, signal: AbortSignal): Promise<string | undefined> {
    const { cwd, ask, asksReading, port } = this.#options
    const { call, title, paths, input } = about
    const outside = paths.find((path) => !isBelow(path, cwd))
    // Outside of the folder, a person must permit each use.
    if (ask !== 'ask' && outside !== undefined) return `Denied: ${outside} is outside the working folder.`
    const reads = kind === 'read' || kind === 'search'
    if (reads && outside === undefined && !(ask === 'ask' && asksReading)) return undefined
    if (ask === 'deny') return 'Denied: you may only read here, not change or run anything.'
    signal.throwIfAborted()
    const permission = port.permission({ tool_id: call.id, title, tool_kind: kind, paths, input })
    const decision = await unlessAborted(signal, permission)
    return decision === 'allow' ? undefined : 'Denied: this use of the tool was not permitted.'
  }
}

interface About {
  call: ModelCall
  title: string
  paths: string[]
  input: string
}

function accepted(call: ModelCall, tool: Tool | undefined, tools: readonly Tool[]): ToolUse {
  if (tool === undefined) {
    const names = tools.map(({ name }) => name).join(', ')
    throw new ToolError(`There is no tool "${call.name}". Available tools: ${names}.`)
  }
  let args: unknown
  try {
    args = JSON.parse(call.arguments)
  } catch {
    throw new ToolError('The arguments are not valid JSON.')
  }
  return tool.accept(args)
}

function titled(text: string): string {
  const line = text.split('\n', 1)[0]!
  const cut = line.length < text.length || line.length > TITLE_CHARS
  return cut ? `${line.slice(0, TITLE_CHARS)}…` : line
}

/** Resolves the links in a path of the model. The path may exist or not yet. Throws `ToolError`. */
function realTarget(cwd: string, path: string): string {
  if (path.includes('\0')) throw new ToolError('A path must not contain NUL.')
  try {
    return realPath(path, cwd)
  } catch (error) {
    throw new ToolError((error as Error).message)
  }
}

/** Lists all tools; to add one, add its file and its name here. */
export const toolbox: readonly Tool[] = [readFile, writeFile, editFile, search, listFiles, runCommand]
