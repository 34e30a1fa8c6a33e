// Separate from machine-secrets.ts: this loads all agents, which a step with secrets does not need.
import { agentSecrets } from '../../agents/registry.ts'
import { tokenVariables } from '../../config/settings.ts'
import { ownTokens } from '../git/repository-token.ts'

/** Variables with tokens of forges. */
const FORGES = ['GITHUB_TOKEN', 'GH_TOKEN', 'GIT_TOKEN']

/** Variables of an environment that let their holder act for it. */
const OWN = [...tokenVariables, ...FORGES, ...agentSecrets]

/**
 * Returns the values, by name, that no attempt with this environment may put out: keys of agents, and tokens; `token`
 * is a runner's own.
 */
export function ownSecrets(env: NodeJS.ProcessEnv, token?: string): Record<string, string> {
  const found = OWN.flatMap((name) => (env[name] ? [[name, env[name]] as const] : []))
  const inFiles = ownTokens(env).map(({ name, token }) => [name, token])
  return {
    ...(token === undefined ? {} : { ERRAND_TOKEN: token }),
    ...Object.fromEntries([...inFiles, ...found]),
  }
}
