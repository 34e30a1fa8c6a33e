import type { ModelRequest } from './request.ts'

/** What a tool call is to do; the server picks the tool that the program offered for it. */
export type ToolWish =
  | { kind: 'write'; args: { path: string; content: string } }
  | { kind: 'read'; args: { path: string } }
  | { kind: 'run'; args: { command: string } }

/** A tool by the name it is offered under; `args` a text: for tools that take one, not JSON. */
export interface NamedTool {
  name: string
  args: unknown
}

export interface TurnUsage {
  /** Without the cached ones. */
  input: number
  cached: number
  output: number
}

/** One answer of the model. All of it absent: an empty message. */
export interface Turn {
  thought?: string
  text?: string
  toolCalls?: readonly (ToolWish | NamedTool)[]
  usage?: Partial<TurnUsage>
  /** Why the model stopped; default: it was through. */
  stop?: 'max_tokens' | 'refusal'
  /** The call fails with this status; `body` stands in for the vendor's. */
  fail?: { status: number; body?: unknown; headers?: Record<string, string> }
  /** The connection is cut after so many bytes of the answer's body. */
  breakAfterBytes?: number
  /** Before the answer begins. */
  delayMs?: number
  /** After thought and text nothing more comes, nor does the stream end. */
  hang?: boolean
  /** After thought and text the rest of the answer waits for this. */
  restAfter?: Promise<unknown>
}

/** Turns in the order of the requests (then `Done.` for ever), or what answers a request. */
export type Script = readonly Turn[] | ((request: ModelRequest) => Turn | Promise<Turn>)

/** Asks for a file to be written with the program's own tool. Paths are best given absolute. */
export const writeFileTurn = (path: string, content: string): Turn => ({
  toolCalls: [{ kind: 'write', args: { path, content } }],
})

export const runTurn = (command: string): Turn => ({ toolCalls: [{ kind: 'run', args: { command } }] })

export const readFileTurn = (path: string): Turn => ({ toolCalls: [{ kind: 'read', args: { path } }] })

/** Writes the file, then says `text`. */
export const writeFileScript = (path: string, content: string, text = 'Done.'): Turn[] => [
  writeFileTurn(path, content),
  { text },
]
