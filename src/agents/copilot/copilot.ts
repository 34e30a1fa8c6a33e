import { existsSync } from 'node:fs'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { ErrandError } from '../../contract/errors.ts'
import type { AcpProfile, Aside } from '../acp/profile.ts'
import { AcpProtocol } from '../acp/protocol.ts'
import type { Agent, AgentInstall, AgentLaunch, ModelService, Program, SessionRequest } from '../agent.ts'
import { findProgram } from '../install/find-program.ts'
import { sharedCache } from '../install/native-binary.ts'
import { openaiLike } from '../model-services.ts'

const profile: AcpProfile = {
  agent: 'copilot',
  usage: { counts: 'process', cachedInInput: true, thoughtsApart: false },
  model: 'launch',
  refusesInSilence: true,
  // It retries some failures silently for over a minute.
  sizeBeforeCall: true,
  keyHint: 'Set COPILOT_PROVIDER_API_KEY (for your own provider) or COPILOT_GITHUB_TOKEN for the step.',
  asking: { option: 'allow_all', value: 'off' },
  aside,
}

/** Classifies Copilot's own texts, each of which comes as one chunk among those of the model. */
function aside(text: string, during: { tool: boolean }): Aside | undefined {
  if (/^Error: \S/.test(text)) return { type: 'failure', text: text.slice('Error: '.length) }
  if (/^Info: .*Retrying\.\.\.$/.test(text)) return { type: 'retry', text: text.slice('Info: '.length) }
  // This is the path of the current tool call.
  if (during.tool && /^Info: \/\S*$/.test(text)) return { type: 'noise' }
  if (/^Info: Operation cancelled/.test(text) || (during.tool && /^Info: \S/.test(text)))
    return { type: 'notice', text: text.slice('Info: '.length) }
  return undefined
}

const url = 'COPILOT_PROVIDER_BASE_URL'
const keys = ['COPILOT_PROVIDER_BEARER_TOKEN', 'COPILOT_PROVIDER_API_KEY']
const ofType = (...values: string[]) => ({
  where: { variable: 'COPILOT_PROVIDER_TYPE', values },
  keyless: true,
})
/** Services of a provider. Azure's is missing: it needs its key in another header and its version in a query. */
const services: readonly ModelService[] = [
  { ...openaiLike('provider', { keys, url }), ...ofType('', 'openai') },
  {
    ...ofType('anthropic'),
    ...{ name: 'provider', shape: 'messages', url },
    keys: [
      { variable: keys[0]!, header: 'bearer', begins: 'sk-ant-api03-errand-' },
      { variable: keys[1]!, header: 'x-api-key', begins: 'sk-ant-api03-errand-' },
    ],
  },
]

const tokens = ['COPILOT_GITHUB_TOKEN', 'GH_TOKEN', 'GITHUB_TOKEN']
/** Matches options with which Copilot would not ask. */
const allowing = /^--(allow-|yolo|autopilot|assisted-approval|mode(=|$))/

/** Folder of the agent below a session's home; `SIGN_IN` is the file of a sign-in in it. */
const OWN_FOLDER = 'copilot'
const SIGN_IN = 'config.json'

const install: AgentInstall = {
  package: '@github/copilot',
  version: '1.0.102',
  program: 'copilot',
  natives: ({ platform, arch }) =>
    [platform, ...(platform === 'linux' ? ['linuxmusl'] : [])].map(
      (system) => `@github/copilot-${system}-${arch}/copilot`,
    ),
  megabytes: 430,
  cacheVariable: 'COPILOT_CACHE_HOME',
}

export const copilot: Agent = {
  name: 'copilot',
  title: 'GitHub Copilot CLI',
  install,
  keys: ['COPILOT_PROVIDER_API_KEY', ...tokens],
  secrets: ['COPILOT_PROVIDER_BEARER_TOKEN'],
  services,
  direct: (env) => ({ services: [], keys: [], unused: env[url] ? tokens : [] }),
  settings: [
    ...['COPILOT_PROVIDER_BASE_URL', 'COPILOT_PROVIDER_TYPE', 'COPILOT_PROVIDER_WIRE_API'],
    ...['COPILOT_MODEL', 'COPILOT_HOME', 'COPILOT_OFFLINE'],
  ],
  folders: ['COPILOT_HOME'],
  signIn: (env) => [
    {
      from: join(env.COPILOT_HOME ?? join(env.HOME || homedir(), '.copilot'), SIGN_IN),
      to: join(OWN_FOLDER, SIGN_IN),
    },
  ],
  usage: 'each_turn',
  locate: (places) => findProgram({ name: 'copilot', install, ...places }),
  launch,
  modelAt: (url, key) => ({
    env: { COPILOT_PROVIDER_BASE_URL: `${url}/v1`, COPILOT_PROVIDER_API_KEY: key },
    model: 'ask-check',
  }),
  protocol: (request, port) => new AcpProtocol(profile, request, port),
}

function launch(request: SessionRequest, program: Program): AgentLaunch {
  const { ask, asks_reading, extra_args, model } = request
  if (ask === 'ask' && asks_reading)
    throw new ErrandError(
      'invalid_argument',
      'Copilot does not ask before it reads, so a rule that denies reading or asks about it cannot be enforced.',
      {
        hint: 'Limit such rules to tools that Copilot asks about (edit, delete, move, execute, fetch, other), or use another agent.',
      },
    )
  const unasked = extra_args.find((arg) => allowing.test(arg))
  if (ask !== 'allow' && unasked !== undefined) {
    throw new ErrandError('invalid_argument', `With ${unasked}, Copilot would use tools without asking.`, {
      hint: 'Remove it from extra_args, or set permissions to "allow".',
    })
  }
  const allow = ask === 'allow' ? ['--allow-all-tools', '--allow-all-urls'] : []
  // Nobody is at its terminal, so it must ask its questions in its answer.
  const args = ['--acp', '--no-auto-update', '--no-ask-user', '--no-remote', ...allow]
  return {
    args: [...args, ...(model === undefined ? [] : ['--model', model]), ...extra_args],
    env: environment(request, program),
  }
}

function environment({ env, home, ask, apart }: SessionRequest, program: Program): AgentLaunch['env'] {
  const cache = sharedCache(program.path)
  const users = env.COPILOT_HOME ?? join(env.HOME ?? home, '.copilot')
  const provided = env.COPILOT_PROVIDER_BASE_URL !== undefined
  const keyed = apart || provided || tokens.some((name) => env[name] !== undefined)
  return {
    COPILOT_AUTO_UPDATE: 'false',
    // Use the user's own login if there is nothing else.
    COPILOT_HOME: keyed || !existsSync(users) ? join(home, OWN_FOLDER) : users,
    ...(cache === undefined ? {} : { COPILOT_CACHE_HOME: cache }),
    // With the user's own provider, it must not contact anything else.
    ...(provided && env.COPILOT_OFFLINE === undefined ? { COPILOT_OFFLINE: 'true' } : {}),
    ...(ask === 'allow' ? {} : { COPILOT_ALLOW_ALL: 'false', COPILOT_ASSISTED_APPROVAL: 'false' }),
  }
}
