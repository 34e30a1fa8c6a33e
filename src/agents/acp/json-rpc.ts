export type RpcId = string | number
export interface RpcError {
  code: number
  message: string
  data?: unknown
}
export type RpcAnswer = { type: 'result'; result: JsonObject } | { type: 'error'; error: RpcError }

export interface RpcHandlers {
  notification(method: string, params: JsonObject): void
  /** Returns false if there is no such method. */
  request(id: RpcId, method: string, params: JsonObject): boolean
}

const METHOD_NOT_FOUND = -32601

/** Implements one end of JSON-RPC 2.0 over lines. Ids count from 1, so that the same calls send the same lines. */
export class JsonRpc {
  readonly #send: (line: string) => void
  readonly #handlers: RpcHandlers
  readonly #waiting = new Map<RpcId, (answer: RpcAnswer) => void>()
  #lastId = 0

  constructor(send: (line: string) => void, handlers: RpcHandlers) {
    this.#send = send
    this.#handlers = handlers
  }

  /** Sends a request. A given `id` is used instead of the next number. */
  request(
    method: string,
    params: JsonObject,
    answered: (answer: RpcAnswer) => void,
    id: RpcId = ++this.#lastId,
  ): void {
    this.#waiting.set(id, answered)
    this.#write({ id, method, params })
  }

  notify(method: string, params: JsonObject): void {
    this.#write({ method, params })
  }

  answer(id: RpcId, result: JsonObject): void {
    this.#write({ id, result })
  }

  refuse(id: RpcId, error: RpcError): void {
    this.#write({ id, error })
  }

  line(text: string): void {
    const message = parsedObject(text)
    if (message === undefined) return
    const method = string(message.method)
    const id = typeof message.id === 'string' || typeof message.id === 'number' ? message.id : undefined
    if (method === undefined) {
      if (id !== undefined) this.#answered(id, message)
    } else if (id === undefined) this.#handlers.notification(method, object(message.params) ?? {})
    else if (!this.#handlers.request(id, method, object(message.params) ?? {}))
      this.#write({ id, error: { code: METHOD_NOT_FOUND, message: `Method not found: ${method}` } })
  }

  #answered(id: RpcId, message: JsonObject): void {
    const answered = this.#waiting.get(id)
    if (answered === undefined) return
    this.#waiting.delete(id)
    const error = object(message.error)
    if (error === undefined) return void answered({ type: 'result', result: object(message.result) ?? {} })
    const code = typeof error.code === 'number' ? error.code : 0
    answered({ type: 'error', error: { code, message: string(error.message) ?? '', data: error.data } })
  }

  #write(message: JsonObject): void {
    this.#send(JSON.stringify({ jsonrpc: '2.0', ...message }))
  }
}

/** Returns the message of an error, plus the text in its `data` if that says more. */
export function errorText(error: RpcError): string {
  const data = object(error.data)
  const more = string(error.data) ?? string(data?.details) ?? string(data?.message)
  const text = error.message === '' ? `error ${error.code}` : error.message
  return more === undefined || text.includes(more) ? text : `${text}: ${more}`
}

/** JSON object from another program. The readers below return undefined for a value of another shape. */
export type JsonObject = Record<string, unknown>

export function object(value: unknown): JsonObject | undefined {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
    ? (value as JsonObject)
    : undefined
}

export const objects = (value: unknown): JsonObject[] =>
  Array.isArray(value) ? value.map(object).filter((each) => each !== undefined) : []

export const string = (value: unknown): string | undefined => (typeof value === 'string' ? value : undefined)

export const count = (value: unknown): number =>
  typeof value === 'number' && Number.isFinite(value) && value > 0 ? value : 0

export function parsedObject(line: string): JsonObject | undefined {
  // Avoid parsing a text that is clearly not an object.
  if (!line.trimStart().startsWith('{')) return undefined
  try {
    return object(JSON.parse(line))
  } catch {
    return undefined
  }
}
