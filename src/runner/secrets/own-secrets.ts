import { tokenVariables } from '../../config/settings.ts'
import { agentKeyNames } from '../../contract/credential-names.ts'

/** Variables of an environment that let whoever has them act for it. */
const OWN = [...tokenVariables, ...agentKeyNames]

/** What no attempt that has this environment may put out, by name: keys of agents, and tokens; `token`: a runner's own. */
export function ownSecrets(env: NodeJS.ProcessEnv, token?: string): Record<string, string> {
  const found = OWN.flatMap((name) => (env[name] ? [[name, env[name]] as const] : []))
  return { ...(token === undefined ? {} : { ERRAND_TOKEN: token }), ...Object.fromEntries(found) }
}
