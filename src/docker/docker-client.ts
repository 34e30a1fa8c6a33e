import { readFileSync } from 'node:fs'
import { request as httpRequest, type IncomingMessage } from 'node:http'
import { join } from 'node:path'
import { addAbortSignal, type Readable } from 'node:stream'
import { text } from 'node:stream/consumers'
import { ErrandError } from '../contract/errors.ts'
import { jsonOf } from '../platform/text.ts'

const DEFAULT_SOCKET = '/var/run/docker.sock'

export type DockerEnv = Readonly<Record<string, string | undefined>>
export type DockerMethod = 'GET' | 'POST' | 'PUT' | 'DELETE'

export interface DockerRequest {
  /** Lists are repeated, objects become JSON, and what is undefined is left out. */
  query?: Readonly<Record<string, unknown>>
  /** Sent as JSON. */
  body?: object
  /** Sent instead of a body. */
  tar?: Readable
  /** For the registry that the engine asks. */
  auth?: RegistryLogin & { serveraddress: string }
  /** Ends the request, and what is still read of its answer. */
  signal?: AbortSignal
  /** On a connection of its own. */
  apart?: boolean
}

/** An answer of the engine that is none of success; `json` where it was read as a whole. */
export class DockerFailure extends Error {
  readonly statusCode: number
  readonly json: { message?: string } | undefined

  constructor(path: string, statusCode: number, said: unknown, json?: { message?: string }) {
    const { message, error } = (said ?? {}) as { message?: string; error?: string }
    super(`(HTTP code ${statusCode}) ${reason(path, statusCode)} - ${message || error || said} `)
    this.statusCode = statusCode
    this.json = json
  }
}

/** An answer that is none of Docker's: of a proxy, or of another program at that address. Whatever was asked was not done. */
export class ForeignAnswer extends Error {
  constructor(address: string, { statusCode }: IncomingMessage, said: string) {
    const shown = JSON.stringify(said.trim().slice(0, 200))
    super(`Docker at ${address} does not answer as Docker does (HTTP ${statusCode}): ${shown}.`)
  }
}

const isPage = ({ headers }: IncomingMessage): boolean =>
  headers['content-type']?.startsWith('text/html') === true

/** Docker answers nothing, JSON (in some cases more than one value), or a word. */
const isForeign = (response: IncomingMessage, said: string): boolean =>
  isPage(response) || (isSuccess(response) && !/^\s*([[{]|\w{0,20}\s*$)/.test(said))

/** How a registry is logged in to, as the engine takes it. */
export type RegistryLogin = { username: string; password: string } | { identitytoken: string }

/** Plain requests to Docker's API, over its socket or by TCP. A failed connection throws with the code of the system's call. */
export class DockerClient {
  /** Where it is found, for people: the socket's path, or as DOCKER_HOST says. */
  readonly address: string
  /** An engine that is spoken to by a socket of this machine has its disk and cgroups here too. */
  readonly isHere: boolean
  readonly #to: ReturnType<typeof addressee>

  /**
   * Docker where DOCKER_HOST says (with DOCKER_TLS_VERIFY and DOCKER_CERT_PATH), else at its usual socket. Throws
   * `invalid_argument` where one of them cannot be used.
   */
  constructor(env: DockerEnv) {
    this.address = dockerAddress(env)
    this.#to = addressee(env, this.address)
    this.isHere = 'socketPath' in this.#to
  }

  /** The engine's whole answer; undefined where that is nothing, or no JSON. */
  async ask<T = unknown>(method: DockerMethod, path: string, request: DockerRequest = {}): Promise<T> {
    const response = await this.#send(method, path, request)
    if (request.signal !== undefined) addAbortSignal(request.signal, response)
    const said = await text(response)
    const json = jsonOf(said)
    if (isForeign(response, said)) throw new ForeignAnswer(this.address, response, said)
    if (isSuccess(response)) return json as T
    throw new DockerFailure(path, response.statusCode!, json ?? said, json as object | undefined)
  }

  /** An answer that goes on: each byte as it comes. Throws where the engine goes away before its end. */
  async open(method: DockerMethod, path: string, request: DockerRequest = {}): Promise<IncomingMessage> {
    const response = await this.#send(method, path, request)
    if (isSuccess(response) && !isPage(response)) return response
    const said = await text(response)
    if (isForeign(response, said)) throw new ForeignAnswer(this.address, response, said)
    throw new DockerFailure(path, response.statusCode!, jsonOf(said) ?? said)
  }

  async #send(method: DockerMethod, path: string, request: DockerRequest): Promise<IncomingMessage> {
    const { query, body, tar, auth, signal, apart } = request
    const { tls, ...to } = this.#to
    const json = body === undefined ? undefined : JSON.stringify(body)
    const headers = {
      ...(json === undefined
        ? {}
        : { 'Content-Type': 'application/json', 'Content-Length': Buffer.byteLength(json) }),
      ...(tar === undefined ? {} : { 'Content-Type': 'application/tar' }),
      ...(auth === undefined ? {} : { 'X-Registry-Auth': registryAuth(auth) }),
    }
    // Loaded where it is needed: that takes as long as half a start of Node.
    const send = tls ? (await import('node:https')).request : httpRequest
    return await new Promise((resolve, reject) => {
      const options = { ...to, ...tls, method, path: path + queryText(query), headers, signal }
      const sent = send(apart ? { ...options, agent: false } : options)
      sent.on('error', reject)
      sent.on('response', resolve)
      if (tar === undefined) sent.end(json)
      else tar.on('error', (error) => sent.destroy(error)).pipe(sent)
    })
  }
}

/** As people know it; of a socket, its path. */
export const dockerAddress = (env: DockerEnv): string =>
  (env.DOCKER_HOST || `unix://${DEFAULT_SOCKET}`).replace(/^unix:\/\//, '')

function addressee(env: DockerEnv, address: string) {
  // A socket's path may be a relative one.
  if (address.startsWith('/') || env.DOCKER_HOST?.startsWith('unix://'))
    return { socketPath: address, host: 'localhost' }
  const at = address.includes('//') ? address : `tcp://${address}`
  // "tcp://" alone can be parsed.
  if (!URL.canParse(at) || new URL(at).hostname === '')
    throw new ErrandError('invalid_argument', `DOCKER_HOST is "${address}".`, {
      hint: 'It is the address of a container engine, such as unix:///var/run/docker.sock or tcp://127.0.0.1:2375.',
    })
  const { hostname, port } = new URL(at)
  // Of IPv6 only URLs have them.
  const host = hostname.replace(/^\[|\]$/g, '')
  if (!env.DOCKER_TLS_VERIFY) return { host, port: port || 2375 }
  const file = (name: string) => certificate(join(env.DOCKER_CERT_PATH || '.', name))
  const tls = { ca: file('ca.pem'), cert: file('cert.pem'), key: file('key.pem') }
  return { host, port: port || 2376, tls }
}

function certificate(path: string): Buffer {
  try {
    return readFileSync(path)
  } catch (cause) {
    throw new ErrandError('invalid_argument', `${path} cannot be read: ${(cause as Error).message}.`, {
      hint: 'DOCKER_CERT_PATH is the folder of ca.pem, cert.pem and key.pem, for DOCKER_TLS_VERIFY.',
      cause,
    })
  }
}

function queryText(query: DockerRequest['query'] = {}): string {
  const pairs = Object.entries(query).flatMap(([name, value]) =>
    (Array.isArray(value) ? value : [value])
      .filter((each) => each !== undefined)
      .map((each): [string, string] => [
        name,
        typeof each === 'object' ? JSON.stringify(each) : String(each),
      ]),
  )
  return pairs.length === 0 ? '' : `?${new URLSearchParams(pairs)}`
}

/** In the alphabet of URLs, but filled up with "=": so the engine wants it. */
const registryAuth = (auth: object): string =>
  Buffer.from(JSON.stringify(auth)).toString('base64').replaceAll('+', '-').replaceAll('/', '_')

const isSuccess = ({ statusCode = 0 }: IncomingMessage): boolean => statusCode >= 200 && statusCode < 300

function reason(path: string, statusCode: number): string {
  if (statusCode === 500) return 'server error'
  return statusCode === 404 && path.startsWith('/containers/') ? 'no such container' : 'unexpected'
}

const WITHIN_MS = 5_000
const MAX_CHARACTERS = 256 * 1024

/**
 * The engine's version; undefined where none answers. Over a connection of its own: an engine that is being stopped takes no
 * new one, and answers for a while over those that it has.
 */
export async function askVersion(
  env: DockerEnv,
  signal = AbortSignal.timeout(WITHIN_MS),
): Promise<string | undefined> {
  try {
    const request = { apart: true, signal }
    const answer = await new DockerClient(env).open('GET', '/version', request)
    let text = ''
    for await (const chunk of answer.setEncoding('utf8')) {
      text += chunk
      if (text.length > MAX_CHARACTERS) return undefined
    }
    const { Version } = JSON.parse(text) as { Version?: unknown }
    return typeof Version === 'string' ? Version : undefined
  } catch {
    return undefined
  }
}
