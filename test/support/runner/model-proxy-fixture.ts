import { once } from 'node:events'
import { createServer, type IncomingMessage, request, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { ModelProxy, type ModelProxyOptions } from '../../../src/runner/proxy/model-proxy.ts'
import type { Prices } from '../../../src/runner/proxy/prices.ts'
import type { EndpointRules, LogEntry, ModelRule } from '../../../src/runner/proxy/rules.ts'

export const SENTINEL = 'sk-ant-api03-errand-0123456789abcdef'
export const KEY = 'sk-ant-api03-THE-REAL-KEY-which-nobody-inside-may-see'

/** A model service that answers as a test says, and records its requests. */
export class ServiceStandIn implements AsyncDisposable {
  readonly seen: { method: string; url: string; headers: IncomingMessage['headers']; body: string }[] = []
  readonly server: Server
  /** Answers a request; a test may replace it. */
  answer: (request: IncomingMessage, response: ServerResponse, body: string) => unknown

  constructor(answer: ServiceStandIn['answer']) {
    this.answer = answer
    this.server = createServer(async (incoming, response) => {
      const parts: Buffer[] = []
      for await (const part of incoming) parts.push(part as Buffer)
      const body = Buffer.concat(parts).toString()
      const { method = '', url = '', headers } = incoming
      this.seen.push({ method, url, headers, body })
      await this.answer(incoming, response, body)
    })
  }

  get url(): string {
    return `http://127.0.0.1:${(this.server.address() as AddressInfo).port}`
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await stop(this.server)
  }
}

export async function startService(answer: ServiceStandIn['answer']): Promise<ServiceStandIn> {
  const service = new ServiceStandIn(answer)
  await once(service.server.listen(0, '127.0.0.1'), 'listening')
  return service
}

export interface EndpointOptions {
  rules: readonly (Partial<ModelRule> & { upstream: string })[]
  budget?: EndpointRules['budget']
  log?: readonly LogEntry[]
  prices?: Prices
  pause?: ModelProxyOptions['pause']
}

/**
 * An endpoint in a plain server on loopback: it does what the proxy does around an endpoint, without its process and
 * its socket.
 */
export class EndpointUnderTest implements AsyncDisposable {
  readonly log: LogEntry[] = []
  readonly proxy: ModelProxy
  readonly rules: EndpointRules
  readonly server: Server

  constructor({ rules, budget = {}, ...options }: EndpointOptions) {
    this.proxy = new ModelProxy(options)
    this.rules = {
      version: 1,
      key: 'test',
      network: 'models',
      never: [],
      budget,
      models: rules.map((rule) => ({
        name: 'anthropic',
        shape: 'messages',
        sentinel: SENTINEL,
        header: 'x-api-key',
        key: KEY,
        headers: {},
        ...rule,
      })),
    }
    this.server = createServer((incoming, response) => {
      void this.proxy.handle(incoming, response, this.rules, (line) => void this.log.push(line))
    })
  }

  /** Returns the address of a service, as an agent has it. */
  url(name = 'anthropic'): string {
    return `http://127.0.0.1:${(this.server.address() as AddressInfo).port}/model/${name}`
  }

  of<T extends LogEntry['type']>(type: T): Extract<LogEntry, { type: T }>[] {
    return this.log.filter((line): line is Extract<LogEntry, { type: T }> => line.type === type)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.proxy.close()
    await stop(this.server)
  }
}

export async function openEndpoint(options: EndpointOptions): Promise<EndpointUnderTest> {
  const endpoint = new EndpointUnderTest(options)
  await once(endpoint.server.listen(0, '127.0.0.1'), 'listening')
  return endpoint
}

async function stop(server: Server): Promise<void> {
  server.close()
  server.closeAllConnections()
  if (server.listening) await once(server, 'close')
}

export interface Answered {
  status: number
  headers: IncomingMessage['headers']
  text: string
  json: { type?: string; error?: { type?: string; message?: string; code?: string } }
}

/** Sends a request as an agent does, by default with its sentinel. Paths are sent as written. */
export async function ask(
  url: string,
  path: string,
  options: {
    method?: string
    headers?: Record<string, string | string[]>
    body?: unknown
    signal?: AbortSignal
  } = {},
): Promise<Answered> {
  const response = await asking(url, path, options)
  const parts: Buffer[] = []
  for await (const part of response) parts.push(part as Buffer)
  const text = Buffer.concat(parts).toString()
  let json = {}
  try {
    json = JSON.parse(text) as Answered['json']
  } catch {
    // The answer is not JSON.
  }
  return { status: response.statusCode ?? 0, headers: response.headers, text, json }
}

/** Resolves with the head of the answer. */
export async function asking(
  url: string,
  path: string,
  { method, headers, body, signal }: Parameters<typeof ask>[2] = {},
): Promise<IncomingMessage> {
  const { hostname, port, pathname } = new URL(url)
  const text = body === undefined || typeof body === 'string' ? body : JSON.stringify(body)
  const sent = request({
    hostname,
    port,
    path: `${pathname}${path}`,
    method: method ?? (body === undefined ? 'GET' : 'POST'),
    headers: headers ?? { 'x-api-key': SENTINEL, 'content-type': 'application/json' },
    agent: false,
    signal,
  })
  sent.end(text)
  const [response] = (await once(sent, 'response')) as [IncomingMessage]
  // The rest of a refused body cannot be sent.
  sent.on('error', () => undefined)
  return response
}

/** Returns a Messages request of at most this many tokens. */
export const messages = (max_tokens = 1000, more: object = {}): object => ({
  model: 'claude-sonnet-4-5',
  max_tokens,
  messages: [{ role: 'user', content: 'Hello.' }],
  ...more,
})

/** Returns an answer that is not a stream, with its usage. */
export const answerOf = (usage: object, text = 'Hello!'): string =>
  JSON.stringify({ type: 'message', role: 'assistant', content: [{ type: 'text', text }], usage })
