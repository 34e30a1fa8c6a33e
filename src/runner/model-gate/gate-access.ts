import { randomBytes } from 'node:crypto'
import * as z from 'zod'
import type { Agent, ModelService } from '../../agents/agent.ts'
import { ErrandError } from '../../contract/errors.ts'
import { modelAccess, type Variables } from '../proxy/model-access.ts'
import type { ModelRule } from '../proxy/rules.ts'

/**
 * Everything that a model gate and its runner exchange, in a folder that both have. The gate writes `access.json` and
 * listens at the socket `runner`; the runner stays connected to it as long as it exists.
 */
export const GateAccess = z.object({
  version: z.literal(1),
  /** Variables of the runner: base URLs that lead to the gate, and the placeholders for keys. */
  env: z.record(z.string(), z.string()),
})
export type GateAccess = z.infer<typeof GateAccess>

export const ACCESS_FILE = 'access.json'
export const RUNNER_SOCKET = 'runner'

export interface GateRules {
  env: Record<string, string>
  models: ModelRule[]
  /** Variables of agents that the gate cannot replace; the runner does not get them. */
  left: string[]
}

/**
 * Returns the services whose keys the environment holds, and the runner's replacements for them, for a gate that
 * listens at that port. Throws `invalid_argument` if there is no key, or the address of a service is invalid.
 */
export function gateRules(
  agents: readonly Pick<Agent, 'keys' | 'secrets' | 'services'>[],
  env: Variables,
  port?: number,
): GateRules {
  const services = joined(agents.flatMap(({ services = [] }) => services))
  const values = Object.fromEntries(
    Object.entries(env).filter((entry): entry is [string, string] => !!entry[1]),
  )
  const random = randomBytes(20).toString('hex')
  const { rules, env: changed } = modelAccess({ keys: [], services }, values, {
    key: random,
    machine: env,
    port,
  })
  const env_: Record<string, string> = {}
  for (const { name, sentinel } of rules) {
    const service = services.find((each) => each.name === name)!
    env_[service.url] = changed[service.url]!
    // Agents use different ones.
    const set = service.keys.filter(({ variable }) => values[variable] !== undefined)
    for (const { variable } of set.length > 0 ? set : service.keys.slice(0, 1)) env_[variable] = sentinel
  }
  const secrets = new Set(agents.flatMap(({ keys, secrets = [] }) => [...keys, ...secrets]))
  const left = [...secrets].filter((name) => values[name] !== undefined && env_[name] === undefined)
  if (rules.length === 0)
    throw new ErrandError(
      'invalid_argument',
      left.length === 0 ? 'The model gate has no key.' : `The model gate cannot replace ${left.join(', ')}.`,
      {
        hint: `It can replace ${[...new Set(services.flatMap(({ keys }) => keys.map(({ variable }) => variable)))].join(', ')}.`,
      },
    )
  return { env: env_, models: rules, left }
}

/** Joins services: agents with the same base URL share one; each has its own name. */
function joined(services: readonly ModelService[]): ModelService[] {
  const result: ModelService[] = []
  for (const service of services) {
    const same = result.find(
      ({ url, shape, where }) =>
        url === service.url &&
        shape === service.shape &&
        JSON.stringify(where) === JSON.stringify(service.where),
    )
    if (same === undefined) {
      const alike = result.filter(({ name }) => name.replace(/-\d+$/, '') === service.name).length
      result.push({ ...service, name: alike === 0 ? service.name : `${service.name}-${alike + 1}` })
      continue
    }
    same.keys = [
      ...same.keys,
      ...service.keys.filter(({ variable }) => !same.keys.some((key) => key.variable === variable)),
    ]
    same.account ??= service.account
    same.defaultUrl ??= service.defaultUrl
    same.keyless ||= service.keyless
    same.addsVersion ||= service.addsVersion
  }
  return result
}
