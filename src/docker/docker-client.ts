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
  /** A list repeats its name, an object becomes JSON, and an undefined value is left out. */
  query?: Readonly<Record<string, unknown>>
  /** Body, sent as JSON. */
  body?: object
  /** Archive that is sent instead of a body. */
  tar?: Readable
  /** Credentials for the registry that the engine contacts. */
  auth?: RegistryLogin & { serveraddress: string }
  /** Ends the request, also while its answer is being read. */
  signal?: AbortSignal
  /** Sends the request on a separate connection. */
  apart?: boolean
}

/** Is thrown for an unsuccessful answer of the engine; `json` is set if the whole answer was read. */
export class DockerFailure extends Error {
  readonly statusCode: number
  readonly json: { message?: string } | undefined

  constructor(path: string, statusCode: number, body: unknown, json?: { message?: string }) {
    const { message, error } = (body ?? {}) as { message?: string; error?: string }
    super(`(HTTP code ${statusCode}) ${reason(path, statusCode)} - ${message || error || body} `)
    this.statusCode = statusCode
    this.json = json
  }
}

/**
 * Is thrown for an answer that does not come from Docker but from a proxy, or from another program at that address. The
 * engine did not process the request.
 */
export class ForeignAnswer extends Error {
  constructor(address: string, { statusCode }: IncomingMessage, body: string) {
    const shown = JSON.stringify(body.trim().slice(0, 200))
    super(`Docker at ${address} does not answer as Docker does (HTTP ${statusCode}): ${shown}.`)
  }
}

const isPage = ({ headers }: IncomingMessage): boolean =>
  headers['content-type']?.startsWith('text/html') === true

/**
 * Reports whether an answer does not come from Docker, which sends nothing, JSON (sometimes several values), or a word.
 */
const isForeign = (response: IncomingMessage, body: string): boolean =>
  isPage(response) || (isSuccess(response) && !/^\s*([[{]|\w{0,20}\s*$)/.test(body))

/** Credentials for a registry, in the engine's form. */
export type RegistryLogin = { username: string; password: string } | { identitytoken: string }

/**
 * Sends requests to Docker's API over its socket or TCP. A failed connection throws an error with the system call's
 * code.
 */
export class DockerClient {
  /** Address to show to people: the socket's path, or the value of DOCKER_HOST. */
  readonly address: string
  /** Whether the engine is reached by a socket of this machine; then its disk and cgroups are here too. */
  readonly isHere: boolean
  readonly #to: ReturnType<typeof addressee>

  /**
   * Uses the engine at DOCKER_HOST (with DOCKER_TLS_VERIFY and DOCKER_CERT_PATH), or otherwise at its usual socket.
   * Throws `invalid_argument` if one of these variables cannot be used.
   */
  constructor(env: DockerEnv) {
    this.address = dockerAddress(env)
    this.#to = addressee(env, this.address)
    this.isHere = 'socketPath' in this.#to
  }

  /** Returns the engine's whole answer, or undefined if it is empty or not JSON. */
  async ask<T = unknown>(method: DockerMethod, path: string, request: DockerRequest = {}): Promise<T> {
    const response = await this.#send(method, path, request)
    if (request.signal !== undefined) addAbortSignal(request.signal, response)
    const body = await text(response)
    const json = jsonOf(body)
    if (isForeign(response, body)) throw new ForeignAnswer(this.address, response, body)
    if (isSuccess(response)) return json as T
    throw new DockerFailure(path, response.statusCode!, json ?? body, json as object | undefined)
  }

  /** Returns a streamed answer, each byte as it arrives. Reading it fails if the engine goes away before its end. */
  async open(method: DockerMethod, path: string, request: DockerRequest = {}): Promise<IncomingMessage> {
    const response = await this.#send(method, path, request)
    if (isSuccess(response) && !isPage(response)) return response
    const body = await text(response)
    if (isForeign(response, body)) throw new ForeignAnswer(this.address, response, body)
    throw new DockerFailure(path, response.statusCode!, jsonOf(body) ?? body)
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
    // Load this only when needed: it takes half as long as starting Node.
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

/** Returns the engine's address as people know it; for a socket, its path. */
export const dockerAddress = (env: DockerEnv): string =>
  (env.DOCKER_HOST || `unix://${DEFAULT_SOCKET}`).replace(/^unix:\/\//, '')

function addressee(env: DockerEnv, address: string) {
  // A socket's path may be relative.
  if (address.startsWith('/') || env.DOCKER_HOST?.startsWith('unix://'))
    return { socketPath: address, host: 'localhost' }
  const at = address.includes('//') ? address : `tcp://${address}`
  // "tcp://" alone can be parsed, but has no host.
  if (!URL.canParse(at) || new URL(at).hostname === '')
    throw new ErrandError('invalid_argument', `DOCKER_HOST "${address}" is not a valid address.`, {
      hint: 'Set it to the address of a container engine, such as unix:///var/run/docker.sock or tcp://127.0.0.1:2375.',
    })
  const { hostname, port } = new URL(at)
  // Only URLs put an IPv6 address in brackets.
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
      hint: 'Set DOCKER_CERT_PATH to the folder with ca.pem, cert.pem and key.pem; DOCKER_TLS_VERIFY needs them.',
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

/** Encodes credentials as the engine expects them: base64 in the alphabet of URLs, but padded with "=". */
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
 * Returns the engine's version, or undefined if no engine answers. Uses a separate connection, since an engine that is
 * stopping still answers on open connections for a while but accepts no new ones.
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
