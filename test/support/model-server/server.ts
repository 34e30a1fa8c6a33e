import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Dialect } from './answer.ts'
import { anthropic } from './anthropic.ts'
import { chat } from './chat.ts'
import { deliver } from './delivery.ts'
import { isRecord, type ModelRequest } from './request.ts'
import { responses } from './responses.ts'
import type { Script, TurnUsage } from './script.ts'
import { answerOf, Sessions, turnOf } from './session.ts'

export * from './script.ts'

export interface ModelServerOptions {
  /** The address that it listens on; default loopback. */
  host?: string
  /** The script for everything that `scriptFor` returns none for. By default, every answer is `Done.`. */
  script?: Script
  /** Returns the session's own script by its key or, if there is none, by the name of its model. */
  scriptFor?: (name: string) => Script | undefined
  /** Keys that are accepted; others get 401. Default: all. */
  keys?: readonly string[]
  /** The existing models; others get 404. Default: all. */
  models?: readonly string[]
  /** Answers requests without tools from the script too, for programs that offer none. */
  scriptSideRequests?: boolean
}

const dialects: Record<string, Dialect> = {
  '/v1/messages': anthropic,
  '/v1/responses': responses,
  '/v1/chat/completions': chat,
}

const listedModels = ['test-model', 'claude-sonnet-4-5', 'gpt-5']

function keyOf({ headers }: IncomingMessage): string {
  const bearer = /^Bearer (.*)$/i.exec(headers.authorization ?? '')?.[1]
  return bearer ?? String(headers['x-api-key'] ?? '')
}

async function bodyOf(request: IncomingMessage): Promise<Record<string, unknown>> {
  const chunks: Buffer[] = []
  for await (const chunk of request) chunks.push(chunk as Buffer)
  try {
    const body: unknown = JSON.parse(Buffer.concat(chunks).toString())
    return isRecord(body) ? body : {}
  } catch {
    return {}
  }
}

/** A stand-in for the services of models, on loopback: Anthropic Messages, OpenAI Responses and Chat Completions. */
export class ModelServer {
  /** Requests to a model in the order they came, side requests included. */
  readonly requests: ModelRequest[] = []
  /** Errors that were not scripted (no fitting tool offered …). Tests should find none. */
  readonly errors: string[] = []
  /** Tokens reported so far over all sessions, without side requests. */
  readonly tokens: TurnUsage = { input: 0, cached: 0, output: 0 }
  #options: ModelServerOptions
  #sessions: Sessions
  #stopped = new AbortController()
  #http = createServer((request, response) => {
    this.#handle(request, response).catch((error: Error) => {
      if (this.#stopped.signal.aborted) return
      this.errors.push(error.message)
      // No program retries after this status.
      response.writeHead(400, { 'content-type': 'application/json' })
      response.end(JSON.stringify(chat.failure(400, error.message)))
    })
  })

  constructor(options: ModelServerOptions) {
    this.#options = options
    this.#sessions = new Sessions(options)
  }

  /** Returns the requests of the conversations. */
  get scripted(): ModelRequest[] {
    return this.requests.filter(({ side }) => !side)
  }

  /** Returns the address without `/v1`. */
  get url(): string {
    return `http://${this.#options.host ?? '127.0.0.1'}:${(this.#http.address() as AddressInfo).port}`
  }

  listen(): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#http.once('error', reject).listen(0, this.#options.host ?? '127.0.0.1', resolve)
    })
  }

  /** Stops the server and cuts what is under way; may be called twice. */
  async stop(): Promise<void> {
    if (this.#stopped.signal.aborted) return
    this.#stopped.abort()
    await new Promise((resolve) => {
      this.#http.close(resolve)
      this.#http.closeAllConnections()
    })
  }

  async #handle(incoming: IncomingMessage, response: ServerResponse): Promise<void> {
    const path = new URL(incoming.url ?? '/', 'http://localhost').pathname.replace(/^\/v1\/v1\//, '/v1/')
    const json = (status: number, body: unknown, headers: Record<string, string> = {}) =>
      response.writeHead(status, { 'content-type': 'application/json', ...headers }).end(JSON.stringify(body))
    const body = await bodyOf(incoming)
    const { keys, models } = this.#options
    if (path === '/v1/models')
      return void json(200, { object: 'list', data: (models ?? listedModels).map(modelEntry) })
    if (path === '/v1/messages/count_tokens') return void json(200, { input_tokens: 100 })
    const dialect = dialects[path]
    if (dialect === undefined) return void json(404, chat.failure(404, `no such path: ${path}`))
    const content = dialect.read(body)
    const side = content.tools.length === 0 && this.#options.scriptSideRequests !== true
    const key = keyOf(incoming)
    const session = this.#sessions.of(key, content.model)
    const request: ModelRequest = {
      ...content,
      number: this.requests.length + 1,
      index: side ? -1 : session.index++,
      path,
      api: dialect.api,
      key,
      headers: incoming.headers,
      body,
      side,
    }
    this.requests.push(request)
    if (keys !== undefined && !keys.includes(key))
      return void json(401, dialect.failure(401, 'invalid api key'))
    if (models !== undefined && !models.includes(content.model))
      return void json(404, dialect.failure(404, `model "${content.model}" does not exist`))
    const turn = side ? { text: 'A title' } : await turnOf(session.script, request)
    // Sleeps: the test wants a slow model.
    if (turn.delayMs !== undefined) await sleep(turn.delayMs, undefined, { signal: this.#stopped.signal })
    if (turn.fail !== undefined) {
      const { status, headers } = turn.fail
      return void json(
        status,
        turn.fail.body ?? dialect.failure(status, `scripted failure ${status}`),
        headers,
      )
    }
    const answer = answerOf(turn, request)
    if (!side)
      for (const part of ['input', 'cached', 'output'] as const) this.tokens[part] += answer.usage[part]
    deliver(turn, answer, request, dialect, response)
  }
}

const modelEntry = (id: string) => ({
  id,
  object: 'model',
  created: 1_700_000_000,
  owned_by: 'test',
  display_name: id,
})

/** Starts a server on a free port of loopback. */
export async function startModelServer(options: ModelServerOptions): Promise<ModelServer> {
  const server = new ModelServer(options)
  await server.listen()
  return server
}
