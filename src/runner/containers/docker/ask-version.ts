import { readFileSync } from 'node:fs'
import { request as httpRequest } from 'node:http'
import { request as httpsRequest } from 'node:https'
import { join } from 'node:path'

const DEFAULT_HOST = 'unix:///var/run/docker.sock'
const WITHIN_MS = 5_000
const MAX_BYTES = 256 * 1024

type Env = Readonly<Record<string, string | undefined>>

/**
 * The engine's version, asked without its client, which takes memory; undefined where none answers. Over a connection of its
 * own: an engine that is being stopped takes no new one, and answers for a while over those that it has.
 */
export async function askVersion(env: Env, withinMs = WITHIN_MS): Promise<string | undefined> {
  try {
    const { Version } = JSON.parse(await get('/version', env, withinMs)) as { Version?: unknown }
    return typeof Version === 'string' ? Version : undefined
  } catch {
    return undefined
  }
}

function get(path: string, env: Env, withinMs: number): Promise<string> {
  const { tls, ...at } = address(env)
  const { promise, resolve, reject } = Promise.withResolvers<string>()
  const asking = (tls ? httpsRequest : httpRequest)({ ...at, ...tls, path, agent: false, timeout: withinMs })
  asking.on('timeout', () => asking.destroy(new Error('it does not answer')))
  asking.on('error', reject)
  asking.on('response', (response) => {
    let text = ''
    response.setEncoding('utf8')
    response.on('data', (chunk: string) => {
      text += chunk
      if (text.length > MAX_BYTES) asking.destroy(new Error('its answer is too long'))
    })
    response.on('error', reject)
    response.on('end', () =>
      response.statusCode === 200 ? resolve(text) : reject(new Error(`it answers ${response.statusCode}`)),
    )
  })
  asking.end()
  return promise
}

/** As the engine's client reads its environment. */
function address(env: Env) {
  const host = env.DOCKER_HOST || DEFAULT_HOST
  if (host.startsWith('unix://')) return { socketPath: host.slice('unix://'.length), host: 'localhost' }
  const { hostname, port } = new URL(host)
  if (!env.DOCKER_TLS_VERIFY) return { host: hostname, port: port || 2375 }
  const file = (name: string) => readFileSync(join(env.DOCKER_CERT_PATH || '.', name))
  const tls = { ca: file('ca.pem'), cert: file('cert.pem'), key: file('key.pem') }
  return { host: hostname, port: port || 2376, tls }
}
