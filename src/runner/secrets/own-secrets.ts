// Apart from machine-secrets.ts: it loads all agents, which a step with secrets has no need of.
import { agentSecrets } from '../../agents/registry.ts'
import { tokenVariables } from '../../config/settings.ts'
import { ownTokens } from '../git/repository-token.ts'

/** Tokens of forges. */
const FORGES = ['GITHUB_TOKEN', 'GH_TOKEN', 'GIT_TOKEN']

/** Variables of an environment that let whoever has them act for it. */
const OWN = [...tokenVariables, ...FORGES, ...agentSecrets]

/** The values that no attempt with this environment may put out, by name: keys of agents, and tokens; `token`: a runner's own. */
export function ownSecrets(env: NodeJS.ProcessEnv, token?: string): Record<string, string> {
  const found = OWN.flatMap((name) => (env[name] ? [[name, env[name]] as const] : []))
  const inFiles = ownTokens(env).map(({ name, token }) => [name, token])
  return {
    ...(token === undefined ? {} : { ERRAND_TOKEN: token }),
    ...Object.fromEntries([...inFiles, ...found]),
  }
}
