import { createHash } from 'node:crypto'
import type { Agent, ModelService } from '../../agents/agent.ts'
import { ErrandError } from '../../contract/errors.ts'
import { mayPass } from './model-headers.ts'
import { type ModelRule, modelUrl } from './rules.ts'

export type Variables = Readonly<Record<string, string | undefined>>

export interface AccessOptions {
  /** Key of the attempt, from which its sentinels are made, so that a restarted runner makes the same ones. */
  key: string
  /** Port at which the services are at 127.0.0.1. Default: as in a box. */
  port?: number
  /** Environment of the machine, whose own proxy leads to a service. */
  machine?: Variables
  /** Models that may be used; absent: all. */
  models?: readonly string[]
  /**
   * Additional variables that hold the key of a service, with the service's name: only the user of such an agent knows
   * them.
   */
  proxyEnv?: Readonly<Record<string, string>>
  /**
   * Variables that the step sets, if they do not come from the machine's owner. A service address among them gets no
   * key of the machine, and does not reach private hosts. Of the rest, keys that the agent does not use are left out.
   */
  step?: Variables
}

/** Describes how an agent in a box reaches its models. */
export interface ModelAccess {
  /** Environment of the agent, with sentinels for keys, and the proxy for their services. */
  env: Record<string, string>
  rules: ModelRule[]
  /** Variables whose secrets go into the box because the proxy cannot replace them. */
  inside: string[]
}

/**
 * Builds the model access of an agent. Throws `invalid_argument` if the proxy cannot reach the address of a service.
 */
export function modelAccess(
  agent: Pick<Agent, 'keys' | 'secrets' | 'services' | 'direct'>,
  env: Readonly<Record<string, string>>,
  options: AccessOptions,
): ModelAccess {
  const { step, port } = options
  const direct = agent.direct?.(env) ?? { services: [], keys: [] }
  const result: ModelAccess = { env: { ...env }, rules: [], inside: [] }
  for (const service of agent.services ?? []) {
    if (direct.services.includes(service.name) || !isMeant(service, env)) continue
    const rule = ruleOf(service, env, options)
    if (rule === undefined) continue
    const { variables, ...rest } = rule
    result.rules.push(rest)
    for (const name of variables.taken) delete result.env[name]
    result.env[variables.key] = rest.sentinel
    result.env[service.url] = `${modelUrl(service.name, port)}${service.shape === 'openai' ? '/v1' : ''}`
  }
  for (const name of direct.unused ?? [])
    if (step !== undefined && step[name] === undefined) delete result.env[name]
  const sentinels = new Set(result.rules.map(({ sentinel }) => sentinel))
  const secrets = new Set([...agent.keys, ...(agent.secrets ?? []), ...direct.keys])
  result.inside = [...secrets].filter(
    (name) => (result.env[name] ?? '') !== '' && !sentinels.has(result.env[name]!),
  )
  return result
}

/** Reports whether the environment lets the agent use the service in this way. */
const isMeant = ({ where }: ModelService, env: Variables): boolean =>
  where === undefined || where.values.includes(env[where.variable] ?? '')

function ruleOf(
  service: ModelService,
  env: Variables,
  { key, machine = {}, models, proxyEnv = {}, step }: AccessOptions,
): (ModelRule & { variables: { key: string; taken: string[] } }) | undefined {
  const named = Object.entries(proxyEnv).filter(([, name]) => name === service.name)
  const begins = service.shape === 'messages' ? 'sk-ant-api03-errand-' : 'sk-errand-'
  const header = service.shape === 'messages' ? 'x-api-key' : 'bearer'
  const keys = [...named.map(([variable]) => ({ variable, header, begins }) as const), ...service.keys]
  const url = env[service.url] || service.defaultUrl
  if (url === undefined) return undefined
  const upstream = upstreamOf(service, url)
  const own = machine[service.url] || service.defaultUrl
  const isForeign =
    Boolean(step?.[service.url]) && (own === undefined || upstreamOf(service, own) !== upstream)
  const set = keys.filter(({ variable }) => (env[variable] ?? '') !== '')
  const found = isForeign ? set.find(({ variable }) => (step?.[variable] ?? '') !== '') : set[0]
  if (found === undefined && set.length > 0) throw foreignUrl(service, set[0]!.variable)
  // A service of one's own may need no key.
  const holder = found ?? (service.keyless && env[service.url] ? keys[0] : undefined)
  if (holder === undefined) return undefined
  const secret = (found && env[found.variable]) || 'none'
  const isStepsKey = isForeign || (found && (step?.[found.variable] ?? '') !== '')
  const payer = step === undefined ? { ...machine, ...env } : isStepsKey ? step : machine
  const proxy = isForeign ? undefined : proxyFor(upstream, machine)
  const digest = createHash('sha256').update(`${key}\n${service.name}`).digest('hex').slice(0, 40)
  return {
    name: service.name,
    shape: service.shape,
    upstream,
    sentinel: `${holder.begins}${digest}`,
    // A sign-in's token is sent as Bearer, whatever variable holds it.
    header: secret.startsWith('sk-ant-oat') ? 'bearer' : holder.header,
    key: secret,
    headers: headersOf(service, { step, payer }),
    ...(models === undefined ? {} : { models: [...models] }),
    ...(isForeign ? { checked: true } : {}),
    ...(proxy === undefined ? {} : { proxy }),
    variables: {
      key: holder.variable,
      taken: [
        ...keys.map(({ variable }) => variable),
        ...(service.headers === undefined ? [] : [service.headers]),
        ...Object.values(service.account ?? {}),
      ],
    },
  }
}

/**
 * Returns additional headers that go with the key. They come from whoever provided the key, and may hold a secret. A
 * step that uses the machine's key may add headers that its agent may add, but cannot choose an account.
 */
function headersOf(
  { headers, account = {} }: ModelService,
  { step, payer }: { step: Variables | undefined; payer: Variables },
): Record<string, string> {
  const own = headers === undefined ? {} : headersIn(payer[headers])
  const added = headers === undefined || payer === step ? {} : headersIn(step?.[headers])
  const chosen = Object.entries(account).flatMap(([name, variable]) =>
    payer[variable] ? [[name, payer[variable]]] : [],
  )
  return {
    ...Object.fromEntries(Object.entries(added).filter(([name]) => mayPass(name.toLowerCase()))),
    ...Object.fromEntries(chosen),
    ...own,
  }
}

/** Returns the error for a foreign address: the author of a step must not learn the keys of the machine it runs on. */
const foreignUrl = ({ url }: ModelService, variable: string): ErrandError =>
  new ErrandError(
    'invalid_argument',
    `The step sets ${url}, and the machine's own ${variable} is not sent to that address.`,
    {
      hint: `Give the step a key for that service too (${variable}), or set ${url} on the runner.`,
    },
  )

function upstreamOf({ url: variable, shape, addsVersion }: ModelService, text: string): string {
  const url = URL.canParse(text) ? new URL(text) : undefined
  const fault =
    url === undefined || !/^https?:$/.test(url.protocol)
      ? 'is not an http or https URL'
      : url.username !== ''
        ? 'contains a user name'
        : url.search !== '' || url.hash !== ''
          ? 'contains a query or a fragment'
          : undefined
  if (fault !== undefined)
    throw new ErrandError(
      'invalid_argument',
      `${variable} ${fault}, so the service cannot be reached from a sandbox.`,
      {
        hint: 'Set it to the base URL of the service alone, such as https://gateway.example/v1, or use isolation: none.',
      },
    )
  const base = `${url!.origin}${url!.pathname}`.replace(/\/+$/, '')
  if (shape === 'messages') return base.replace(/\/v1$/, '')
  return addsVersion && !/\/v\d+$/.test(base) ? `${base}/v1` : base
}

/** Parses headers as Claude Code does: one per line. */
function headersIn(text = ''): Record<string, string> {
  const lines = text.split('\n').map((line) => /^\s*([\w!#$%&'*+.^`|~-]+)\s*:\s*(.*?)\s*$/.exec(line))
  return Object.fromEntries(lines.flatMap((found) => (found === null ? [] : [[found[1]!, found[2]!]])))
}

/** Returns the machine's proxy for that address; Errand does not support SOCKS proxies. */
export function proxyFor(url: string, env: Variables): string | undefined {
  const { protocol, hostname, port } = new URL(url)
  const either = (name: string) => env[name.toLowerCase()] || env[name]
  const own = either(protocol === 'https:' ? 'HTTPS_PROXY' : 'HTTP_PROXY') || either('ALL_PROXY')
  if (
    own === undefined ||
    isExcepted(either('NO_PROXY') ?? '', hostname, port || (protocol === 'https:' ? '443' : '80'))
  )
    return undefined
  const text = own.includes('://') ? own : `http://${own}`
  return URL.canParse(text) && /^https?:$/.test(new URL(text).protocol) ? text : undefined
}

function isExcepted(list: string, hostname: string, port: string): boolean {
  return list.split(/[\s,]+/).some((entry) => {
    const [, name = '', only] = /^(?:\*?\.)?(.*?)(?::(\d+))?$/.exec(entry.toLowerCase()) ?? []
    if (entry === '*') return true
    return (
      name !== '' &&
      (only === undefined || only === port) &&
      (hostname === name || hostname.endsWith(`.${name}`))
    )
  })
}
