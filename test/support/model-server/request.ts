/**
 * A tool as the program offered it: with arguments as JSON (`function`), as a text (`custom`), or built into the API.
 */
export interface OfferedTool {
  name: string
  type: 'function' | 'custom' | 'local_shell'
  /** Names of its arguments. */
  properties: readonly string[]
  /** The group that the tool is in; only for `responses`. */
  namespace?: string
}

export interface ToolResult {
  id: string
  text: string
}

/** The parts of a request's body that all dialects have. */
export interface RequestContent {
  model: string
  stream: boolean
  tools: readonly OfferedTool[]
  /** Texts of the user's messages, oldest first. */
  prompts: readonly string[]
  /** Results of tools since the model's last message. */
  toolResults: readonly ToolResult[]
}

export interface ModelRequest extends RequestContent {
  /** Counts from 1 over the whole server. */
  number: number
  /** The number of scripted requests before this one in the session. */
  index: number
  path: string
  api: 'anthropic' | 'responses' | 'chat'
  /** The key in `authorization: Bearer` or `x-api-key`. */
  key: string
  headers: Readonly<Record<string, string | string[] | undefined>>
  body: Record<string, unknown>
  /**
   * Whether it is not part of the conversation (a title, a quota check): it offers no tools. It is answered without
   * the script.
   */
  side: boolean
}

type Json = Record<string, unknown>

export const isRecord = (value: unknown): value is Json =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

export const records = (value: unknown): Json[] => (Array.isArray(value) ? value.filter(isRecord) : [])

export const string = (value: unknown): string => (typeof value === 'string' ? value : '')

/** Returns the text of a content: a string, a list of parts with `text`, or a list of results with `content`. */
export function textOf(content: unknown): string {
  if (typeof content === 'string') return content
  return records(content)
    .map((part) => (typeof part.text === 'string' ? part.text : textOf(part.content)))
    .join('')
}

export const propertiesOf = (schema: unknown): string[] =>
  isRecord(schema) && isRecord(schema.properties) ? Object.keys(schema.properties) : []
