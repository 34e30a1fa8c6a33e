import type { ModelRequest } from './request.ts'

/** A wish for a tool call. The server picks a tool for it from those that the program offered. */
export type ToolWish =
  | { kind: 'write'; args: { path: string; content: string } }
  | { kind: 'read'; args: { path: string } }
  | { kind: 'run'; args: { command: string } }

/** A tool, by the name that it is offered under. `args` is a text for tools that take a text instead of JSON. */
export interface NamedTool {
  name: string
  args: unknown
}

export interface TurnUsage {
  /** Tokens without the cached ones. */
  input: number
  cached: number
  output: number
}

/** An answer of the model. Without any field it is an empty message. */
export interface Turn {
  thought?: string
  text?: string
  toolCalls?: readonly (ToolWish | NamedTool)[]
  usage?: Partial<TurnUsage>
  /** Why the model stopped early; by default, it was finished. */
  stop?: 'max_tokens' | 'refusal'
  /** Makes the call fail with this status. `body` replaces the vendor's body. */
  fail?: { status: number; body?: unknown; headers?: Record<string, string> }
  /** Cuts the connection after so many bytes of the answer's body. */
  breakAfterBytes?: number
  /** Milliseconds before the answer begins. */
  delayMs?: number
  /** Sends nothing after the thought and text, and does not end the stream. */
  hang?: boolean
  /** Delays the part after the thought and text until this resolves. */
  restAfter?: Promise<unknown>
}

/** Turns in the order of the requests (afterwards always `Done.`), or a function that answers a request. */
export type Script = readonly Turn[] | ((request: ModelRequest) => Turn | Promise<Turn>)

/** Returns a turn that writes a file with the program's own tool. Use absolute paths. */
export const writeFileTurn = (path: string, content: string): Turn => ({
  toolCalls: [{ kind: 'write', args: { path, content } }],
})

export const runTurn = (command: string): Turn => ({ toolCalls: [{ kind: 'run', args: { command } }] })

export const readFileTurn = (path: string): Turn => ({ toolCalls: [{ kind: 'read', args: { path } }] })

/** Returns turns that write the file and then say `text`. */
export const writeFileScript = (path: string, content: string, text = 'Done.'): Turn[] => [
  writeFileTurn(path, content),
  { text },
]
