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
  /** Real path. */
  cwd: string
  ask: AskMode
  /** With `ask`: also before something is read. */
  asksReading: boolean
  env: Readonly<Record<string, string>>
  tools: readonly Tool[]
  port: SessionPort
}

/** Carries out what the model asks for, once it is permitted, and tells about it. */
export class ToolCalls {
  readonly #options: ToolCallsOptions

  constructor(options: ToolCallsOptions) {
    this.#options = options
  }

  /** Answers what the model is told. Never throws; aborting `signal` interrupts it. */
  async carryOut(call: ModelCall, signal: AbortSignal): Promise<string> {
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
      // A person may have thought about it for long.
      if (JSON.stringify(this.#really(use)) !== JSON.stringify(paths))
        return ended('denied', 'Denied: what the path leads to has changed since it was permitted.')
      update({ status: 'running' })
      const {
        output,
        failed = false,
        diffs,
        shows,
      } = await use.run({ paths, env: this.#options.env, signal })
      if (shows !== undefined && shows.length > 0) {
        // Whoever may search a folder may not therefore read all that is in it.
        const reading = { call, title: `Read what was found by: ${title}`, paths: shows, input: input ?? '' }
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

  /** Why it may not be done, in words for the model. */
  async #refused(kind: ToolKind, about: About, signal: AbortSignal): Promise<string | undefined> {
    const { cwd, ask, asksReading, port } = this.#options
    const { call, title, paths, input } = about
    const outside = paths.find((path) => !isBelow(path, cwd))
    // Outside it takes somebody who permits just that.
    if (ask !== 'ask' && outside !== undefined) return `Denied: ${outside} is outside the working folder.`
    const reads = kind === 'read' || kind === 'search'
    if (reads && outside === undefined && !(ask === 'ask' && asksReading)) return undefined
    if (ask === 'deny') return 'Denied: nothing may be changed or run here, only read.'
    signal.throwIfAborted()
    const asked = port.permission({ tool_id: call.id, title, tool_kind: kind, paths, input })
    const decision = await unlessAborted(signal, asked)
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
    throw new ToolError(`There is no tool "${call.name}". There are: ${names}.`)
  }
  let args: unknown
  try {
    args = JSON.parse(call.arguments)
  } catch {
    throw new ToolError('The arguments are no JSON.')
  }
  return tool.accept(args)
}

function titled(text: string): string {
  const line = text.split('\n', 1)[0]!
  const cut = line.length < text.length || line.length > TITLE_CHARS
  return cut ? `${line.slice(0, TITLE_CHARS)}…` : line
}

/** The real path that a path of the model leads to, links resolved, whether it exists or would be created. */
function realTarget(cwd: string, path: string): string {
  if (path.includes('\0')) throw new ToolError('A path has no NUL in it.')
  try {
    return realPath(path, cwd)
  } catch (error) {
    throw new ToolError((error as Error).message)
  }
}

/** All tools there are; a new one is its file and a name here. */
export const toolbox: readonly Tool[] = [readFile, writeFile, editFile, search, listFiles, runCommand]
