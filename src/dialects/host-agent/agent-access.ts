import type { AttemptSpec } from '../../contract/attempt.ts'

/** A host as an inventory names it. */
export type NamedHost = Pick<AttemptSpec, 'host' | 'address' | 'token_env'>

export interface TokenSources {
  /** For hosts whose inventory entry names no `token_env`. */
  token?: string
  /** Where `token_env` is looked up. */
  env: Readonly<Record<string, string | undefined>>
}

export type AgentAccess =
  | { base: URL; token: string; missing?: undefined }
  | { missing: 'address' | 'token'; message: string; hint: string }

/** How the host agent of a host is reached, or what is missing for that. */
export function agentAccess({ host, address, token_env }: NamedHost, sources: TokenSources): AgentAccess {
  if (address === undefined)
    return {
      missing: 'address',
      message: `Host "${host}" has no address.`,
      hint: `Write inventory.hosts.${host}.address, such as "http://10.0.0.5:7072".`,
    }
  const base = URL.canParse(address) ? new URL(address) : undefined
  if (base === undefined || !/^https?:$/.test(base.protocol))
    return {
      missing: 'address',
      message: `The address "${address}" of host "${host}" is no URL.`,
      hint: 'Write it as "http://10.0.0.5:7072".',
    }
  if (!base.pathname.endsWith('/')) base.pathname += '/'
  const token = (token_env === undefined ? sources.token : sources.env[token_env])?.trim()
  if (token) return { base, token }
  const hint =
    token_env === undefined
      ? 'Give --token, or set ERRAND_TOKEN.'
      : `Set the environment variable ${token_env}, which its inventory entry names.`
  return { missing: 'token', message: `There is no token for host "${host}".`, hint }
}
